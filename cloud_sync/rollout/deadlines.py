"""What ends a state that nobody ends: how long a rollout waits for a person, a stage for devices.

Pure. It knows no verdicts: what becomes of a stage that is late is `staging`'s business.
"""

from math import ceil
from typing import Final

from cloud_sync.rollout.bounds import at_most
from cloud_sync.rollout.decisions import Extend, MoveRollout
from cloud_sync.rollout.jitter import longest_delay_s
from cloud_sync.rollout.rollout import Rollout, Stage
from cloud_sync.rollout.windows import longest_closed_s
from cloud_sync.rollout_resources import RolloutState, StageState

_R: Final = RolloutState
_S: Final = StageState
_NOBODY: Final = {
    _R.DRAFT: "nobody started it in time",
    _R.PENDING_APPROVAL: "nobody approved it in time",
    _R.READY: "nobody started it in time",
    _R.PAUSED: "nobody resumed it or took it back in time",
}
"""The states that a person has to end, and what is said if none does."""

_RUNS_ON: Final = frozenset({_S.FILLING, _S.JUDGING})
"""States of a stage whose time is for what a pause keeps from happening.

Not a soak: a version that ran while the rollout was paused ran.
"""


def ends_at(rollout: Rollout) -> float | None:
    """When a rollout's state ends at the latest, if nobody does anything.

    Returns:
        Seconds since 1970; None of a state that is an end, or that its stages bound.
    """
    if rollout.state in _NOBODY:
        return rollout.state_since + rollout.wish.policy.unattended_s
    return rollout.deadline


def given_up(rollout: Rollout, now: float) -> tuple[MoveRollout, ...]:
    """The end of a rollout that has waited for a person for too long.

    What it has given to devices stays, as when somebody aborts it.
    """
    reason = _NOBODY.get(rollout.state)
    latest = ends_at(rollout)
    if reason is None or latest is None or now < latest:
        return ()
    days = rollout.wish.policy.unattended_s / 86_400
    return (MoveRollout(state=_R.CANCELLED, reason=f"{reason}: it waited for {days:g} days"),)


def filled_by(rollout: Rollout, stage: Stage, now: float) -> float:
    """When a stage is full at the latest, if every device takes as long as it may.

    Every try may begin when a maintenance window has just closed, and who waits for another one
    keeps its room meanwhile.
    """
    policy = rollout.wish.policy
    rounds = ceil(stage.size / at_most(policy.max_in_flight, len(rollout.assignments)))
    try_s = policy.download_s + policy.install_s + policy.trial_s + longest_closed_s(policy.windows)
    waits_s = sum(longest_delay_s(tried, policy.retry_s) for tried in range(1, policy.retries + 1))
    round_s = (policy.retries + 1) * try_s + waits_s
    return now + policy.offline_after_s + policy.lock_max_s + rounds * round_s


def after_pause(rollout: Rollout, stage: Stage, now: float) -> tuple[Extend, ...]:
    """The time that a paused rollout's stage is given back when somebody resumes it."""
    if stage.state not in _RUNS_ON or stage.deadline is None:
        return ()
    paused_s = max(0.0, now - rollout.state_since)
    return (Extend(stage=stage.number, deadline=stage.deadline + paused_s),)


def is_stopped_clock(rollout: Rollout, stage: Stage) -> bool:
    """Whether a stage's deadline moves with each moment: its rollout is paused."""
    return rollout.state is _R.PAUSED and stage.state in _RUNS_ON
