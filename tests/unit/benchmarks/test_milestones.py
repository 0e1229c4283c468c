"""What recorded events tell of a rollout's course."""

from benchmarks.milestones import milestones
from cloud_sync.rollout_resources import RolloutEvent


def event(
    time: float, after: str, *, device: str = "", stage: int | None = 0, **evidence: str
) -> RolloutEvent:
    return RolloutEvent(
        id=0,
        time=time,
        stage=stage,
        device=device,
        before="",
        after=after,
        actor="cloud-sync",
        reason="",
        evidence=evidence,
    )


def test_stages_devices_and_gates_are_counted_from_the_events() -> None:
    told = [
        event(1.0, "running", stage=None),
        event(2.0, "filling"),
        event(3.0, "offered", device="a"),
        event(3.0, "offered", device="b"),
        # Both happen at once: who goes makes room for who comes.
        event(4.0, "offered", device="c"),
        event(4.0, "shadow", device="a"),
        event(5.0, "committed", device="b"),
        event(6.0, "filling", verdict="passed", text="all", psi="passed: 0.01 of 2 devices"),
        event(9.0, "passed", verdict="passed", text="all", slow="passed: 0 % of 9 messages"),
        event(9.0, "filling", stage=1),
    ]
    assert milestones(told) == {
        "stage_1_s": 7.0,
        "most_in_flight": 2,
        "shadowed": 1,
        "gates": "psi,slow",
    }


def test_nothing_recorded_is_nothing_told() -> None:
    assert milestones([]) == {"most_in_flight": 0, "shadowed": 0, "gates": ""}
