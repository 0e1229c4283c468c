"""A shadow's windows end where those end that it is compared with."""

import pytest

from edge_agent.runtime.alignment import Alignment


def ends(size: int, step: int, rows: range) -> set[int]:
    """The rows at which windows end that begin with the first of these."""
    first = rows.start + size - 1
    return {row for row in rows if row >= first and (row - first) % step == 0}


@pytest.mark.parametrize(("size", "step"), [(10, 5), (10, 3), (4, 4), (5, 7), (1, 1), (3, 10)])
@pytest.mark.parametrize("comes", [0, 1, 7, 23])
def test_windows_of_a_shadow_that_comes_later_end_with_those_of_its_slot(
    size: int, step: int, comes: int
):
    live = ends(size, step, range(200))
    alignment = Alignment(size, step)
    taken = [row for row in range(comes, 200) if alignment.takes("t", is_window_full=row in live)]
    own = ends(size, step, range(taken[0], 200))
    assert taken == list(range(taken[0], 200))
    assert own
    assert own <= live
    assert {row for row in live if row >= min(own)} == own


def test_topics_begin_by_themselves_and_all_anew_after_a_gap():
    alignment = Alignment(2, 1)
    assert not alignment.takes("a", is_window_full=True)
    assert alignment.takes("a", is_window_full=True)
    assert not alignment.takes("b", is_window_full=False)
    alignment.forget()
    assert not alignment.takes("a", is_window_full=True)
