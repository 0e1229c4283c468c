"""A rollout in a pipe: one line for each change, and nothing for what did not change."""

from msgspec.structs import replace

from cloud_sync.cli.rollout_lines import changes, outcome
from cloud_sync.rollout_resources import RolloutDetail, StageState, StageSummary
from tests.support.rollout_samples import EVENTS, FAILED, NOW, WAITING, completed, paused, running


def said(before: RolloutDetail | None, after: RolloutDetail) -> list[str]:
    """Without the times in front."""
    lines = changes(before, after, (), NOW)
    return [line.split("  ", 1)[-1] for line in lines]


def with_stage(detail: RolloutDetail, number: int, **values: object) -> RolloutDetail:
    stages = list(detail.summary.stages)
    changed: StageSummary = replace(stages[number], **values)
    stages[number] = changed
    return replace(detail, summary=replace(detail.summary, stages=tuple(stages)))


def test_the_first_look_says_what_it_is_and_where_it_stands() -> None:
    lines = list(changes(None, running(), EVENTS[-1:], NOW))
    assert lines[0] == "r17: wine/3 into slot wine, to site=oslo and not tag:lab"
    assert lines[1].endswith("  stage 2 waiting -> filling, by service")
    assert lines[2].endswith("  stage 1 1/1 run it")
    assert any(line.endswith("  stage 2 3/9 as shadow, 3 on the way, 1 failed") for line in lines)
    assert not any("stage 3" in line for line in lines)  # it has not begun


def test_nothing_is_said_where_nothing_changed() -> None:
    assert said(running(), running()) == []


def test_a_verdict_that_only_counts_up_is_no_change() -> None:
    later = with_stage(running(), 1, verdict=replace(WAITING, text="150 of 200 inferences"))
    assert said(running(), later) == []


def test_a_failed_gate_is_said_with_its_evidence_and_what_to_do() -> None:
    found = "measured 31 %, limit 6 %, of 420: 131 of 420 messages differ"
    lines = [
        f"stage 2 gate disagreement failed, {found}",
        f"what to do: {paused().summary.needs}",
    ]
    assert said(running(), paused()) == lines  # why it failed is said by the transition
    early = with_stage(paused(), 1, reason="it has soaked")
    assert said(running(), early) == [f"stage 2 verdict failed: {FAILED.text}", *lines]


def test_a_gate_that_passes_is_no_line_of_its_own() -> None:
    assert said(with_stage(running(), 0, verdict=None), running()) == [
        "stage 1 verdict passed: 2 gates passed"
    ]


def test_a_stage_that_is_judged_says_once_what_it_waits_for() -> None:
    judged = with_stage(running(), 1, state=StageState.JUDGING)
    line = "stage 2 waits for evidence: disagreement, psi"
    assert said(running(), judged) == [line]
    assert said(judged, judged) == []
    fewer = replace(WAITING, findings=WAITING.findings[:2])
    assert said(judged, with_stage(judged, 1, verdict=fewer)) == []
    assert said(with_stage(judged, 1, verdict=fewer), judged) == [line]


def test_a_large_stage_is_told_in_tenths() -> None:
    def at(number: int, **counts: int) -> RolloutDetail:
        return with_stage(running(), 4, counts={"committed": number, **counts})

    assert said(at(10), at(49)) == []
    assert said(at(10), at(10, offered=40)) == []
    assert said(at(49), at(51, trial=20)) == ["stage 5 51/500 run it, 20 on the way"]
    assert said(at(51), at(52, failed=1)) == ["stage 5 52/500 run it, 1 failed"]
    assert said(at(499), at(500)) == ["stage 5 500/500 run it"]


def test_devices_that_move_are_a_change_of_their_stage() -> None:
    later = with_stage(running(), 1, counts={"shadow": 8, "rejected": 1})
    assert said(running(), later) == ["stage 2 8/9 as shadow, 1 failed"]
    back = with_stage(running(), 1, counts={"rolled_back": 8, "rejected": 1}, step="run")
    assert said(running(), back) == ["stage 2 0/9 run it, 1 failed, 8 went back"]


def test_the_end_is_one_line_with_its_reason() -> None:
    assert outcome(completed().summary) == (
        "r17 completed degraded: 2 of 1,000 devices do not run it"
    )
