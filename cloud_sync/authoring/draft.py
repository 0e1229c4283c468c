"""A first binding for a model that nobody has described yet. Pure: facts in, tensors out.

What a person would write by hand after looking at the signature: single values and rows become
named fields, everything else a nested list. They rename and refine from there.
"""

import math
import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from cloud_sync.authoring.facts import OnnxFacts, Port
from cloud_sync.authoring.feedback import clear_states
from cloud_sync.errors import Unsupported
from edge_agent.contract.layout import fields_layout
from edge_agent.contract.manifest import Field, Tensor
from edge_agent.contract.signature import DYNAMIC, FLOATS, TensorSpec

MAX_FIELDS: Final = 128
"""A wider row is written as a nested list: nobody names a thousand columns by hand."""

DEFAULT_MAX_BYTES: Final = 2**20
LARGEST_MAX_BYTES: Final = 64 * 2**20
_BYTES_A_NUMBER: Final = 24  # a double and its comma, as JSON

_ODD: Final = re.compile(r"[^A-Za-z0-9_-]+")
_ZIPPED: Final = ("sequence", "map")
_ZIPMAP_HINT: Final = 'skl2onnx: convert with options={"zipmap": False}'


class Draft(Struct, frozen=True, kw_only=True):
    """A binding that fits a model's signature.

    Attributes:
        inputs: the model's inputs as tensors.
        tensors: one for each input, in the same order.
        outputs: names of the outputs that can be computed.
        left_out: name of an output that cannot to the reason.
        max_bytes: longest payload that is worth accepting.
        pictures: inputs that look like pictures, with height, width and channels.
        maybe_states: inputs that are filled from messages and look like states, with the output
            that looks like the next state.
    """

    inputs: tuple[TensorSpec, ...]
    tensors: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    left_out: dict[str, str]
    pictures: dict[str, tuple[int, int, int]]
    max_bytes: int = DEFAULT_MAX_BYTES
    maybe_states: dict[str, str] = {}


def draft_binding(facts: OnnxFacts, field_names: Sequence[str] = ()) -> Draft:
    """Find a binding for a model.

    Args:
        facts: of the ONNX file.
        field_names: what to call the values of a model with one input; used when there are as
            many as the input has values in a row.

    Raises:
        Unsupported: an input that cannot be filled, no input at all, or no output that is a
            tensor; the text says which and why.
    """
    inputs = input_specs(facts)
    outputs, left_out = usable_outputs(facts)
    specs = [spec for port in outputs if (spec := port.spec()) is not None]
    states = clear_states(inputs, specs)
    is_only = len(inputs) - len(states) == 1
    used: set[str] = set()
    tensors = tuple(
        Tensor(name=spec.name, source="state", output=states[spec.name])
        if spec.name in states
        else _draft_tensor(spec, is_only, field_names, used)
        for spec in inputs
    )
    # A state is the model's memory, and hardly anybody's answer.
    answers = [port.name for port in outputs if port.name not in states.values()]
    filled = tuple(spec for spec in inputs if spec.name not in states)
    return Draft(
        inputs=inputs,
        tensors=tensors,
        outputs=tuple(answers or [port.name for port in outputs]),
        left_out=left_out,
        pictures={spec.name: size for spec in inputs if (size := _picture(spec)) is not None},
        max_bytes=_payload_bytes(filled),
        maybe_states=_maybe_states(
            filled, [spec for spec in specs if spec.name not in states.values()]
        ),
    )


def input_specs(facts: OnnxFacts) -> tuple[TensorSpec, ...]:
    """The model's inputs.

    Raises:
        Unsupported: there are none, or one of them is not a tensor that can be filled.
    """
    if not facts.inputs:
        raise Unsupported(
            "the model has no inputs, so no message could change its result",
            hint="export the model with the values that change as graph inputs",
        )
    refused = [
        f"input {port.name!r} cannot be filled: {why}"
        for port in facts.inputs
        if (why := port.misfit())
    ]
    if refused:
        raise Unsupported(
            "; ".join(refused),
            hint="export the model with inputs of these types and a known number of dimensions",
        )
    return tuple(spec for port in facts.inputs if (spec := port.spec()) is not None)


