"""The verdict of a stage from what became of its devices, and from its gates."""

import pytest
from msgspec.structs import replace

from cloud_sync.rollout.observation import Counted, DeviceNow, Measures, StageEvidence
from cloud_sync.rollout.rollout import Assignment, Stage
from cloud_sync.rollout.verdict import judge, judge_labels, may_fail
from cloud_sync.rollout_gates import Gates, Limit
from cloud_sync.rollout_policy import AT_ONCE, Policy
from cloud_sync.rollout_resources import AssignmentState, StageState, Verdict
from edge_agent.contract.state import Phase, ReportedSlot, SlotError
from tests.support.rollouts import NEW, OLD, OLD_SLOT

A = AssignmentState
UNGATED = Policy(gates=None)
CLEAN = StageEvidence(version=Measures(devices=1, messages=5_000))


def assignments(**counts: int) -> tuple[Assignment, ...]:
    """So many in each state, as `committed=3`."""
    states = [state for name, count in counts.items() for state in [A(name)] * count]
    return tuple(
        Assignment(
            device=f"d{number}",
            stage=0,
            module="pump",
            version=2,
            digest=NEW,
            previous=OLD_SLOT,
            state=state,
        )
        for number, state in enumerate(states)
    )


def online(assigned: tuple[Assignment, ...], away: int = 0) -> dict[str, DeviceNow]:
    return {
        found.device: DeviceNow(
            device=found.device, presence="offline" if number < away else "online"
        )
        for number, found in enumerate(assigned)
    }


def said_by(device: str, slot: ReportedSlot) -> DeviceNow:
    return DeviceNow(device=device, presence="online", revision_seen=1, slot=slot)


def verdict(
    assigned: tuple[Assignment, ...],
    *,
    state: StageState = StageState.JUDGING,
    policy: Policy = UNGATED,
    evidence: StageEvidence = CLEAN,
    devices: dict[str, DeviceNow] | None = None,
    now: float = 0.0,
    step: str = "run",
) -> Verdict:
    stage = Stage(number=0, size=len(assigned), state=state, step=step, deadline=100.0)  # type: ignore[arg-type]
    there = online(assigned) if devices is None else devices
    return judge(stage, assigned, there, evidence, policy, now)


def test_a_stage_passes_when_all_run_the_version() -> None:
    assert verdict(assignments(committed=5)).outcome == "passed"


def test_a_device_that_was_told_to_go_back_while_it_was_away_does_not_speak_for_the_version() -> (
    None
):
    told_back = [replace(one, revision=3, is_wanted=False) for one in assignments(committed=4)]
    stays = replace(assignments(committed=5)[4], revision=3, is_wanted=True)
    assert verdict((*told_back, stays)).outcome == "failed"
    wanted = [replace(one, is_wanted=True) for one in told_back]
    assert verdict((*wanted, stays)).outcome == "passed"


def test_a_stage_passes_only_when_it_is_judged() -> None:
    for state in (StageState.FILLING, StageState.SOAKING):
        assert verdict(assignments(committed=5), state=state).outcome == "waiting"


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        (0, 1, "failed"),
        (1, 1, "failed"),  # below the smallest sample no failure is explained away
        (3, 1, "failed"),
        (4, 1, "passed"),  # one of five happens by chance
        (3, 2, "failed"),
        (9, 1, "passed"),
        (7, 3, "failed"),
        (48, 2, "passed"),
        (47, 3, "failed"),
        (95, 5, "passed"),
        (94, 6, "failed"),
        (0, 5, "failed"),
    ],
)
def test_how_many_devices_may_fail(good: int, bad: int, expected: str) -> None:
    assert verdict(assignments(committed=good, failed=bad)).outcome == expected


def test_a_stage_fails_at_once_when_too_many_devices_have_failed() -> None:
    found = verdict(assignments(offered=40, rejected=6), state=StageState.FILLING)
    assert found.outcome == "failed"
    assert "6 failed" in found.text


