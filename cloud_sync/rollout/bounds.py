"""How many devices may be on their way at once, of all and of each site. Pure.

Counted from the assignments each time, so that no count can drift from what is stored.
"""

from collections import Counter
from fractions import Fraction
from math import ceil, floor
from operator import attrgetter

from cloud_sync.rollout.rollout import Assignment, Rollout
from cloud_sync.rollout.states import IN_FLIGHT
from cloud_sync.rollout_resources import AssignmentState

_REVERTING = AssignmentState.REVERTING
_QUEUED = AssignmentState.QUEUED
_COMMITTED = AssignmentState.COMMITTED
_SITE = attrgetter("site")


def at_most(share: str, of: int) -> int:
    """How many devices a bound lets through: rounded down, and at least one.

    Args:
        share: "5", or "2.5%".
        of: of how many.
    """
    return max(1, floor(_exact(share, of)))


def at_least(share: str, of: int) -> int:
    """How many devices a stage takes in: rounded up, and never more than there are."""
    return min(of, ceil(_exact(share, of)))


def _exact(share: str, of: int) -> Fraction:
    # Exact: 2.9 % of 1,000 are 29, and a float would say 28.
    return Fraction(share[:-1]) * of / 100 if share.endswith("%") else Fraction(share)


def is_in_flight(assignment: Assignment, now: float) -> bool:
    """Whether a device is on its way now.

    One that does not come back in time does not count: else a device that has vanished would keep
    others from being taken back.
    """
    if assignment.state not in IN_FLIGHT:
        return False
    deadline = assignment.deadline
    return assignment.state is not _REVERTING or deadline is None or now < deadline


class Room:
    """What the bounds leave, while devices are being offered something.

    A device that waits for another try is counted before those that were never asked: its desired
    state asks for the version, so that it may begin any time.

    Args:
        rollout: with its policy.
        now: seconds since 1970.
    """

    def __init__(self, rollout: Rollout, now: float) -> None:
        policy = rollout.wish.policy
        assignments = rollout.assignments
        self._in_flight: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()
        for assignment in assignments.values():
            state = assignment.state
            if state is _QUEUED:
                if assignment.is_wanted:
                    self._waiting[assignment.site] += 1
            elif state is not _COMMITTED and is_in_flight(assignment, now):
                self._in_flight[assignment.site] += 1
        self._bound = at_most(policy.max_in_flight, len(assignments))
        self._share = policy.max_in_flight_per_site
        self._sizes = Counter(map(_SITE, assignments.values()))
        self._total = self._in_flight.total()
        self._total_waiting = self._waiting.total()

    def has_waiting(self) -> bool:
        """Whether a device waits for another try."""
        return self._total_waiting > 0

    def is_full(self) -> bool:
        """Whether nobody at all may be offered anything."""
        return self._total >= self._bound

    def take(self, assignment: Assignment) -> bool:
        """Take the room for a device; False, and nothing taken, if there is none."""
        site = assignment.site
        is_waiting = assignment.state is _QUEUED and assignment.is_wanted
        others = 0 if is_waiting else self._total_waiting
        if self._total + others >= self._bound:
            return False
        # Devices that do not say where they are have no neighbours to spare.
        if site:
            others = 0 if is_waiting else self._waiting[site]
            if self._in_flight[site] + others >= at_most(self._share, self._sizes[site]):
                return False
        self._in_flight[site] += 1
        self._total += 1
        if is_waiting:
            self._waiting[site] -= 1
            self._total_waiting -= 1
        return True
