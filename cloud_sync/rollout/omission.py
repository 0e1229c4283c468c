"""Omissions: devices that a target means and that a rollout leaves out, as what, and why. Pure.

An omission is an assignment that ended before it began. It belongs to no stage, so that nothing
that is counted for a stage, a bound or a verdict counts it; it is there to be shown.
"""

from collections.abc import Sequence
from typing import Final

from cloud_sync.resources import ModuleVersion
from cloud_sync.rollout.cohort import Candidate
from cloud_sync.rollout.rollout import NO_STAGE, Assignment
from cloud_sync.rollout_resources import AssignmentState, Obstacle

ASKED_ALREADY: Final = "asked_already"
BEHIND_THE_LAST_STAGE: Final = "behind_the_last_stage"


def already(device: str, version: ModuleVersion, *, is_running: bool) -> Assignment:
    """A device whose slot wants exactly this without the rollout.

    Args:
        device: its name.
        version: that it would get.
        is_running: it reports that digest; else it was asked, and has not shown it yet.
    """
    if is_running:
        state, text, code = AssignmentState.ALREADY_PRESENT, "it runs exactly this already", ""
    else:
        text = "it was asked for exactly this before, and does not report yet that it runs it"
        state, code = AssignmentState.NOT_APPLICABLE, ASKED_ALREADY
    return _omission(device, version.name, version.version, version.digest, state, code, text)


def is_already(assignment: Assignment) -> bool:
    """Whether it was found to want exactly what the rollout brings."""
    return (
        assignment.state is AssignmentState.ALREADY_PRESENT
        or assignment.evidence.get("code") == ASKED_ALREADY
    )


def unfit(
    device: str, version: ModuleVersion | None, module: str, obstacles: Sequence[Obstacle]
) -> Assignment:
    """A device that cannot take its version.

    Args:
        device: its name.
        version: that it would get; None if there is none for it.
        module: whose version it would get.
        obstacles: what is in the way, at least one.
    """
    text = "; ".join(obstacle.text for obstacle in obstacles)
    number, digest = (0, "") if version is None else (version.version, version.digest)
    state = AssignmentState.NOT_APPLICABLE
    return _omission(device, module, number, digest, state, obstacles[0].code, text)


def behind_the_last_stage(candidate: Candidate) -> Assignment:
    """A device that the last stage does not take in any more."""
    return _omission(
        candidate.device,
        candidate.module,
        candidate.version,
        candidate.digest,
        AssignmentState.NOT_APPLICABLE,
        BEHIND_THE_LAST_STAGE,
        "the last stage does not take in all devices",
    )


def _omission(
    device: str,
    module: str,
    version: int,
    digest: str,
    state: AssignmentState,
    code: str,
    text: str,
) -> Assignment:
    return Assignment(
        device=device,
        stage=NO_STAGE,
        module=module,
        version=version,
        digest=digest,
        state=state,
        reason=text,
        evidence={"code": code} if code else {},
    )
