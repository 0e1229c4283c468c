"""Windows against the plainest list of rows that there is."""

from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.contract.manifest import Window
from edge_agent.runtime.binding.slab import REMEMBERED
from edge_agent.runtime.binding.window import Rows, WindowRing


def ring_of(size: int, step: int) -> WindowRing:
    ring = np.zeros((2 * size + REMEMBERED, 1), np.int64)
    return WindowRing(Window(size=size, step=step), [ring], 0, 0)


def plain(windows: list[Rows] | None) -> list[list[int]]:
    assert windows is not None
    return [window[0][:, 0].tolist() for window in windows]


def messages(counts: list[int]) -> Iterator[Rows]:
    first = 0
    for count in counts:
        yield [np.arange(first, first + count, dtype=np.int64).reshape(-1, 1)]
        first += count


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(1, 9),
    step=st.integers(1, 12),
    counts=st.lists(st.one_of(st.integers(1, 4), st.integers(1, 400)), max_size=30),
)
def test_every_window_is_the_rows_that_it_should_be(
    size: int, step: int, counts: list[int]
) -> None:
    ring = ring_of(size, step)
    found: list[list[int]] = []
    for rows in messages(counts):
        found += plain(ring.push(rows))
    total = sum(counts)
    expected = [list(range(at, at + size)) for at in range(0, total - size + 1, step)]
    assert found == expected


@settings(max_examples=100, deadline=None)
@given(
    size=st.integers(1, 9),
    step=st.integers(1, 12),
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=60),
    later=st.integers(0, 10),
)
def test_the_windows_of_a_recent_message_can_be_had_again(
    size: int, step: int, counts: list[int], later: int
) -> None:
    ring = ring_of(size, step)
    given_by: list[list[list[int]]] = []
    marks = [(0, 0)]
    for rows in messages(counts):
        given_by.append(plain(ring.push(rows)))
        marks.append((ring.rows, ring.written))
    index = max(0, len(counts) - 1 - later)
    assert plain(ring.windows_again(marks[index], marks[index + 1])) == given_by[index]


def test_windows_whose_rows_are_gone_are_not_made_up() -> None:
    ring = ring_of(2, 2)
    ring.push(next(messages([2])))
    mark = (ring.rows, ring.written)
    for rows in messages([1] * (REMEMBERED + 8)):
        ring.push(rows)
    assert ring.windows_again((0, 0), mark) is None
