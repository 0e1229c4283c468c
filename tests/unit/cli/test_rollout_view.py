"""How rollouts are drawn."""

import io
import sys

import pytest
from msgspec.structs import replace
from rich.live import Live

from cloud_sync.cli.output import Cell, console, table_width
from cloud_sync.cli.rollout_screen import rollout_view
from cloud_sync.cli.rollout_tally import Tally, bar, legend, style_of, tally
from cloud_sync.cli.rollout_view import (
    can_draw,
    event_line,
    evidence_sheet,
    facts,
    print_rollout,
    sheets,
    stage_sheet,
    verdict_sheet,
    verdict_text,
)
from cloud_sync.rollout_resources import (
    AssignmentState,
    GateFinding,
    RolloutDetail,
)
from cloud_sync.rollout_waiting import WaitCount
from tests.support.rollout_samples import (
    EVENTS,
    FAILED,
    NOW,
    WAITING,
    completed,
    event,
    paused,
    running,
    stage,
)


def printed(capsys: pytest.CaptureFixture[str], detail: RolloutDetail) -> str:
    print_rollout(detail, NOW)
    return capsys.readouterr().out


def test_who_is_left_out_and_what_is_in_the_way_is_said() -> None:
    shown = facts(running(left_out={"already_present": 2, "not_applicable": 1}).summary, NOW)
    assert shown["left out"] == (
        "2 already present, 1 not applicable: "
        "shoal rollout status r17 --devices --state already_present --state not_applicable"
    )
    assert "trouble" not in shown
    stuck = facts(running(trouble="version 3 is retired").summary, NOW)
    assert stuck["trouble"] == Cell("version 3 is retired", "yellow")


def test_every_state_of_a_device_has_a_kind_and_a_colour() -> None:
    for state in AssignmentState:
        found = tally({state.value: 3})
        assert found.total == 3
        assert style_of(state)


def test_a_state_of_a_newer_service_is_counted_all_the_same() -> None:
    assert tally({"teleported": 2, "committed": 1}) == Tally(running=1, queued=2)


@pytest.mark.parametrize("width", [8, 10, 20, 31])
@pytest.mark.parametrize(
    "found",
    [
        Tally(),
        Tally(running=1),
        Tally(running=5_000, failed=1),
        Tally(running=1, shadow=1, moving=1, failed=1, back=1, taken=1, given_up=1, queued=9_993),
        Tally(running=333, moving=333, queued=334),
    ],
)
def test_a_bar_is_as_wide_as_it_should_be_and_hides_no_device(found: Tally, width: int) -> None:
    drawn = bar(found, width, is_ascii=True)
    assert len(drawn.text) == width
    assert ("x" in drawn.text) == bool(found.failed)
    assert ("#" in drawn.text) == bool(found.running)
    assert ("<" in drawn.text) == bool(found.back)


def test_a_full_bar_means_that_all_run_it() -> None:
    assert bar(Tally(running=10_000), 10, is_ascii=True).text == "#" * 10
    assert bar(Tally(running=9_999, queued=1), 10, is_ascii=True).text == "#########."


def test_colours_of_a_bar_are_explained_by_its_legend() -> None:
    found = Tally(running=1_000, failed=2)
    assert legend(found).text == "█ 1,000 run it  x 2 failed"
    assert legend(found, is_ascii=True).text == "# 1,000 run it  x 2 failed"


def test_devices_that_newer_rollouts_took_are_told_from_those_that_were_given_up() -> None:
    found = tally({"committed": 14, "superseded": 9, "expired": 1})
    assert legend(found, is_ascii=True).text == (
        "# 14 run it  / 9 taken by newer rollouts  - 1 given up"
    )


def test_a_running_rollout_shows_its_stages_as_people_count_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = printed(capsys, running()).splitlines()
    assert "r17: wine/3 into slot wine" in out[0]
    assert any("ada, 15 min ago: better recall" in line for line in out)
    header = next(index for index, line in enumerate(out) if line.startswith("stage  progress"))
    first, second = out[header + 1].split(), out[header + 2].split()
    assert (first[0], first[2]) == ("1", "1/1")
    assert (second[0], second[2]) == ("2", "3/9")
    assert "filling, as shadow" in out[header + 2]
    assert "in 25 min" in out[header + 2]
    assert any("too few to tell 2 % from 6 %" in line for line in out)


def test_a_stop_is_shown_with_its_reason_its_evidence_and_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = printed(capsys, paused())
    assert "because     stage 2 failed: its answers differ" in out
    assert "what to do  `shoal rollout rollback r17`" in out
    assert "2      failed   its answers differ" in out
    lines = out.splitlines()
    evidence = next(index for index, line in enumerate(lines) if line.startswith("gate"))
    failed, passed = lines[evidence + 1], lines[evidence + 2]
    assert failed.split()[:6] == ["disagreement", "failed", "31", "%", "6", "%"]
    assert failed.endswith("131 of 420 messages differ")
    assert passed.split()[:2] == ["success", "passed"]


