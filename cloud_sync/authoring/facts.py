"""The facts of an ONNX file that a module's build needs. Values only; pure."""

from typing import Literal

from msgspec import Struct

from edge_agent.contract.signature import DTYPES, TensorSpec

Kind = Literal["tensor", "sequence", "map", "optional", "sparse tensor", "unknown"]


class Port(Struct, frozen=True, kw_only=True):
    """One input or output of a graph.

    Attributes:
        kind: only tensors can be bound.
        dtype: numpy name, or ONNX's own for types that are not supported ("bfloat16").
        shape: -1 for a free dimension; None when the file does not even say how many there are.
        dims: the names of the free dimensions as the file has them, empty where it has none.
    """

    name: str
    kind: Kind
    dtype: str = ""
    shape: tuple[int, ...] | None = None
    dims: tuple[str, ...] = ()

    def spec(self) -> TensorSpec | None:
        """The port as a tensor of the contract, or None if it cannot be one."""
        if self.kind != "tensor" or self.dtype not in DTYPES or self.shape is None:
            return None
        return TensorSpec(self.name, self.dtype, self.shape)  # type: ignore[arg-type]  # checked

    def misfit(self, *, needs_shape: bool = True) -> str:
        """Why the port cannot be bound; empty if it can.

        Args:
            needs_shape: whether the number of dimensions must be known, as it must for inputs.
        """
        if self.kind != "tensor":
            return f"it is a {self.kind}, not a tensor"
        if self.dtype not in DTYPES:
            return f"its element type is {self.dtype}, and these are run: {', '.join(DTYPES)}"
        if needs_shape and self.shape is None:
            return "the file does not say how many dimensions it has"
        return ""


class OnnxFacts(Struct, frozen=True, kw_only=True):
    """What stands in an ONNX file.

    Attributes:
        opsets: operator set domain to version: those that nodes use, and those this version knows.
        foreign: domain that is not run to the names of its operators that are used.
        inputs: what a caller must give: initializers that can be overridden are left out.
        outputs: every output of the graph, in its order.
        external: names of tensors whose data stands in another file.
        nodes: how many, in all graphs and functions.
        producer: the program that wrote the file, and its version.
    """

    ir_version: int
    opsets: dict[str, int]
    foreign: dict[str, tuple[str, ...]]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    external: tuple[str, ...]
    nodes: int
    producer: str = ""
