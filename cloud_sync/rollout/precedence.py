"""Which of two rollouts goes first where both want a device's slot. Pure.

The one place that says so: higher priority; of equals the one that started later; then the higher
number. Must know nothing of devices: what going first means for one of them is `takeover`'s.
"""

from math import inf
from typing import Final

from msgspec import Struct

from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.summary import rollout_name

NOT_STORED: Final = 0
"""The number of what is no rollout yet, and of a person who takes a slot away."""


class Rank(Struct, frozen=True, order=True):
    """A rollout's place in the line for a slot; the greatest goes first.

    Attributes:
        priority: of its policy; infinite for a person who takes the slot away.
        started: seconds since 1970; infinite if it starts now.
        number: of the rollout.
    """

    priority: float
    started: float
    number: int


def rank(priority: float | None, started: float | None, number: int) -> Rank:
    """A place in the line.

    Args:
        priority: None to go before every rollout.
        started: None if it starts now, which is later than all that have.
        number: of the rollout; `NOT_STORED` for none.
    """
    return Rank(inf if priority is None else priority, inf if started is None else started, number)


def rank_of(rollout: Rollout) -> Rank:
    """A rollout's place in the line."""
    return rank(rollout.wish.policy.priority, rollout.started, rollout.id)


def waits_for(number: int) -> str:
    """Why a device is not asked while another rollout goes first there, for people."""
    return f"waits for {rollout_name(number)}, which goes first here"
