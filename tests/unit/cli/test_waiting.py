"""What devices wait for, as lines of text."""

import pytest
from msgspec.structs import replace

from cloud_sync.cli.rollout_lines import changes
from cloud_sync.cli.waiting import wait_text, waits_text
from cloud_sync.rollout_waiting import WaitCount, Waiting
from tests.support.rollout_samples import NOW, running

AWAY = Waiting(code="away", text="away, keeps its place")


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        (None, None, "away, keeps its place"),
        (NOW - 7_200, None, "away, keeps its place (since 2 h ago)"),
        (None, NOW + 60, "away, keeps its place (1 min more at most)"),
        (NOW - 60, NOW - 1, "away, keeps its place (since 1 min ago, ends now)"),
    ],
)
def test_a_reason_has_its_times(since: float | None, until: float | None, said: str) -> None:
    assert wait_text(replace(AWAY, since=since, until=until), NOW) == said


def test_nothing_unexpected_is_nothing_said() -> None:
    assert waits_text([], NOW) == ""
    assert waits_text([WaitCount(code="turn", text="is asked next", devices=3)], NOW) == ""


def test_a_watch_in_a_pipe_says_what_is_new_to_be_waited_for_and_says_it_once() -> None:
    lock = WaitCount(code="lock", text="a program on the device puts updates off", devices=2)
    before = running()
    after = replace(before, waits=(lock,))
    (line,) = changes(before, after, (), NOW)
    assert line.endswith("waits: 2 devices: a program on the device puts updates off")
    assert list(changes(after, after, (), NOW)) == []
