"""Looking again and again: what happens when the service goes, comes back, or refuses."""

import itertools

import pytest

from cloud_sync.cli.watch import LONGEST_PAUSE_S, count_down, look_again, pause_s
from cloud_sync.errors import NotFound, ShoalError, Unavailable


class Service:
    """Answers with numbers, or fails, as it is told."""

    def __init__(self, *outcomes: int | ShoalError) -> None:
        self._outcomes = iter(outcomes)
        self.slept: list[float] = []
        self.lost: list[tuple[str, float]] = []

    def look(self) -> int:
        outcome = next(self._outcomes)
        if isinstance(outcome, ShoalError):
            raise outcome
        return outcome

    def watch(self, count: int) -> list[int]:
        looks = look_again(
            self.look,
            2.0,
            on_lost=lambda error, wait_s: self.lost.append((error.text, wait_s)),
            sleep=self.slept.append,
        )
        return list(itertools.islice(looks, count))


def test_a_service_that_comes_back_is_watched_as_before() -> None:
    service = Service(1, Unavailable("gone"), Unavailable("gone"), 2, Unavailable("again"), 3)
    assert service.watch(3) == [1, 2, 3]
    assert service.lost == [("gone", 4.0), ("gone", 5.0), ("again", 4.0)]
    assert service.slept == [2.0, 4.0, 5.0, 2.0, 4.0]


def test_the_first_look_must_succeed() -> None:
    with pytest.raises(Unavailable):
        Service(Unavailable("gone"), 1).watch(1)


def test_what_waiting_cannot_end_ends_the_watch() -> None:
    with pytest.raises(NotFound):
        Service(1, NotFound("no such thing")).watch(2)


def test_pauses_grow_up_to_a_bound() -> None:
    assert [pause_s(2.0, failures) for failures in range(5)] == [2.0, 4.0, 5.0, 5.0, 5.0]
    assert pause_s(2.0, 10_000) == LONGEST_PAUSE_S
    assert pause_s(60.0, 3) == 60.0


def test_a_wait_is_counted_down_second_by_second_to_its_end() -> None:
    told: list[float] = []
    slept: list[float] = []
    count_down(2.5, told.append, sleep=slept.append)
    assert told == [2.5, 1.5, 0.5]
    assert slept == [1.0, 1.0, 0.5]
