"""What became of one run with a fault in it."""

from msgspec import Struct

from tests.faults.preload import Action


class Scenario(Struct, frozen=True):
    """One fault.

    Attributes:
        chapter: of the story, from 0.
        action: what happens.
        number: at which call of the chapter, from 1.
    """

    chapter: int
    action: Action
    number: int


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of it.

    Attributes:
        scenario: the fault.
        point: where it happened; empty if the call was never made.
        kills: processes that were killed.
        is_torn: whether what was found afterwards was neither the old state nor the new.
        complaints: what was wrong afterwards, for people.
        recovery_s: longest start after it, until everything that was interrupted is known.
        functions: of the agent that changed the disk after the fault.
    """

    scenario: Scenario
    point: str = ""
    kills: int = 0
    is_torn: bool = False
    complaints: tuple[str, ...] = ()
    recovery_s: float = 0.0
    functions: frozenset[str] = frozenset()
