"""Fit: does a module's binding fill exactly the inputs that its model has?

Decides from the manifest alone, so that the build, the registry and the device come to the same
answer. Pure: it never reads a file, and it never looks at the model itself.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct, UnsetType

from edge_agent.contract.kept import MAX_STATE_BYTES, kept
from edge_agent.contract.limits import MAX_TENSORS, limit_problems
from edge_agent.contract.manifest import Codec, Input, Manifest, Tensor
from edge_agent.contract.names import did_you_mean
from edge_agent.contract.routes import filter_problems, template_problems
from edge_agent.contract.scores import profile_problem
from edge_agent.contract.signature import TensorSpec
from edge_agent.contract.tensor_fit import doubles, tensor_problems
from edge_agent.contract.value_fit import Place
from edge_agent.errors import ContractError


class Problem(Struct, frozen=True):
    """One thing that does not fit.

    Attributes:
        place: where in the manifest it can be put right; for example ("tensors", 0, "fields", 2).
        text: what was expected and what was found.
    """

    place: Place
    text: str


_NAMED: Final[tuple[Codec, ...]] = ("json", "cbor", "oip")
_CODECS_OF_SOURCE: Final[dict[str, tuple[Codec, ...]]] = {
    "fields": _NAMED,
    "array": _NAMED,
    "bytes": ("octet-stream",),
    "image": ("image",),
}


def check_fit(manifest: Manifest) -> None:
    """Check that the binding fits the model's signature and the limits of this version.

    Raises:
        ContractError: it does not; the text lists everything that is wrong, not only the first.
    """
    problems = [problem.text for problem in fit_problems(manifest)]
    if problems:
        raise ContractError(problem_text(problems), code="misfit")


def problem_text(problems: list[str]) -> str:
    """One text for one problem or several."""
    if len(problems) == 1:
        return problems[0]
    return "\n".join([f"{len(problems)} problems:", *(f"  - {problem}" for problem in problems)])


def fit_problems(manifest: Manifest) -> Iterator[Problem]:
    """Everything that does not fit, one sentence each; empty when the module can run."""
    source, output = manifest.input, manifest.output
    yield from _at(("model",), limit_problems(manifest.model.ir_version, manifest.model.opsets))
    yield from _at(("model", "outputs"), _output_problems(manifest.model.outputs))
    yield from _at(("health",), _profile_problems(manifest))
    yield from _at(("input", "topic"), filter_problems(source.topic))
    yield from _at(("output", "topic"), template_problems(output.topic, source.topic))
    for reply in output.reply:
        yield from _at(("output", "reply"), filter_problems(reply, "reply filter"))
    yield from _pairing_problems(manifest.model.inputs, manifest.tensors)
    yield from _codec_problems(manifest.input, manifest.tensors)
    yield from _state_output_problems(manifest)
    specs = {spec.name: spec for spec in manifest.model.inputs}
    outputs = {spec.name: spec for spec in manifest.model.computed}
    window = source.window.size if source.window else None
    is_sound = True
    for index, tensor in enumerate(manifest.tensors):
        spec = specs.get(tensor.name)
        if spec is None:
            is_sound = False
            continue
        for key, text in tensor_problems(tensor, spec, window, outputs):
            is_sound = False
            place: Place = ("tensors", index, *key)
            yield Problem(place, f"tensor {tensor.name!r}: {text}")
    if is_sound:
        yield from _state_size_problems(manifest)


def _at(place: Place, texts: Iterable[str]) -> Iterator[Problem]:
    for text in texts:
        yield Problem(place, text)


def _output_problems(outputs: tuple[TensorSpec, ...]) -> Iterator[str]:
    if not 1 <= len(outputs) <= MAX_TENSORS:
        yield f"outputs expected 1 to {MAX_TENSORS}, found {len(outputs)}"
    for name in doubles(spec.name for spec in outputs):
        yield f"output {name!r} is listed more than once"


def _profile_problems(manifest: Manifest) -> Iterator[str]:
    profile, outputs = manifest.health.profile, manifest.model.outputs
    if not isinstance(profile, UnsetType) and outputs:
        problem = profile_problem(profile, outputs)
        if problem:
            yield f"{problem}; make it anew with `shoal module profile`, or by training"


def _pairing_problems(
    inputs: tuple[TensorSpec, ...], tensors: tuple[Tensor, ...]
) -> Iterator[Problem]:
    if len(inputs) > MAX_TENSORS:
        text = f"inputs expected at most {MAX_TENSORS}, found {len(inputs)}"
        yield Problem(("model", "inputs"), text)
    names = [spec.name for spec in inputs]
    given = {tensor.name for tensor in tensors}
    unfilled = [name for name in names if name not in given]
    for index, tensor in enumerate(tensors):
        if tensor.name not in names:
            hint = did_you_mean(tensor.name, unfilled or names)
            text = f"tensor {tensor.name!r}: the model has no such input; {hint}".rstrip("; ")
            yield Problem(("tensors", index, "name"), text)
    whole: Place = ("tensors",)
    for spec in inputs:
        if spec.name not in given:
            text = f"the model's input {spec} has no [[tensor]] that fills it"
            yield Problem(whole, text)
    for name in doubles(tensor.name for tensor in tensors):
        yield Problem(whole, f"tensor {name!r} is given more than once")
    for name in doubles(names):
        yield Problem(("model", "inputs"), f"the model has two inputs of the name {name!r}")
    if all(tensor.source in ("constant", "state") for tensor in tensors):
        text = "no tensor takes anything from the message, so every result would be the same"
        yield Problem(whole, text)


def _codec_problems(source: Input, tensors: tuple[Tensor, ...]) -> Iterator[Problem]:
    for index, tensor in enumerate(tensors):
        place: Place = ("tensors", index, "from")
        codecs = _CODECS_OF_SOURCE.get(tensor.source, (source.codec,))
        if source.codec not in codecs:
            fitting = [name for name, known in _CODECS_OF_SOURCE.items() if source.codec in known]
            yield Problem(
                place,
                f"tensor {tensor.name!r}: from = {tensor.source!r} needs codec = "
                f"{_either(codecs)}, found {source.codec!r} (which goes with {_either(fitting)})",
            )
        if source.window is not None and tensor.source in ("bytes", "image"):
            yield Problem(
                place,
                f"tensor {tensor.name!r}: a window collects rows, not from = {tensor.source!r}",
            )
    if source.window is not None and source.codec == "oip":
        text = "a window collects rows, and codec 'oip' gives whole tensors"
        yield Problem(("input", "window"), text)
    raw = [tensor.name for tensor in tensors if tensor.source == "bytes"]
    if len(raw) > 1:
        yield Problem(
            ("tensors",),
            "a payload of codec 'octet-stream' fills one tensor of from = 'bytes', found "
            f"{', '.join(map(repr, raw))}",
        )


def _either(words: Iterable[str]) -> str:
    *first, last = map(repr, words)
    return f"{', '.join(first)} or {last}" if first else last


def _state_output_problems(manifest: Manifest) -> Iterator[Problem]:
    """Outputs that are computed for nothing, or twice."""
    fed_back = {tensor.output for tensor in manifest.tensors if tensor.source == "state"}
    published = {spec.name for spec in manifest.model.outputs}
    place: Place = ("model", "state_outputs")
    for spec in manifest.model.state_outputs:
        if spec.name in published:
            yield Problem(place, f"output {spec.name!r} is published already")
        elif spec.name not in fed_back:
            yield Problem(place, f"output {spec.name!r} is fed back to no tensor")


def _state_size_problems(manifest: Manifest) -> Iterator[Problem]:
    found = kept(manifest)
    if found is not None and found.state_bytes > MAX_STATE_BYTES:
        text = (
            f"the states of one source topic expected at most {MAX_STATE_BYTES} bytes together, "
            f"found {found.state_bytes}"
        )
        yield Problem(("tensors",), text)
