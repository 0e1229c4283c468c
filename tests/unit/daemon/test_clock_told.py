"""What `edge-agent status` and `edge-agent check` say about the machine's clock."""

from pathlib import Path

import pytest

from edge_agent.config import AgentSection, Settings
from edge_agent.daemon.check.finding import Finding
from edge_agent.daemon.checkup import check_up
from edge_agent.daemon.status_text import clock_text
from edge_agent.store.clock import CLOCK_FILE, ClockState
from edge_agent.store.timekeeping import RELEASED

AHEAD = RELEASED + 40 * 365 * 86_400.0


@pytest.mark.parametrize(
    ("clock", "text"),
    [
        (ClockState(is_synced=True), "synchronized"),
        (ClockState(), "not synchronized"),
        (
            ClockState(system=5.0, floor=RELEASED, is_behind=True),
            "not synchronized; it shows 1970-01-01 00:00:05Z, taken for 2026-01-01 00:00:00Z",
        ),
        (
            ClockState(is_synced=True, steps=1, stepped_s=3600.2),
            "synchronized; set 1 time, the last time by +3600 s",
        ),
        (
            ClockState(steps=2, stepped_s=-5.0),
            "not synchronized; set 2 times, the last time by -5 s",
        ),
    ],
)
def test_the_status_says_how_the_clock_does(clock: ClockState, text: str) -> None:
    assert clock_text(clock) == text


def checked(folder: Path) -> Finding:
    settings = Settings(agent=AgentSection(device="line-1", state_dir=str(folder)))
    return next(finding for finding in check_up(settings) if finding.name == "clock")


def test_a_clock_behind_what_is_known_to_have_passed_fails_the_check(tmp_path: Path) -> None:
    (tmp_path / CLOCK_FILE).write_text(f'{{"floor": {AHEAD}}}')
    found = checked(tmp_path)
    assert found.state == "fail"
    assert "at least 2065-" in found.text
    assert "NTP" in found.hint


def test_any_other_clock_does_not(tmp_path: Path) -> None:
    assert checked(tmp_path).state in ("ok", "warn")
    assert list(tmp_path.iterdir()) == [], "looking changes nothing"
