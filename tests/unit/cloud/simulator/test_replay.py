"""A recorded rollout played again: by the real planner, from a history that a planner made."""

import pytest
from msgspec.structs import replace

from cloud_sync.errors import Conflict
from cloud_sync.rollout_gates import Gates
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import (
    AssignmentState,
    AssignmentSummary,
    GateFinding,
    RolloutDetail,
    RolloutEvent,
    RolloutState,
    RolloutSummary,
    StageState,
    StageSummary,
    Verdict,
)
from cloud_sync.simulator.past import Past, away_of, past_of
from cloud_sync.simulator.replay import replay
from edge_agent.contract.names import digest_of

A = AssignmentState
UNMEASURED = GateFinding(
    gate="psi", outcome="waiting", value=None, limit=0.25, samples=0, text="not measured yet"
)
QUICK = Policy(soak_s=60, soak_messages=10, shadow_stages=1, on_error="rollback")
DEVICES = tuple(f"d{number}" for number in range(40))


def recorded(
    *,
    policy: Policy = QUICK,
    bad: int = 0,
    disagreement: float = 0.001,
    asked: int = len(DEVICES),
    away: dict[str, tuple[tuple[float, float], ...]] | None = None,
    left_out: tuple[str, ...] = (),
    findings: tuple[GateFinding, ...] = (),
) -> Past:
    """A rollout that took ten seconds on each device, and failed on the first `bad` of them."""
    finding = GateFinding(
        gate="disagreement",
        outcome="passed",
        value=disagreement,
        limit=0.02,
        samples=1000,
        text="",
    )
    stage = StageSummary(
        number=0,
        state=StageState.PASSED,
        step="run",
        size=len(DEVICES),
        counts={},
        messages=100_000,
        verdict=Verdict(outcome="passed", text="", findings=(finding, *findings)),
    )
    summary = RolloutSummary(
        id="r3",
        module="m",
        version=2,
        slot="m",
        to="all",
        state=RolloutState.COMPLETED,
        state_reason="",
        needs="",
        created=0.0,
        created_by="anna",
        started=1000.0,
        ended=2000.0,
        cohort=len(DEVICES),
        stages=(stage,),
    )
    events: list[RolloutEvent] = []

    def note(device: str, time: float, before: A, after: A, **evidence: str) -> None:
        events.append(
            RolloutEvent(
                id=len(events) + 1,
                time=time,
                stage=0,
                device=device,
                before=before.value,
                after=after.value,
                actor="cloud-sync",
                reason="",
                evidence=evidence,
            )
        )

    for number, device in enumerate(DEVICES[:asked]):
        note(device, 1000.0, A.QUEUED, A.OFFERED, mode="run")
        note(device, 1004.0, A.OFFERED, A.DOWNLOADING)
        ending = A.ROLLED_BACK if number < bad else A.COMMITTED
        note(device, 1010.0, A.DOWNLOADING, ending)
    assignments = [
        AssignmentSummary(
            device=device,
            stage=0,
            state=A.COMMITTED,
            module="m",
            version=2,
            digest=digest_of(b"2"),
            previous_version=1,
            since=0.0,
            deadline=None,
            next_retry=None,
            attempts=0,
            revision=1,
            reason="",
        )
        for device in DEVICES
    ]
    out = replace(assignments[0], stage=None, state=A.NOT_APPLICABLE, revision=0)
    assignments += [replace(out, device=device) for device in left_out]
    detail = RolloutDetail(summary=summary, policy=policy, seed=5)
    return past_of(detail, assignments, events, away=away)


def test_a_good_version_completes_again() -> None:
    found = replay(recorded(), QUICK)
    assert found.state is RolloutState.COMPLETED, found
    assert (found.offered, found.answered, found.failed) == (40, 40, 0)
    assert found.stages_passed == found.stages


def test_a_device_that_was_left_out_is_left_out_again() -> None:
    assert replay(recorded(left_out=("x1", "x2")), QUICK) == replay(recorded(), QUICK)


def test_the_same_record_gives_the_same_end() -> None:
    assert replay(recorded(bad=10), QUICK) == replay(recorded(bad=10), QUICK)


def test_a_careful_policy_has_fewer_devices_on_their_way_and_takes_longer() -> None:
    careful = Policy(soak_s=60, soak_messages=10, max_in_flight="1", on_error="rollback")
    fast = Policy(soak_s=60, soak_messages=10, max_in_flight="50%", on_error="rollback")
    slow, quick = replay(recorded(), careful), replay(recorded(), fast)
    assert slow.most_in_flight == 1 < quick.most_in_flight
    assert slow.seconds > quick.seconds


def test_stages_stop_a_bad_version_that_going_everywhere_at_once_would_not_have() -> None:
    at_once = Policy(
        stages=("100%",),
        max_in_flight="100%",
        soak_s=0,
        soak_messages=0,
        gates=None,
        shadow_stages=0,
    )
    past = recorded(bad=20)
    staged, all_at_once = replay(past, QUICK), replay(past, at_once)
    assert staged.state is RolloutState.ROLLED_BACK
    assert staged.offered < all_at_once.offered == 40


def test_answers_that_differ_are_caught_by_the_gate_in_the_shadow() -> None:
    past = recorded(disagreement=0.2)
    gated = replay(past, QUICK)
    assert gated.state is RolloutState.ROLLED_BACK
    assert gated.answered == 0
    ungated = replay(past, Policy(soak_s=60, soak_messages=10, gates=Gates(disagreement=None)))
    assert ungated.state is RolloutState.COMPLETED


def test_a_device_that_was_never_asked_does_what_another_one_did() -> None:
    found = replay(recorded(asked=3), QUICK)
    assert (found.state, found.answered) == (RolloutState.COMPLETED, 40)


def test_a_device_that_was_away_answers_when_it_is_back() -> None:
    away = dict.fromkeys(DEVICES[:3], ((5.0, 5000.0),))
    here, gone = replay(recorded(), QUICK), replay(recorded(away=away), QUICK)
    assert gone.seconds > here.seconds


def test_a_record_of_nothing_is_refused() -> None:
    with pytest.raises(Conflict) as refused:
        recorded(asked=0)
    assert refused.value.code == "nothing_recorded"


def test_times_away_are_read_from_events() -> None:
    moments = [(11.0, "a", "offline"), (12.0, "b", "offline"), (15.0, "a", "online")]
    assert away_of(moments, 10.0) == {"a": ((1.0, 5.0),), "b": ((2.0, float("inf")),)}
    assert away_of(moments, 10.0, ended=11.5) == {"a": ((1.0, 5.0),)}


def test_a_gate_that_never_measured_anything_is_named_and_counts_as_passed() -> None:
    past = recorded(findings=(UNMEASURED,))
    found = replay(past, QUICK)
    assert found.state is RolloutState.COMPLETED
    assert found.unmeasured == ("psi",)
    assert replay(recorded(), QUICK).unmeasured == ()
    assert replay(past, replace(QUICK, gates=None)).unmeasured == ()
