"""What recorded events tell of a rollout besides its end; for `fleet`.

How long each stage took, how many devices were on their way at once, and what it was judged by.
Counted from the events alone. Whether any of that was allowed is the judge's business.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.report import Figure
from cloud_sync.rollout.gates import GATES_OF
from cloud_sync.rollout.states import IN_FLIGHT
from cloud_sync.rollout_resources import AssignmentState, RolloutEvent, StageState

_GATES: Final = frozenset(name for names in GATES_OF.values() for name in names)


def milestones(events: Sequence[RolloutEvent]) -> dict[str, Figure]:
    """Figures of one rollout.

    Args:
        events: all of them, in their order.

    Returns:
        `stage_N_s` of each stage that passed, its shadow step included; `most_in_flight`;
        `shadowed`, devices that ran the version beside the champion; and `gates`, by which stages
        passed.
    """
    gates = {
        name
        for event in events
        if event.evidence.get("verdict") == "passed"
        for name in event.evidence.keys() & _GATES
    }
    shadowed = {event.device for event in events if event.after == AssignmentState.SHADOW}
    return {
        **dict(_durations(events)),
        "most_in_flight": _most_in_flight(events),
        "shadowed": len(shadowed),
        "gates": ",".join(sorted(gates)),
    }


def _durations(events: Sequence[RolloutEvent]) -> Iterator[tuple[str, Figure]]:
    began: dict[int, float] = {}
    for event in events:
        if event.stage is None or event.device:
            continue
        if event.after == StageState.FILLING:
            began.setdefault(event.stage, event.time)
        elif event.after == StageState.PASSED and event.stage in began:
            yield f"stage_{event.stage + 1}_s", round(event.time - began[event.stage], 1)


def _most_in_flight(events: Sequence[RolloutEvent]) -> int:
    on_their_way: set[str] = set()
    most = 0
    time = 0.0
    for event in events:
        if event.time != time:  # what is written at once happens at once
            most, time = max(most, len(on_their_way)), event.time
        if not event.device:
            continue
        if event.after in IN_FLIGHT:
            on_their_way.add(event.device)
        else:
            on_their_way.discard(event.device)
    return max(most, len(on_their_way))