def test_fewer_than_the_smallest_sample_are_judged_when_all_have_ended() -> None:
    filling = assignments(offered=2, failed=1)
    assert verdict(filling, state=StageState.FILLING).outcome == "waiting"
    assert verdict(assignments(committed=2, failed=1)).outcome == "failed"


def test_no_failure_may_happen_where_none_is_allowed() -> None:
    strict = Policy(gates=None, max_failure=0.0)
    assert not may_fail(1, 20, strict)
    assert may_fail(0, 20, strict)


def test_a_shadow_that_runs_is_a_success_of_the_shadow_step_only() -> None:
    beside = assignments(shadow=5)
    assert verdict(beside, step="shadow").outcome == "passed"
    assert verdict(beside, step="run").outcome == "waiting"


def test_devices_that_left_the_rollout_do_not_count() -> None:
    gone = assignments(committed=5, superseded=20, already_present=3, expired=2, not_applicable=4)
    assert verdict(gone).outcome == "passed"


def test_a_stage_whose_devices_ran_the_version_before_has_nothing_to_judge() -> None:
    there = assignments(already_present=3)
    assert verdict(there, policy=Policy(), evidence=StageEvidence()).outcome == "passed"


@pytest.mark.parametrize("state", ["superseded", "expired", "not_applicable"])
def test_a_stage_of_which_nobody_is_left_proves_nothing(state: str) -> None:
    gone = assignments(**{"already_present": 1, state: 1})
    for policy in (Policy(), UNGATED):
        found = verdict(gone, policy=policy, evidence=StageEvidence())
        assert found.outcome == "inconclusive"
        assert "none of its devices has tried the version" in found.text


@pytest.mark.parametrize("code", ["digest_mismatch", "integrity", "blob_too_large"])
def test_what_a_device_says_of_other_bytes_stops_a_stage_while_it_tries_again(code: str) -> None:
    found = assignments(downloading=1)
    said = DeviceNow(
        device="d0",
        presence="online",
        revision_seen=3,
        slot=slot(Phase.FAILED, running=OLD, code=code),
    )
    asked = (replace(found[0], revision=3, is_wanted=True),)
    assert verdict(asked, state=StageState.FILLING, devices={"d0": said}).outcome == "failed"
    waits = (replace(asked[0], state=A.QUEUED),)
    assert verdict(waits, state=StageState.FILLING, devices={"d0": said}).outcome == "failed"
    # What it said of an earlier offer is not of this one.
    later = (replace(asked[0], revision=4),)
    assert verdict(later, state=StageState.FILLING, devices={"d0": said}).outcome == "waiting"


def test_what_was_not_measured_never_passes_and_ends_inconclusive() -> None:
    done = assignments(committed=5)
    nothing = StageEvidence()
    assert verdict(done, policy=Policy(), evidence=nothing).outcome == "waiting"
    late = verdict(done, policy=Policy(), evidence=nothing, now=100.0)
    assert late.outcome == "inconclusive"
    assert "error rate: messages that failed: not measured yet" in late.text
    assert late.text.endswith("resume it to wait for more messages")


def test_what_waiting_will_not_decide_is_said_with_what_will() -> None:
    done = assignments(committed=5)
    hardly = Measures(devices=1, messages=12_000, errors=720)
    before = Measures(devices=1, messages=12_000, errors=480)
    evidence = StageEvidence(version=hardly, champion=before)
    late = verdict(done, policy=Policy(), evidence=evidence, now=100.0)
    assert late.outcome == "inconclusive"
    assert "begin anew with more in them, or take it back" in late.text
    torn = Counted(least=0, most=3_000, of=3_000, devices=3)
    blurred = Measures(devices=3, messages=3_000, counted={"error_rate": torn})
    late = verdict(done, policy=Policy(), evidence=StageEvidence(version=blurred), now=100.0)
    assert late.outcome == "inconclusive"
    assert "a person has to: take it back, or begin anew with limits" in late.text


