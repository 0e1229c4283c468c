"""The three life cycles of a rollout as tables: which state may follow which. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from cloud_sync.errors import Conflict
from cloud_sync.rollout_resources import AssignmentState, RolloutState, StageState

_R = RolloutState
ROLLOUT: Final[Mapping[RolloutState, frozenset[RolloutState]]] = {
    _R.DRAFT: frozenset({_R.PENDING_APPROVAL, _R.READY, _R.CANCELLED}),
    _R.PENDING_APPROVAL: frozenset({_R.READY, _R.CANCELLED}),
    _R.READY: frozenset({_R.RUNNING, _R.CANCELLED, _R.SUPERSEDED}),
    _R.RUNNING: frozenset(
        {
            _R.PAUSED,
            _R.COMPLETED,
            _R.COMPLETED_DEGRADED,
            _R.ROLLING_BACK,
            _R.CANCELLED,
            _R.SUPERSEDED,
        }
    ),
    _R.PAUSED: frozenset({_R.RUNNING, _R.ROLLING_BACK, _R.CANCELLED, _R.SUPERSEDED}),
    # Finished, and yet: a device was found to run something else, a label came, a person wants
    # the version gone.
    _R.COMPLETED: frozenset({_R.RUNNING, _R.ROLLING_BACK, _R.SUPERSEDED}),
    # Completed: the last devices that were away got there.
    _R.COMPLETED_DEGRADED: frozenset({_R.COMPLETED, _R.RUNNING, _R.ROLLING_BACK, _R.SUPERSEDED}),
    _R.ROLLING_BACK: frozenset({_R.ROLLED_BACK, _R.ROLLBACK_INCOMPLETE, _R.SUPERSEDED}),
    _R.ROLLBACK_INCOMPLETE: frozenset({_R.ROLLING_BACK, _R.ROLLED_BACK, _R.SUPERSEDED}),
    _R.ROLLED_BACK: frozenset(),
    _R.CANCELLED: frozenset(),
    _R.SUPERSEDED: frozenset(),
}

_S = StageState
STAGE: Final[Mapping[StageState, frozenset[StageState]]] = {
    _S.WAITING: frozenset({_S.FILLING}),
    _S.FILLING: frozenset({_S.SOAKING, _S.FAILED, _S.INCONCLUSIVE}),
    _S.SOAKING: frozenset({_S.JUDGING, _S.FAILED, _S.INCONCLUSIVE}),
    # Back to filling: its shadow step passed, and now the version is to answer; or it was stopped
    # before it was full, and did not fail when it was judged again.
    _S.JUDGING: frozenset({_S.PASSED, _S.FAILED, _S.INCONCLUSIVE, _S.FILLING}),
    # Labels came that say otherwise.
    _S.PASSED: frozenset({_S.FAILED}),
    # A person who resumes has it judged again; it never just goes on.
    _S.FAILED: frozenset({_S.JUDGING}),
    _S.INCONCLUSIVE: frozenset({_S.JUDGING}),
}

_A = AssignmentState
_OFF_THE_WAY: Final = frozenset(
    {_A.REJECTED, _A.FAILED, _A.ROLLED_BACK, _A.TIMED_OUT, _A.EXPIRED, _A.SUPERSEDED}
)
_ON_THE_WAY: Final = frozenset(
    {_A.DOWNLOADING, _A.VERIFIED, _A.TRIAL, _A.SHADOW, _A.COMMITTED, _A.REVERTING, _A.QUEUED}
)
ASSIGNMENT: Final[Mapping[AssignmentState, frozenset[AssignmentState]]] = {
    # One that waits to be offered the version again may get there, or fail, by itself meanwhile.
    _A.QUEUED: frozenset(
        {
            _A.OFFERED,
            _A.SHADOW,
            _A.COMMITTED,
            _A.REVERTING,
            _A.ALREADY_PRESENT,
            _A.NOT_APPLICABLE,
            _A.REJECTED,
            _A.ROLLED_BACK,
            _A.EXPIRED,
            _A.SUPERSEDED,
            _A.TIMED_OUT,
        }
    ),
    # Reports may be missed, so a later step may be seen first; a device that lost something may
    # be seen at an earlier one.
    _A.OFFERED: _ON_THE_WAY | _OFF_THE_WAY,
    _A.DOWNLOADING: _ON_THE_WAY | _OFF_THE_WAY,
    _A.VERIFIED: _ON_THE_WAY | _OFF_THE_WAY,
    _A.TRIAL: _ON_THE_WAY | _OFF_THE_WAY,
    # Offered again: the shadow step passed, and the version is to answer.
    _A.SHADOW: _ON_THE_WAY | _OFF_THE_WAY | {_A.OFFERED},
    # Reopened when a later report shows another digest: back into the queue, so that no bound is
    # passed. One that was told to go back while it was away may be seen when it is back.
    _A.COMMITTED: frozenset({_A.QUEUED, _A.REVERTING, _A.ROLLED_BACK, _A.SUPERSEDED}),
    _A.REVERTING: frozenset({_A.ROLLED_BACK, _A.REJECTED, _A.FAILED, _A.TIMED_OUT, _A.SUPERSEDED}),
    _A.REJECTED: frozenset(),
    _A.FAILED: frozenset(),
    _A.ROLLED_BACK: frozenset(),
    _A.TIMED_OUT: frozenset(),
    _A.EXPIRED: frozenset(),
    _A.SUPERSEDED: frozenset(),
    _A.ALREADY_PRESENT: frozenset(),
    _A.NOT_APPLICABLE: frozenset(),
}

IN_FLIGHT: Final = frozenset({_A.OFFERED, _A.DOWNLOADING, _A.VERIFIED, _A.TRIAL, _A.REVERTING})
"""The device is changing: these count against the bounds."""

ENDED: Final = frozenset(state for state, after in ASSIGNMENT.items() if not after)
"""Nothing follows."""

ENDED_BADLY: Final = frozenset({_A.REJECTED, _A.FAILED, _A.ROLLED_BACK, _A.TIMED_OUT})
"""It was tried, and does not run: a failure of the version, or of the device."""

ACTIVE: Final = IN_FLIGHT | {_A.QUEUED, _A.SHADOW, _A.COMMITTED}
"""The rollout still has a say in what this device's slot runs."""


_State = TypeVar("_State", bound=StrEnum)


def check(table: Mapping[_State, frozenset[_State]], before: _State, after: _State) -> _State:
    """Return `after` if it may follow `before`.

    Raises:
        Conflict: an undefined transition.
    """
    if after not in table[before]:
        raise Conflict(
            f"cannot go from {before} to {after}",
            hint=f"from {before} it goes to {', '.join(sorted(table[before])) or 'nothing else'}",
            code="bad_transition",
        )
    return after
