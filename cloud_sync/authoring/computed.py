"""Which outputs of a model a module computes: those that it publishes, and those it feeds back.

Asks onnxruntime, in a child process, only where the ONNX file leaves a shape out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from cloud_sync.authoring.draft import output_hint, usable_outputs
from cloud_sync.authoring.facts import OnnxFacts, Port
from cloud_sync.authoring.rehearsal import loaded_outputs
from cloud_sync.authoring.source import SourceFile
from cloud_sync.errors import ModuleError
from edge_agent.contract.names import did_you_mean
from edge_agent.contract.signature import TensorSpec


class Computed(Struct, frozen=True, kw_only=True):
    """Outputs of a model.

    Attributes:
        published: in the order in which they are published.
        fed_back: computed for a state alone.
        warnings: what a person should know, one sentence each.
    """

    published: tuple[TensorSpec, ...]
    fed_back: tuple[TensorSpec, ...]
    warnings: tuple[str, ...] = ()


def select_outputs(file: SourceFile, facts: OnnxFacts, model_path: Path) -> Computed:
    """The outputs that module.toml asks for, or all that can be computed.

    Without a list of outputs, those that are fed back are not published: they are the model's
    memory, and hardly anybody's answer.

    Args:
        file: with [model] outputs and the [[tensor]]s that are states.
        facts: of the ONNX file.
        model_path: the ONNX file.

    Raises:
        ModuleError: there is no such output, or it cannot be computed.
        Unsupported: no output can be computed.
        ModelError: onnxruntime had to be asked, and cannot load the model.
    """
    ports = {port.name: port for port in facts.outputs}
    listed = file.source.model.outputs
    wanted = [
        (file.where("tensor", index, "output"), table.output)
        for index, table in enumerate(file.source.tensor)
        if table.source == "state" and table.output
    ]
    states = {name: _port(ports, name, where) for where, name in wanted}
    warnings: list[str] = []
    if listed:
        published = [
            _port(ports, name, file.where("model", "outputs", index))
            for index, name in enumerate(listed)
        ]
    else:
        usable, left_out = usable_outputs(facts)
        published = [port for port in usable if port.name not in states] or list(usable)
        warnings += [f"output {name!r} is left out: {why}" for name, why in left_out.items()]
    names = {port.name for port in published}
    fed_back = [port for name, port in states.items() if name not in names]
    specs = _specs([*published, *fed_back], model_path)
    return Computed(
        published=specs[: len(published)],
        fed_back=specs[len(published) :],
        warnings=tuple(warnings),
    )


def _port(ports: Mapping[str, Port], name: str, where: str) -> Port:
    port = ports.get(name)
    if port is None:
        raise ModuleError(
            f"{where}: the model has no output {name!r}", hint=did_you_mean(name, ports)
        )
    misfit = port.misfit(needs_shape=False)
    if misfit:
        raise ModuleError(
            f"{where}: output {name!r} cannot be computed: {misfit}",
            hint=output_hint(port),
            code="output_unsupported",
        )
    return port


def _specs(ports: Sequence[Port], model_path: Path) -> tuple[TensorSpec, ...]:
    if any(port.shape is None for port in ports):
        # The file leaves shapes out; what onnxruntime infers is all there is to know.
        known = {spec.name: spec for spec in loaded_outputs(model_path)}
        return tuple(port.spec() or known[port.name] for port in ports)
    return tuple(spec for port in ports if (spec := port.spec()) is not None)
