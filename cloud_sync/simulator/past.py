"""What a recorded rollout says about its devices and its version, so that it can be played again.

Pure: reads the resources of the HTTP API and nothing else.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from cloud_sync.errors import Conflict
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import (
    AssignmentState,
    AssignmentSummary,
    RolloutDetail,
    RolloutEvent,
)

_A: Final = AssignmentState
ENDINGS: Final = frozenset(
    {_A.SHADOW, _A.COMMITTED, _A.REJECTED, _A.FAILED, _A.ROLLED_BACK, _A.TIMED_OUT}
)
_ON_THE_WAY: Final = frozenset({_A.DOWNLOADING, _A.VERIFIED, _A.TRIAL})
_USUAL_RETURN_S: Final = 5.0


class Journey(Struct, frozen=True):
    """What became of one offer: states, each with its seconds since the offer, the last the end."""

    steps: tuple[tuple[float, AssignmentState], ...]

    @property
    def ending(self) -> AssignmentState:
        """The last state."""
        return self.steps[-1][1]


MEASURED: Final = ("error_rate", "slow", "old", "disagreement", "memory", "psi", "wrong")
"""Gates on what a version does with messages."""


class Past(Struct, frozen=True, kw_only=True):
    """A recorded rollout, as far as a planner could have met it.

    Attributes:
        rollout: as it was asked for.
        devices: with what they were to get, in the order of their turn.
        sites: site of each device, by the policy's tag; a device without one is not in it.
        journeys: of a device, by what it was offered: "shadow" or "run".
        return_s: how long it took to take a version back.
        messages_per_s: of the version, on one device.
        rates: gate to what was measured of the version last.
        away: of each device, when it was not connected, seconds since the rollout's start.
    """

    rollout: RolloutDetail
    devices: tuple[AssignmentSummary, ...]
    sites: Mapping[str, str] = {}
    journeys: Mapping[str, Mapping[str, Journey]]
    return_s: float = _USUAL_RETURN_S
    messages_per_s: float = 1.0
    rates: Mapping[str, float] = {}
    away: Mapping[str, tuple[tuple[float, float], ...]] = {}


def past_of(
    rollout: RolloutDetail,
    assignments: Sequence[AssignmentSummary],
    events: Iterable[RolloutEvent],
    *,
    sites: Mapping[str, str] | None = None,
    away: Mapping[str, tuple[tuple[float, float], ...]] | None = None,
) -> Past:
    """Read a record.

    Args:
        rollout: the recorded one.
        assignments: all of its devices.
        events: all of them, in order.
        sites: site of each device.
        away: when devices were not connected, seconds since the start of the rollout.

    Raises:
        Conflict: nothing was ever offered, so nothing is known.
    """
    of_device: dict[str, list[RolloutEvent]] = defaultdict(list)
    for event in events:
        if event.device:
            of_device[event.device].append(event)
    journeys: dict[str, dict[str, Journey]] = {"shadow": {}, "run": {}}
    returns: list[float] = []
    served_s = 0.0
    last = max((event.time for found in of_device.values() for event in found), default=0.0)
    for device, found in of_device.items():
        for mode, journey in _journeys(found):
            journeys[mode][device] = journey
        returns.extend(_returns(found))
        served_s += _served_s(found, rollout.summary.ended or last)
    if not any(journeys.values()):
        raise Conflict(
            f"rollout {rollout.summary.id} has no device that came to an end with its version",
            hint="replay one that offered something",
            code="nothing_recorded",
        )
    messages = sum(stage.messages for stage in rollout.summary.stages)
    return Past(
        rollout=rollout,
        devices=tuple(one for one in assignments if one.stage is not None),
        sites=sites or {},
        journeys=journeys,
        return_s=statistics.median(returns) if returns else _USUAL_RETURN_S,
        messages_per_s=messages / served_s if messages and served_s else 1.0,
        rates=_rates(rollout),
        away=away or {},
    )


def _journeys(events: Sequence[RolloutEvent]) -> Iterable[tuple[str, Journey]]:
    offered: RolloutEvent | None = None
    steps: list[tuple[float, AssignmentState]] = []
    for event in events:
        state = AssignmentState(event.after)
        if state is _A.OFFERED:
            offered, steps = event, []
        elif offered is not None and state in ENDINGS | _ON_THE_WAY:
            steps.append((event.time - offered.time, state))
            if state in ENDINGS:
                mode = "shadow" if offered.evidence.get("mode") == "shadow" else "run"
                yield mode, Journey(tuple(steps))
                offered = None
        elif state not in _ON_THE_WAY:
            offered = None


def _returns(events: Sequence[RolloutEvent]) -> Iterable[float]:
    began: float | None = None
    for event in events:
        if event.after == _A.REVERTING:
            began = event.time
        elif event.after == _A.ROLLED_BACK and began is not None:
            yield event.time - began
            began = None


def _served_s(events: Sequence[RolloutEvent], ended: float) -> float:
    """How long the version ran on a device while it was judged, seconds."""
    total, since = 0.0, None
    for event in events:
        is_serving = event.after in (_A.SHADOW, _A.COMMITTED)
        if since is not None:
            total += event.time - since
        since = event.time if is_serving else None
    return total + (max(0.0, ended - since) if since is not None else 0.0)


def _rates(rollout: RolloutDetail) -> dict[str, float]:
    """What each gate measured of the version, the newest judgement last."""
    found: dict[str, float] = {}
    for stage in rollout.summary.stages:
        for finding in stage.verdict.findings if stage.verdict else ():
            if finding.value is not None:
                found[finding.gate] = finding.value
    return found


def unmeasured(past: Past, policy: Policy) -> tuple[str, ...]:
    """Gates that a policy has, and of which the record knows nothing.

    A gate that the record's stages were judged without (a module without a score profile has no
    `psi`) is none of them, unless it is for want of a shadow that this policy has.
    """
    if policy.gates is None:
        return ()
    verdicts = [stage.verdict for stage in past.rollout.summary.stages if stage.verdict]
    asked = {finding.gate for verdict in verdicts for finding in verdict.findings}
    if policy.shadow_stages:
        asked.add("disagreement")
    return tuple(
        gate
        for gate in MEASURED
        if getattr(policy.gates, gate) is not None
        and gate not in past.rates
        and (gate in asked or not verdicts)
    )


def away_of(
    moments: Iterable[tuple[float, str, str]], started: float, ended: float | None = None
) -> dict[str, tuple[tuple[float, float], ...]]:
    """When each device was not connected, seconds since the start of the rollout.

    Args:
        moments: time, device, "offline" or "online"; by time.
        started: when the rollout did, seconds since 1970.
        ended: when it did; who left after that says nothing about it. None if it has not.
    """
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    since: dict[str, float] = {}
    for time, device, name in moments:
        if ended is not None and time > ended and device not in since:
            continue
        if name == "offline":
            since.setdefault(device, time - started)
        elif device in since:
            found[device].append((since.pop(device), time - started))
    for device, begins in since.items():
        found[device].append((begins, float("inf")))
    return {device: tuple(times) for device, times in found.items()}
