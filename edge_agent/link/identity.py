"""Two agents with one name: how they notice, and which of them steps back. Pure.

The status topic of a device is retained and only that device writes to it. So once this agent
has published its own status, any status with a strange boot id was written by another agent that
is alive. Before that, an online one may be the echo of an agent that has just died: it proves
nothing yet. The agent that started later steps back; equal times are decided by the boot id, so
that both come to the same answer. When they started is told by their wall clocks: one that is not
synchronized steps back before one that is, because a machine that wakes up in 1970 was not there
first.
"""

from collections.abc import Collection
from enum import Enum

from edge_agent.contract.messages import Status


class Verdict(Enum):
    """What a status on this device's own topic means."""

    OURS = "ours"
    """Written by this run, or left over from an earlier one."""

    STRANGE = "strange"
    """Written by another agent, of which it is not known whether it is still alive."""

    DOUBLE_YIELDS = "double yields"
    """Another agent with this name is alive; it started later and has to step back."""

    WE_YIELD = "we yield"
    """Another agent with this name is alive and was there first: this one has to step back."""


def judge(
    status: Status,
    *,
    boot_id: str,
    started: float,
    is_synced: bool,
    own_boots: Collection[str],
    has_published: bool,
) -> Verdict:
    """Judge a status that came on this device's own topic.

    Args:
        status: as received.
        boot_id: of this run.
        started: when this run began, seconds since 1970.
        is_synced: whether this device's clock is synchronized.
        own_boots: boot ids of earlier runs on this state directory, which its lock keeps apart.
        has_published: whether this run has published its own status before.
    """
    if status.boot_id == boot_id or status.boot_id in own_boots:
        return Verdict.OURS
    if not has_published:
        return Verdict.STRANGE
    theirs = (not status.clock_synced, status.started, status.boot_id)
    if theirs > (not is_synced, started, boot_id):
        return Verdict.DOUBLE_YIELDS
    return Verdict.WE_YIELD
