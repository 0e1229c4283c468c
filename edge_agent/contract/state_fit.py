"""Fit of `from = "state"`: can this output be fed back to this input? Pure."""

from collections.abc import Iterator, Mapping

from edge_agent.contract.manifest import Tensor
from edge_agent.contract.names import did_you_mean
from edge_agent.contract.signature import DYNAMIC, TensorSpec
from edge_agent.contract.value_fit import Place, value_misfit, value_problems


def state_problems(
    tensor: Tensor, spec: TensorSpec, outputs: Mapping[str, TensorSpec]
) -> Iterator[tuple[Place, str]]:
    """What does not fit, each with the key of the tensor where it can be put right.

    Args:
        tensor: how the input is filled.
        spec: the input.
        outputs: of the model that are computed, by name.
    """
    at: Place = ("output",)
    output = outputs.get(tensor.output)
    if not tensor.output:
        yield at, "from = 'state' needs the output of the model that is fed back"
    elif output is None:
        hint = did_you_mean(tensor.output, outputs)
        yield at, f"the model has no output {tensor.output!r}; {hint}".rstrip("; ")
    elif output.dtype != spec.dtype or not _can_be_fed(output.shape, spec.shape):
        yield at, f"the output {output} cannot be fed to the input {spec}"
    if spec.dtype == "string":
        yield (), "a state is numbers, the model takes strings"
        return
    yield from ((("value",), text) for text in _initial_problems(tensor.value, spec))


def _can_be_fed(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether a tensor can have both shapes; a file may leave an output's shape out."""
    if not found and wanted:
        return True
    return len(found) == len(wanted) and all(
        a == b or DYNAMIC in (a, b) for a, b in zip(found, wanted, strict=True)
    )


def _initial_problems(value: object, spec: TensorSpec) -> Iterator[str]:
    if value is None:
        return
    if isinstance(value, list | tuple):
        yield from value_problems(value, spec, may_be_row=True)
        return
    misfit = value_misfit(value, spec.dtype)
    if misfit:
        yield f"value expected {misfit}, or a nested list of these; found {value!r}"
