"""What one message asks the model. Values only, but for the memory of its source."""

from msgspec import Struct

from edge_agent.runtime.binding.fields import Scalar
from edge_agent.runtime.binding.memory import SourceMemory
from edge_agent.runtime.session import Feed


class Turn(Struct, frozen=True):
    """The turn of a message in the order of its source topic.

    Attributes:
        source: whose state it reads and changes.
        fingerprint: of its payload.
        is_repeat: it had its turn before; this time it changes nothing.
    """

    source: SourceMemory
    fingerprint: int
    is_repeat: bool


class Bound(Struct, frozen=True):
    """What one message asks the model.

    Attributes:
        runs: one feed for each run.
        rows: rows, windows or pictures in all runs together.
        is_list: whether the answer is a list with one value for each run.
        adds_rows: whether the first dimension of the feeds was added by the binding, so that the
            answer should not have it either.
        may_join: whether a run may hold other messages' rows as well.
        turn: for `Binding.keep`; None if the model has no state.
        row: values that are not in a feed yet, in place of `runs`; see `Binding.feeds`.
    """

    runs: tuple[Feed, ...]
    rows: int
    is_list: bool
    adds_rows: bool
    may_join: bool = False
    turn: Turn | None = None
    row: list[Scalar] | None = None
