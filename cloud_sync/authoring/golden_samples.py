"""Golden samples: messages that fit a module's binding as it is, with the model's own answers.

Runs the model in a throw-away process. Writes one file of the folder, golden/samples.json, and
never another: golden cases with known right answers are a person's work and stay.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from cloud_sync.authoring.build import FetchModel, Unproved, assemble
from cloud_sync.authoring.observed import Observed, read_observed
from cloud_sync.authoring.rehearsal import Reply, rehearse
from cloud_sync.authoring.samples import (
    GOLDEN_FILE,
    JSON_CODECS,
    Json,
    Sample,
    free_sizes,
    messages_in_sample,
    sample_messages,
)
from cloud_sync.errors import ModelError, ModuleError
from edge_agent.contract.limits import MAX_GOLDEN_BYTES


class GoldenSamples(Struct, frozen=True, kw_only=True):
    """What was written.

    Attributes:
        file: golden/samples.json of the folder; untouched if there are no cases.
        cases: how many it holds.
        warnings: why there are none, or fewer than samples; one sentence each.
    """

    file: Path
    cases: int
    warnings: tuple[str, ...] = ()


def renew_golden(
    folder: Path,
    *,
    sample: Path | None = None,
    fetch_model: FetchModel | None = None,
    progress: Callable[[str], None] | None = None,
) -> GoldenSamples:
    """Write golden/samples.json anew, for the binding that module.toml describes now.

    Args:
        folder: of the module.
        sample: messages to use, JSON or CSV; without it they are made up, within the ranges.
        fetch_model: needed only for modules whose [model] names a registered one.
        progress: told about each step.

    Raises:
        ModuleError, Unsupported: the folder does not build, or the sample cannot be read.
        ModelError: the model does not load, crashes, or gives no answer that could be golden; the
            file stays as it was.
    """
    observed = read_observed(sample) if sample is not None else None
    module = assemble(folder, fetch_model=fetch_model, progress=progress)
    if progress is not None:
        progress("running the model on sample messages")
    made = write_golden(folder, module, observed)
    if not made.cases:
        raise ModelError(
            "; ".join(made.warnings),
            hint="give messages that the model can answer, with --sample FILE",
            code="no_golden",
        )
    return made


def write_golden(folder: Path, module: Unproved, observed: Observed | None) -> GoldenSamples:
    """Write the cases of a module that was assembled, if the model gives any.

    Raises:
        ModuleError: the sample does not suit the module's codec, or the file cannot be written.
        ModelError: the model does not load, or crashes.
    """
    file = folder / GOLDEN_FILE
    cases, warnings = _cases(module, observed)
    if not cases:
        return GoldenSamples(file=file, cases=0, warnings=tuple(warnings))
    # A case a line: indented, a large payload would be twice as long.
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        is_used = bool(module.golden_pattern) and file in folder.glob(module.golden_pattern)
    except OSError as error:
        raise ModuleError(
            f"{file} cannot be written: {error.strerror}",
            hint="check the folder's permissions and the room on its disk",
        ) from error
    if not is_used:
        warnings.append(f"[health] golden = {module.golden_pattern!r} does not take {GOLDEN_FILE}")
    return GoldenSamples(file=file, cases=len(cases), warnings=tuple(warnings))


def _cases(module: Unproved, observed: Observed | None) -> tuple[list[dict[str, Json]], list[str]]:
    """Samples with the model's own answers, and what a person should know about them."""
    manifest = module.manifest
    if observed is not None:
        warnings = list(observed.notes)
        attempts = [_observed_samples(module, observed)]
        source = "the sample"
    else:
        warnings = []
        sizes = free_sizes(manifest.model.inputs)
        attempts = [sample_messages(manifest, size) for size in sizes]
        source = "made-up messages"
    reasons: list[str] = []
    for samples in attempts:
        if not samples:
            reasons.append("the samples would be too large")
            continue
        payloads = [sample.payloads for sample in samples]
        # Twice each: a model that draws random numbers has no golden answers.
        replies = rehearse(manifest, module.model_file, messages=payloads + payloads).replies
        cases, reason = _steady_cases(samples, replies)
        if cases:
            if len(cases) < len(samples):
                left = len(samples) - len(cases)
                warnings.append(f"{left} of {len(samples)} samples give no golden case: {reason}")
            return cases, warnings
        reasons.append(reason)
    return [], [*warnings, f"no golden cases were made from {source}: {reasons[0]}"]


def observed_payloads(module: Unproved, observed: Observed) -> list[bytes]:
    """Messages that a person gives, as a module's sensors would send them.

    Raises:
        ModuleError: they do not suit the module's codec.
    """
    given = module.manifest.input
    if given.codec not in JSON_CODECS:
        raise ModuleError(
            f"a sample file holds JSON messages, and the codec is {given.codec!r}",
            hint="write the cases as files of the codec's own format",
        )
    texts = frozenset(
        item.path or item.name
        for tensor, spec in zip(module.manifest.tensors, _specs(module), strict=True)
        if spec == "string"
        for item in tensor.fields
    )
    return [msgspec.json.encode(message) for message in observed.typed(texts)]


def _observed_samples(module: Unproved, observed: Observed) -> tuple[Sample, ...]:
    payloads = observed_payloads(module, observed)
    size = messages_in_sample(module.manifest)
    if len(payloads) < size:
        raise ModuleError(
            f"the sample has {len(payloads)} messages that can be used, and one case takes {size}",
            hint="record more messages",
        )
    return tuple(
        Sample(tuple(payloads[start : start + size]))
        for start in range(0, len(payloads) - size + 1, size)
    )


def _specs(module: Unproved) -> list[str]:
    """The element type of each tensor."""
    kinds = {spec.name: spec.dtype for spec in module.manifest.model.inputs}
    return [kinds[tensor.name] for tensor in module.manifest.tensors]


def _steady_cases(
    samples: Sequence[Sample], replies: Sequence[Reply]
) -> tuple[list[dict[str, Json]], str]:
    cases: list[dict[str, Json]] = []
    reason = ""
    count = len(samples)
    size = 0
    for number, sample in enumerate(samples):
        first, second = replies[number], replies[number + count]
        if not first.outputs:
            reason = first.fault
            continue
        if second.outputs != first.outputs:
            reason = "it answers the same message differently each time"
            continue
        size += len(first.outputs)
        if size > MAX_GOLDEN_BYTES // 4:
            reason = "its answers are too large for golden cases"
            break
        outputs: Json = msgspec.json.decode(first.outputs)
        cases.append({"name": f"sample {number + 1}", **sample.case(), "outputs": outputs})
    return cases, reason