def usable_outputs(facts: OnnxFacts) -> tuple[tuple[Port, ...], dict[str, str]]:
    """The outputs that can be computed, and the others with the reason why not.

    Raises:
        Unsupported: no output can be computed.
    """
    left_out = {
        port.name: f"{reason} ({_ZIPMAP_HINT})" if port.kind in _ZIPPED else reason
        for port in facts.outputs
        if (reason := port.misfit(needs_shape=False))
    }
    usable = tuple(port for port in facts.outputs if port.name not in left_out)
    if not usable:
        reasons = "; ".join(f"{p.name!r}: {p.misfit(needs_shape=False)}" for p in facts.outputs)
        raise Unsupported(
            f"the model has no output that is a tensor ({reasons})",
            hint=output_hint(facts.outputs[-1]),
            code="output_unsupported",
        )
    return usable, left_out


def output_hint(port: Port) -> str:
    """What to do about an output that cannot be computed."""
    if port.kind in _ZIPPED:
        return _ZIPMAP_HINT
    return "leave it out of [model] outputs, or export the model without it"


def _maybe_states(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, str]:
    """Inputs and outputs that are alike, in order; none if nothing else would be left to fill.

    A guess that a person must confirm: a filter's output looks like its input, too.
    """
    found: dict[str, str] = {}
    for kind in {(spec.dtype, spec.shape) for spec in inputs}:
        back = [spec.name for spec in inputs if (spec.dtype, spec.shape) == kind]
        out = [spec.name for spec in outputs if (spec.dtype, spec.shape) == kind]
        if len(back) == len(out):
            found |= zip(back, out, strict=True)
    return found if len(found) < len(inputs) else {}


def _draft_tensor(
    spec: TensorSpec, is_only: bool, field_names: Sequence[str], used: set[str]
) -> Tensor:
    count = _values_in_row(spec)
    if count is None:
        return Tensor(
            name=spec.name,
            source="array",
            path=_free_name(_ODD.sub("_", spec.name).strip("_") or "values", used),
            missing_values="reject",
        )
    if is_only and len(field_names) == count:
        names: Sequence[str] = field_names
    elif count == 1:
        names = (spec.name,)
    else:
        prefix = "f" if is_only else f"{spec.name}_"
        names = [f"{prefix}{number}" for number in range(1, count + 1)]
    if names is field_names:  # as messages have them, so their paths are known to work
        fields = tuple(Field(name=name) for name in names)
    else:
        fields = tuple(_draft_field(name, used) for name in names)
    return Tensor(name=spec.name, source="fields", fields=fields)


def _draft_field(name: str, used: set[str]) -> Field:
    """A field; its path is spelled out when the name would not work as one."""
    key = _free_name(_ODD.sub("_", name).strip("_") or "value", used)
    return Field(name=name or key, path="" if key == name else key)


def _payload_bytes(inputs: Sequence[TensorSpec]) -> int:
    """The default, or room for one row where a row of numbers as text is longer than that."""
    values = sum(math.prod(max(size, 1) for size in spec.shape) for spec in inputs)
    wanted = DEFAULT_MAX_BYTES
    while wanted < values * _BYTES_A_NUMBER and wanted < LARGEST_MAX_BYTES:
        wanted *= 2
    return wanted


def _free_name(wanted: str, used: set[str]) -> str:
    name = wanted
    number = 2
    while name in used:
        name = f"{wanted}_{number}"
        number += 1
    used.add(name)
    return name


def _values_in_row(spec: TensorSpec) -> int | None:
    """How many named values fill a row of this tensor; None if a nested list suits it better."""
    shape = spec.shape
    if len(shape) > 2 or (len(shape) == 2 and shape[0] not in (DYNAMIC, 1)):
        return None
    count = 1 if shape in ((), (DYNAMIC,)) else shape[-1]
    if not 1 <= count <= MAX_FIELDS:
        return None
    return count if fields_layout(shape, count, None) is not None else None


def _picture(spec: TensorSpec) -> tuple[int, int, int] | None:
    """Height, width and channels of an input that looks like a picture, [N, C, H, W]."""
    shape = spec.shape
    if len(shape) != 4 or spec.dtype not in (*FLOATS, "uint8") or shape[1] not in (1, 3):
        return None
    height, width = (224 if size == DYNAMIC else size for size in shape[2:])
    return (height, width, shape[1]) if height > 1 and width > 1 else None
