"""Latecomers: devices that came to match a rollout's target after its start.

Reads; takes nobody in. What keeps all of them out is an error, for whoever asked to tell.
"""

from typing import Final

from msgspec import Struct
from sqlalchemy import Connection, select

from cloud_sync.db.rollout_tables import rollouts
from cloud_sync.fleet.resolve import matching
from cloud_sync.rollout.enlistment import enlist
from cloud_sync.rollout.holding import held_by_later
from cloud_sync.rollout.observation import Joiner
from cloud_sync.rollout.rollout import Assignment, Rollout
from cloud_sync.rollout.rows import LIVE
from cloud_sync.rollout.takeover import of_rollout, rivals
from cloud_sync.rollout_resources import RolloutState

_R: Final = rollouts.c


class Late(Struct, frozen=True, kw_only=True):
    """Devices that match a target and are not in its rollout.

    Attributes:
        joined: those that would get something.
        left_out: those that would not, each with its reason.
    """

    joined: tuple[Joiner, ...] = ()
    left_out: tuple[Assignment, ...] = ()


NOBODY_LATE: Final = Late()


def latecomers(connection: Connection, rollout: Rollout) -> Late:
    """Devices that match the target and are not in the rollout, with what they would get.

    Of several rollouts that would take them in, the newest does; and none takes in a device that
    one which started later has.

    Raises:
        ShoalError: nobody can be taken in any more: the version was retired since, a group of the
            target was deleted, the configuration does not fit.
    """
    newer = select(_R.id).where(
        _R.slot == rollout.slot,
        _R.id > rollout.id,
        _R.is_followed.is_(True),
        _R.started.is_not(None),
        _R.state.in_([*LIVE, RolloutState.COMPLETED, RolloutState.COMPLETED_DEGRADED]),
    )
    if connection.scalar(newer.limit(1)) is not None:
        return NOBODY_LATE
    known = rollout.assignments.keys() | rollout.left_out.keys()
    late = [device for device in matching(connection, rollout.wish.to) if device not in known]
    # Who has got, or is to get, something newer does not get the older version first.
    found_there = rivals(connection, of_rollout(rollout), late)
    newer_there = {rival.device for rival in found_there if rival.came_later}
    newer_there |= held_by_later(connection, rollout, late)
    late = [device for device in late if device not in newer_there]
    if not late:
        return NOBODY_LATE
    found = enlist(connection, rollout, devices=late)
    return Late(
        joined=tuple(
            Joiner(
                device=one.device,
                module=one.module,
                version=one.version,
                digest=one.digest,
                site=one.site,
                previous=one.previous,
            )
            for one in found.candidates
        ),
        left_out=found.omitted,
    )
