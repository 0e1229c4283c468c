"""A rollout as a value: its stages and assignments, as stored and as planned with. Pure."""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from cloud_sync.rollout_resources import (
    AssignmentState,
    RolloutState,
    RolloutWish,
    StageState,
    Verdict,
)
from edge_agent.contract.state import WantedSlot

Step = Literal["shadow", "run"]

NO_STAGE: Final = -1
"""In place of a stage's number: of a device that is left out."""


# Never part of a cycle, and there are very many of them: not for the garbage collector.
class Assignment(Struct, frozen=True, kw_only=True, gc=False):
    """One device's way to its version.

    Attributes:
        stage: number of its stage, from 0.
        site: the value of the policy's site tag; empty without one.
        module, version, digest: what it gets; with per-device models each its own.
        previous: what its slot wanted before the rollout, with its config; None for nothing.
        mode: as what it was last offered.
        revision: of the desired state of the last offer or revert; 0 before.
        is_wanted: its desired state asks for the version: since an offer, until a revert.
        since: when the state was entered, seconds since 1970.
        deadline: when it must be left; None only in states that may last.
        attempts: offers that missed their deadline.
        next_retry: not offered before; None if nothing waits.
        evidence: what the last transition rests on.
    """

    device: str
    stage: int
    module: str
    version: int
    digest: str
    site: str = ""
    previous: WantedSlot | None = None
    state: AssignmentState = AssignmentState.QUEUED
    mode: Step = "run"
    revision: int = 0
    is_wanted: bool = False
    since: float = 0.0
    deadline: float | None = None
    attempts: int = 0
    next_retry: float | None = None
    reason: str = ""
    evidence: dict[str, str] = {}


class Stage(Struct, frozen=True, kw_only=True):
    """One stage.

    Attributes:
        number: from 0.
        step: "shadow" while its version is to run beside the champion.
        is_full: every device that could be reached was, in this step.
        since: when the state was entered.
        deadline: when it must be left; None while it waits.
    """

    number: int
    size: int
    state: StageState = StageState.WAITING
    step: Step = "run"
    is_full: bool = False
    since: float = 0.0
    deadline: float | None = None
    verdict: Verdict | None = None
    reason: str = ""


class Rollout(Struct, frozen=True, kw_only=True):
    """A whole rollout.

    Attributes:
        id: a number; people write it with an r before it.
        wish: as it was asked for; its policy is the rollout's.
        slot: where the version goes.
        module, version: what it is about; version 0 with per-device models.
        seed: of every choice that chance makes.
        state_since: when the state was entered.
        trouble: what keeps it from something now, and what to do; empty for nothing.
        deadline: when a rollback must be over; what waits for a person is `deadlines.ends_at`'s.
        assignments: by device.
        left_out: devices that the target means and that get nothing, each with its reason; never
            among `assignments`, so that nothing that is counted of these counts them.
    """

    id: int
    wish: RolloutWish
    slot: str
    module: str
    version: int
    seed: int
    created: float
    created_by: str
    state: RolloutState = RolloutState.DRAFT
    state_since: float = 0.0
    state_reason: str = ""
    trouble: str = ""
    deadline: float | None = None
    started: float | None = None
    ended: float | None = None
    stages: tuple[Stage, ...] = ()
    assignments: Mapping[str, Assignment] = {}
    left_out: Mapping[str, Assignment] = {}
