"""`from = "state"`: an output of the model, fed back for the next row of the same source."""

import numpy as np

from edge_agent.contract.kept import state_shape
from edge_agent.contract.layout import Layout
from edge_agent.contract.manifest import Tensor
from edge_agent.contract.signature import DYNAMIC, TensorSpec
from edge_agent.errors import ModelError
from edge_agent.runtime.binding.nested import NestedReader
from edge_agent.runtime.session import Array


class StateSource:
    """One state of the model.

    Args:
        tensor: with its output and its initial value.
        spec: the model's input.
        output: the output that is fed back.
        index: of this output among those that are computed.

    Attributes:
        name: of the model's input.
        initial: the state of a source that was never heard.
        layout: how one source's state lies in the input.

    Raises:
        MessageError: the initial value is not of the tensor's type or shape.
    """

    def __init__(self, tensor: Tensor, spec: TensorSpec, output: TensorSpec, index: int) -> None:
        self.name = tensor.name
        self._output = output.name
        self._index = index
        shape = state_shape(tensor.value, spec)
        self.initial: Array = np.zeros(shape, dtype=spec.dtype)
        if tensor.value is not None:
            reader = NestedReader(tensor.name, spec.dtype, allow_missing=False)
            value = reader.read(tensor.value)
            self.initial = np.full(shape, value) if value.ndim == 0 else value.reshape(shape)
        # States of several sources lie in one run only where rows do, too, one behind the other.
        is_stackable = spec.is_batched and spec.shape.count(DYNAMIC) == 1
        is_stackable = is_stackable and output.shape[:1] == (DYNAMIC,) and shape[0] == 1
        self.layout = Layout(shape[1:] if is_stackable else shape, is_stackable, is_stackable)

    def next_state(self, arrays: list[Array]) -> Array:
        """The state that a run leaves behind.

        Args:
            arrays: one message's part of all outputs that were computed.
        """
        return arrays[self._index]

    def check(self, arrays: list[Array], messages: int) -> None:
        """Check the states that a run leaves behind, of all its messages at once.

        Args:
            arrays: all outputs that were computed.
            messages: whose states lie in them, one behind the other.

        Raises:
            ModelError: `state_shape` or `state_not_a_number`: with it, no later answer of its
                source would be right, and nothing would ever put it right again.
        """
        state = arrays[self._index]
        wanted = self.initial.shape
        if state.shape != (wanted if messages == 1 else (messages, *wanted[1:])):
            raise ModelError(
                f"state {self.name!r} expected the shape {list(wanted)}, found "
                f"{list(state.shape)} in output {self._output!r}",
                hint="give [[tensor]] value with the shape of one source's state",
                code="state_shape",
            )
        if state.dtype.kind == "f" and np.isnan(state).any():
            raise ModelError(
                f"state {self.name!r} expected numbers, found NaN in output {self._output!r}; "
                "the state stays what it was",
                code="state_not_a_number",
                hint="look at the values of this message; the model computed no number from them",
            )