def test_a_gate_fails_a_stage_also_before_it_is_judged() -> None:
    bad = StageEvidence(version=Measures(devices=1, messages=1_000, errors=300))
    for state in (StageState.FILLING, StageState.SOAKING, StageState.JUDGING):
        found = verdict(assignments(committed=1), state=state, policy=Policy(), evidence=bad)
        assert found.outcome == "failed"
        assert "30 % of" in found.text


def test_a_stage_with_many_devices_away_does_not_pass() -> None:
    done = assignments(committed=10)
    assert verdict(done, devices=online(done, away=2)).outcome == "passed"
    assert verdict(done, devices=online(done, away=3)).outcome == "waiting"
    assert verdict(done, devices=online(done, away=3), now=100.0).outcome == "inconclusive"
    assert verdict(done, devices={}).outcome == "waiting", "nothing is known of them"


def test_a_digest_that_does_not_match_stops_a_stage_at_once() -> None:
    found = assignments(committed=30, offered=1)
    forged = (*found[:-1], replace(found[-1], evidence={"code": "digest_mismatch"}))
    assert verdict(forged, state=StageState.FILLING).outcome == "failed"
    reported = slot(Phase.FAILED, running=OLD, code="digest_mismatch")
    devices = online(found) | {"d30": said_by("d30", reported)}
    told = verdict(found, state=StageState.FILLING, devices=devices)
    assert told.outcome == "failed"
    assert "d30 got other bytes" in told.text


def slot(phase: Phase, *, running: str, code: str = "worker_crashed") -> ReportedSlot:
    error = SlotError(code=code, text="because")
    return ReportedSlot(module="pump", phase=phase, running=running, wanted=NEW, error=error)


def test_a_device_that_can_go_neither_forward_nor_back_stops_a_stage_at_once() -> None:
    found = assignments(committed=30, trial=1)
    for running, expected in (("", "failed"), (OLD, "waiting")):
        reported = slot(Phase.FAILED, running=running)
        devices = online(found) | {"d30": said_by("d30", reported)}
        told = verdict(found, state=StageState.FILLING, devices=devices)
        assert told.outcome == expected


def test_a_first_version_that_fails_leaves_nothing_to_go_back_to_and_is_just_a_failure() -> None:
    found = tuple(replace(one, previous=None) for one in assignments(committed=30, trial=1))
    reported = slot(Phase.FAILED, running="")
    devices = online(found) | {"d30": said_by("d30", reported)}
    assert verdict(found, state=StageState.FILLING, devices=devices).outcome == "waiting"


def test_a_deployment_to_everybody_at_once_is_judged_by_nobody() -> None:
    for ended in (
        assignments(committed=2),
        assignments(failed=3),
        assignments(rejected=1, superseded=1),
        assignments(superseded=2),
    ):
        found = verdict(ended, policy=AT_ONCE, evidence=StageEvidence(), devices={})
        assert found.outcome == "passed"


LABELLED = Policy(gates=Gates(wrong=Limit(good=0.02, bad=0.06)))


def test_labels_hold_no_stage_up_but_fail_one() -> None:
    done = assignments(committed=1)
    assert verdict(done, policy=LABELLED).outcome == "passed"
    wrong = StageEvidence(version=Measures(devices=1, messages=5_000, right=300, wrong=200))
    assert verdict(done, policy=LABELLED, evidence=wrong).outcome == "failed"


def test_labels_take_a_finished_rollout_back() -> None:
    wrong = StageEvidence(version=Measures(devices=1, messages=5_000, right=300, wrong=200))
    assert judge_labels(wrong, LABELLED).outcome == "failed"
    right = StageEvidence(version=Measures(devices=1, messages=5_000, right=500))
    assert judge_labels(right, LABELLED).outcome == "waiting"
    assert judge_labels(wrong, Policy()).outcome == "waiting", "no such gate"
    many = StageEvidence(version=Measures(devices=1, messages=1_000, errors=900))
    assert judge_labels(many, LABELLED).outcome == "waiting", "labels alone"
