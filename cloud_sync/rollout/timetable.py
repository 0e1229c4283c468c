"""How long a rollout takes at least, and what that takes for granted. Pure.

What is known before the start is counted: the bounds on devices in flight, the trial, the soak and
the maintenance windows. What nobody can know is said in words and never guessed.
"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Final

from msgspec import Struct

from cloud_sync.fleet.spread import spread_s
from cloud_sync.rollout.bounds import at_most
from cloud_sync.rollout_policy import Policy

OpensAt = Callable[[float], float | None]
"""When devices may be offered something next, seconds since 1970; None for now."""

MOST_TURNS: Final = 1_000
"""Of one step, to be looked up in the windows; where it has more, several are taken as one."""


class Leg(Struct, frozen=True, kw_only=True):
    """One stage as far as its time goes.

    Attributes:
        size: its devices.
        sites: site to how many of them are there; those that say none are left out.
        has_shadow: it runs the version as a shadow first.
    """

    size: int
    sites: Mapping[str, int]
    has_shadow: bool


def least_s(
    legs: Sequence[Leg],
    policy: Policy,
    *,
    trial_s: float,
    starts_per_s: float,
    now: float,
    opens_at: OpensAt,
) -> float:
    """From the start to the end if nothing stands in the way, seconds.

    Args:
        legs: the stages, in their order.
        policy: of the rollout.
        trial_s: how long the version is on trial on a device.
        starts_per_s: devices that may begin in a second with what many are told at once.
        now: when it would start, seconds since 1970.
        opens_at: of the policy's windows.
    """
    devices = sum(leg.size for leg in legs)
    sites: dict[str, int] = {}
    for leg in legs:
        for site, count in leg.sites.items():
            sites[site] = sites.get(site, 0) + count
    time = now
    for leg in legs:
        turns = _turns(leg, policy, devices, sites)
        each = ceil(leg.size / turns) if turns else 0
        # A shadow answers nobody, so there is no trial of it.
        for proof_s in (0.0, trial_s) if leg.has_shadow else (trial_s,):
            time = _after(time, turns, spread_s(each, starts_per_s) + proof_s, opens_at)
            time += policy.soak_s
    return time - now


def assumptions(policy: Policy, *, is_away: bool, has_conflicts: bool) -> tuple[str, ...]:
    """What `least_s` takes for granted, for people; each may take longer.

    Args:
        policy: of the rollout.
        is_away: some of its devices are away now.
        has_conflicts: other rollouts are at work on some of its devices.
    """
    is_measured = policy.gates is not None or policy.soak_messages > 0
    found = {
        "somebody approves it at once": policy.approval,
        "downloads take no time": True,
        "no device fails, and nothing puts an update off": True,
        "devices that are away are back at once": is_away,
        "other rollouts let go of its devices at once": has_conflicts,
        "a stage answers enough messages while it soaks": is_measured,
    }
    return tuple(text for text, counts in found.items() if counts)


def _turns(leg: Leg, policy: Policy, devices: int, sites: Mapping[str, int]) -> int:
    """How often room has to become free for all of a stage to be asked."""
    share = policy.max_in_flight_per_site
    of_sites = (ceil(count / at_most(share, sites[site])) for site, count in leg.sites.items())
    return max(ceil(leg.size / at_most(policy.max_in_flight, devices)), *of_sites, 0)


def _after(time: float, turns: int, turn_s: float, opens_at: OpensAt) -> float:
    """When so many turns are over, each of which begins while a window is open."""
    together = ceil(turns / MOST_TURNS) or 1
    while turns > 0:
        opens = opens_at(time)
        if opens is not None:
            time = opens
        count = min(turns, together)
        time += count * turn_s
        turns -= count
    return time
