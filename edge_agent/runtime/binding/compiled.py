"""A manifest's tensors, compiled: one source, constant or state for each input of the model."""

from msgspec import Struct

from edge_agent.contract.layout import array_layout, fields_layout, image_layout
from edge_agent.contract.manifest import Manifest, Tensor
from edge_agent.contract.signature import TensorSpec
from edge_agent.errors import Unsupported
from edge_agent.runtime.binding.array import ArraySource
from edge_agent.runtime.binding.constant import Constant
from edge_agent.runtime.binding.named import NamedSource
from edge_agent.runtime.binding.picture import PictureSource
from edge_agent.runtime.binding.raw import RawSource
from edge_agent.runtime.binding.source import RowSource, Source
from edge_agent.runtime.binding.state import StateSource


class Compiled(Struct):
    """What fills the inputs of a model.

    Attributes:
        sources: give tensors of a message.
        row_sources: give rows that a window collects.
        constants: are the same for every message.
        states: are fed back.
    """

    sources: list[Source] = []
    row_sources: list[RowSource] = []
    constants: list[Constant] = []
    states: list[StateSource] = []


def compile_tensors(manifest: Manifest) -> Compiled:
    """Make everything that fills the inputs of a manifest's model, in the manifest's order.

    Args:
        manifest: must have passed `check_fit`.

    Raises:
        Unsupported: a tensor and its model input cannot be brought together.
        MessageError: a constant or an initial state is not of its tensor's type.
    """
    specs = {spec.name: spec for spec in manifest.model.inputs}
    window = manifest.input.window
    compiled = Compiled()
    for tensor in manifest.tensors:
        spec = specs[tensor.name]
        match tensor.source:
            case "fields" | "array":
                source = _rows(tensor, spec, window.size if window is not None else None)
                if window is None:
                    compiled.sources.append(source)
                else:
                    compiled.row_sources.append(source)
            case "bytes":
                compiled.sources.append(RawSource(tensor, spec))
            case "image":
                layout = image_layout(spec.shape, tensor.image) if tensor.image else None
                if layout is None:
                    raise _misfit(tensor, spec)
                compiled.sources.append(PictureSource(tensor, spec, layout))
            case "constant":
                compiled.constants.append(Constant(tensor, spec))
            case "state":
                compiled.states.append(_state(tensor, spec, manifest.model.computed))
    return compiled


def _rows(tensor: Tensor, spec: TensorSpec, window: int | None) -> NamedSource | ArraySource:
    if tensor.source == "fields":
        layout = fields_layout(spec.shape, len(tensor.fields), window)
        if layout is not None:
            return NamedSource(tensor, spec, layout)
    else:
        layout = array_layout(spec.shape, window)
        if layout is not None:
            return ArraySource(tensor, spec, layout, window)
    raise _misfit(tensor, spec)


def _state(tensor: Tensor, spec: TensorSpec, outputs: tuple[TensorSpec, ...]) -> StateSource:
    for index, output in enumerate(outputs):
        if output.name == tensor.output:
            return StateSource(tensor, spec, output, index)
    raise _misfit(tensor, spec)


def _misfit(tensor: Tensor, spec: TensorSpec) -> Unsupported:
    return Unsupported(
        f"tensor {tensor.name!r} from {tensor.source!r} cannot fill {spec}",
        hint="let another source fill it; the guide on modules lists what each can",
    )
