"""What every source of a tensor is: something that turns messages into arrays of one input."""

from typing import Protocol

from edge_agent.contract.layout import Layout
from edge_agent.runtime.session import Array


class Source(Protocol):
    """Fills one input of a model from decoded messages."""

    @property
    def name(self) -> str:
        """Of the model's input."""
        ...

    @property
    def layout(self) -> Layout:
        """How rows lie in it."""
        ...

    def stack(self, messages: list[object], *, is_list: bool) -> tuple[Array, bool]:
        """All rows of some messages, [n, *row], for a layout that is stackable.

        Args:
            messages: decoded messages, at least one.
            is_list: whether they came as a list, so that even one of them is many.

        Returns:
            The array, and whether its first dimension was added here.

        Raises:
            MessageError: the messages do not fit.
        """
        ...

    def whole(self, message: object) -> tuple[Array, bool]:
        """The whole tensor for one run on one message, for a layout of any kind.

        Returns:
            The array, and whether its first dimension was added here.

        Raises:
            MessageError: the message does not fit.
        """
        ...


class RowSource(Protocol):
    """Gives the rows that a window collects."""

    @property
    def name(self) -> str:
        """Of the model's input."""
        ...

    @property
    def layout(self) -> Layout:
        """How rows lie in it."""
        ...

    def rows(self, messages: list[object], *, is_list: bool) -> tuple[Array, bool]:
        """The rows of some messages, [n, F], and whether they are one row that came alone.

        Raises:
            MessageError: the messages do not fit.
        """
        ...
