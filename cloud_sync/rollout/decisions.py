"""What a planner decides, as data: each is one transition, or one change of a desired state."""

from msgspec import Struct

from cloud_sync.rollout.rollout import Assignment, Step
from cloud_sync.rollout_resources import AssignmentState, RolloutState, StageState, Verdict


class MoveRollout(Struct, frozen=True, kw_only=True):
    """The rollout enters a state."""

    state: RolloutState
    reason: str
    deadline: float | None = None


class MoveStage(Struct, frozen=True, kw_only=True):
    """A stage enters a state; `step` is given where it changes."""

    stage: int
    state: StageState
    reason: str
    deadline: float | None = None
    step: Step | None = None
    verdict: Verdict | None = None


class Move(Struct, frozen=True, kw_only=True):
    """An assignment enters a state, because of what its device reported or did not."""

    device: str
    state: AssignmentState
    reason: str
    deadline: float | None = None
    attempts: int | None = None
    next_retry: float | None = None
    evidence: dict[str, str] = {}


class Offer(Struct, frozen=True, kw_only=True):
    """A device is asked to run the version, or to run it as a shadow: a new revision."""

    device: str
    mode: Step
    deadline: float
    reason: str


class Revert(Struct, frozen=True, kw_only=True):
    """A device is asked to run what it ran before, with its config: a new, higher revision.

    Attributes:
        state: of the assignment from now on: REVERTING; or how it ended if the device went back
            by itself and only its desired state has to follow; or QUEUED if it was not there to
            be changed; or as it was, for one that is away and hears of it when it is back.
        attempts: as in `Move`.
    """

    device: str
    state: AssignmentState
    reason: str
    deadline: float | None = None
    attempts: int | None = None
    evidence: dict[str, str] = {}


class Join(Struct, frozen=True, kw_only=True):
    """A late device becomes part of the rollout, or is left out for good."""

    assignment: Assignment


class Judged(Struct, frozen=True, kw_only=True):
    """A verdict that changes no state, to be shown."""

    stage: int
    verdict: Verdict


class Extend(Struct, frozen=True, kw_only=True):
    """A stage gets more time for the state that it is in."""

    stage: int
    deadline: float


class Trouble(Struct, frozen=True, kw_only=True):
    """Something keeps the rollout from what it should do; empty if nothing does any more."""

    text: str


Decision = MoveRollout | MoveStage | Move | Offer | Revert | Join | Judged | Extend | Trouble