def test_devices_that_went_back_have_a_column_only_where_there_are_some() -> None:
    titles = [column.title for column in stage_sheet(completed().summary.stages, NOW, None).columns]
    assert "back" in titles
    titles = [column.title for column in stage_sheet(running().summary.stages, NOW, None).columns]
    assert "back" not in titles


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("detail", [running(), paused(), completed()])
def test_a_rollout_fits_the_terminal_and_keeps_its_bars(detail: RolloutDetail, width: int) -> None:
    for sheet in sheets(detail.summary, NOW, width):
        assert table_width(sheet.columns, sheet.rows) <= width
    titles = [column.title for column in stage_sheet(detail.summary.stages, NOW, width).columns]
    assert {"stage", "progress", "done", "failed", "state"} <= set(titles)


def test_a_fleet_of_a_hundred_thousand_fits_80_characters() -> None:
    stages = [
        replace(
            stage(0, 50_000, committed=31_000, trial=4_000, rolled_back=120,
                  superseded=9_000, expired=80),
            step="shadow", messages=12_345_678, deadline=NOW + 5_000,
        )
    ]  # fmt: skip
    sheet = stage_sheet(stages, NOW, 80)
    assert table_width(sheet.columns, sheet.rows) <= 80
    assert "31,000/50,000" in sheet.rows[0]


def test_what_devices_wait_for_is_counted_and_what_is_expected_left_out() -> None:
    waits = (
        WaitCount(code="away", text="away, keeps its place", devices=12, until=NOW + 86_400),
        WaitCount(code="room", text="as many as may be (5) are on their way", devices=7),
        WaitCount(code="first", text="waits for r18, which goes first here", devices=1),
    )
    assert facts(running().summary, NOW, waits)["waits"] == (
        "12 devices: away, keeps its place (1 d more at most); "
        "1 device: waits for r18, which goes first here"
    )
    assert "waits" not in facts(running().summary, NOW, waits[1:2])


def test_what_waits_for_a_person_says_when_it_is_cancelled() -> None:
    summary = replace(paused().summary, deadline=NOW + 3_600)
    assert str(facts(summary, NOW)["otherwise"]) == "cancelled in 1 h"


def test_a_draft_has_no_stages_yet() -> None:
    assert list(sheets(replace(running().summary, stages=()), NOW, 80)) == []
    assert verdict_sheet([stage(0, 1)]).rows == []


def test_values_stand_in_the_unit_of_their_gate() -> None:
    findings = tuple(
        GateFinding(gate=gate, outcome="passed", value=value, limit=limit, samples=9, text="")
        for gate, value, limit in (
            ("error_rate", 0.0004, 0.03), ("memory", 1.02, 1.5), ("psi", 0.123456, 0.25),
            ("digest", None, 0.0), ("success", 0.9999, 0.95),
        )
    )  # fmt: skip
    judged = replace(stage(0, 1), verdict=replace(FAILED, findings=findings))
    rows = [
        [cell if isinstance(cell, str) else cell.text for cell in row]
        for row in evidence_sheet(judged).rows
    ]
    assert [row[2:4] for row in rows] == [
        ["0.04 %", "3 %"], ["1.02x", "1.50x"], ["0.123", "0.25"], ["-", "0"], ["99.9 %", "95 %"],
    ]  # fmt: skip


def test_the_live_view_ends_with_what_happened_last(capsys: pytest.CaptureFixture[str]) -> None:
    console().print(rollout_view(running(), EVENTS[-3:], NOW))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[-4].startswith("when")
    assert lines[-3].endswith("stage 2 waiting -> filling, by service")
    assert lines[-2].endswith("stage 1 judging -> passed, by service: 2 gates passed")


def test_a_live_display_draws_as_the_terminal_can(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="utf-8"))
    with Live(console=console(), auto_refresh=False) as live:
        live.update(rollout_view(running(), EVENTS, NOW), refresh=True)
        assert can_draw()
    sys.stdout.flush()
    assert "▓▓▓".encode() in written.getvalue()


@pytest.mark.parametrize("height", [8, 16, 21, 24, 40])
def test_a_small_screen_shows_what_matters_most(height: int) -> None:
    drawn = console().render_lines(rollout_view(paused(), EVENTS, NOW, height), pad=False)
    text = ["".join(part.text for part in line).rstrip() for line in drawn]
    assert any(line.startswith("what to do") for line in text)
    assert any(line.startswith("5      ") for line in text)
    if height >= 16:
        assert len(text) <= height
    assert any("131 of 420 messages differ" in line for line in text) == (height >= 17)
    assert any("stage 1 judging -> passed" in line for line in text) == (height >= 24)


def test_where_only_ascii_can_be_written_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    print_rollout(paused(), NOW)
    sys.stdout.flush()
    assert b"####################" in written.getvalue()


def test_who_gave_an_order_is_named_once() -> None:
    ordered = event(1, "running", "paused", actor="ada", reason="ada: night shift")
    assert event_line(ordered) == "rollout running -> paused, by ada: night shift"


def test_an_order_is_told_once_with_who_gave_it() -> None:
    ordered = replace(EVENTS[2], before="ready", after="running", actor="ada")
    bare = replace(ordered, reason="started by ada")
    assert event_line(bare) == "rollout ready -> running, started by ada"
    explained = replace(ordered, reason="ada: seen on the test line")
    assert event_line(explained) == "rollout ready -> running, by ada: seen on the test line"


def test_a_verdict_that_waits_names_its_gates_and_leaves_the_rest_to_the_evidence() -> None:
    assert verdict_text(WAITING) == "for evidence: disagreement, psi"
    assert verdict_text(replace(WAITING, findings=())) == WAITING.text
    assert verdict_text(FAILED) == FAILED.text
