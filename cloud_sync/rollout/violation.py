"""What rollouts promise, how a broken promise is told, and what it is seen from. Pure values."""

from enum import StrEnum

from msgspec import Struct


class Invariant(StrEnum):
    """The promises, each by a name."""

    BOUNDS = "in flight never over any bound"
    ONE_ACTIVE = "one active assignment per device and slot"
    SUCCESSION = "a superseded one never installs after its successor"
    TERMINAL = "terminal states stay terminal"
    TRANSITION = "only transitions of the tables, each from where the last one led"
    MISSING_DATA = "missing data never advances"
    RESUME = "resume judges the failed stage again"
    REOPENED = "a committed device whose later reports show another digest is reopened"
    PAUSE = "nothing is offered unless the rollout is running"
    ORDER = "a stage begins when all before it have passed"
    LEFT_BEHIND = "a rollout that ended leaves no device on its way"


class Violation(Struct, frozen=True, kw_only=True):
    """A promise that was not kept.

    Attributes:
        event: number of the event after which it was seen; 0 if at the end of the history.
    """

    invariant: Invariant
    rollout: int
    text: str
    device: str = ""
    event: int = 0


class Heard(Struct, frozen=True, kw_only=True):
    """A device's report about a slot, as the service took it in, by the service's clock.

    Attributes:
        is_active: it said that what runs is there to stay: its trial is over.
    """

    device: str
    slot: str
    time: float
    revision_seen: int
    running: str
    is_active: bool = True


class Installed(Struct, frozen=True, kw_only=True):
    """A device began to run something, because of a revision: as the device itself remembers it."""

    device: str
    slot: str
    revision: int
    digest: str
