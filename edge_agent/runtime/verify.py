"""What must hold before a module is run here: its bytes, its signature, the deployment's changes.

Compares only; loading and reading are the callers'.
"""

from edge_agent.contract.manifest import Manifest
from edge_agent.contract.names import digest_of
from edge_agent.contract.routes import config_problems
from edge_agent.contract.signature import DYNAMIC, TensorSpec
from edge_agent.contract.state import SlotConfig
from edge_agent.errors import ContractError, IntegrityError, Unsupported
from edge_agent.runtime.session import ModelSession


def check_digest_of(what: str, data: bytes, digest: str) -> None:
    """Check that bytes are the promised ones.

    Raises:
        IntegrityError: they are not.
    """
    found = digest_of(data)
    if found != digest:
        raise IntegrityError(
            f"{what} expected {digest}, found {found} ({len(data)} bytes)",
            hint="fetch it again; if that does not help, the disk is failing",
        )


def check_signature(manifest: Manifest, session: ModelSession) -> None:
    """Check that a model is what its manifest says.

    Raises:
        ContractError: inputs or outputs differ.
        Unsupported: an output is no tensor.
    """
    for wanted in manifest.model.computed:
        if wanted.name in session.unsupported_outputs:
            raise Unsupported(
                f"output {wanted.name!r}: {session.unsupported_outputs[wanted.name]}",
                code="output_unsupported",
                hint="leave it out of model.outputs, or export it as a tensor",
            )
    problems = [
        *_differences("input", manifest.model.inputs, session.inputs, is_complete=True),
        *_differences("output", manifest.model.computed, session.outputs, is_complete=False),
    ]
    if problems:
        raise ContractError(
            f"the manifest does not describe its model: {'; '.join(problems)}",
            hint="build the module again",
            code="signature_mismatch",
        )


def _differences(
    kind: str,
    wanted: tuple[TensorSpec, ...],
    found: tuple[TensorSpec, ...],
    *,
    is_complete: bool,
) -> list[str]:
    by_name = {spec.name: spec for spec in found}
    problems = []
    for spec in wanted:
        other = by_name.pop(spec.name, None)
        if other is None:
            problems.append(f"{kind} {spec.name!r} expected, not in the model")
        elif other.dtype != spec.dtype or not _are_shapes_compatible(spec.shape, other.shape):
            problems.append(f"{kind} expected {spec}, found {other}")
    if is_complete:
        problems += [f"{kind} {name!r} is missing in the manifest" for name in by_name]
    return problems


def _are_shapes_compatible(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    """Whether two descriptions can be of one tensor; onnxruntime may know more than the file."""
    if not left or not right:
        return True  # a shape that the file leaves out reads like that of a scalar
    return len(left) == len(right) and all(
        a == b or DYNAMIC in (a, b) for a, b in zip(left, right, strict=True)
    )


def check_config(manifest: Manifest, config: SlotConfig) -> None:
    """Check what a deployment changes about a module.

    Raises:
        ContractError: `config_invalid`.
    """
    if not (config.input_topic or config.output_topic or config.uplink):
        return
    problems = list(config_problems(manifest, config))
    if problems:
        raise ContractError(
            f"slot config: {'; '.join(problems)}",
            code="config_invalid",
            hint="correct the configuration of the deployment",
        )
