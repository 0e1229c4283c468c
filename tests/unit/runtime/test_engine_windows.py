"""Windows over a stream, through real models."""

import pytest

from edge_agent.contract.manifest import (
    Input,
    Window,
)
from tests.support.engines import ask, code, of_array, outputs, row, windowed


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((-1, 3, 2), [[1, -1], [2, -2], [3, -3]]),
        ((1, 3, 2), [[1, -1], [2, -2], [3, -3]]),
        ((3, 2), [[1, -1], [2, -2], [3, -3]]),
        ((-1, 6), [1, -1, 2, -2, 3, -3]),
    ],
)
def test_full_windows_are_answered(shape: tuple[int, ...], expected: object) -> None:
    engine = windowed(shape, 3, 3)
    assert [outputs(engine, row(n)) for n in (1, 2, 3)] == [None, None, expected]


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_windows_begin_every_step_rows_however_the_rows_arrive(step: int) -> None:
    def first(window: list[list[int]]) -> int:
        return window[0][0]

    expected = [n for n in range(0, 400, step) if n + 3 <= 400]
    single = windowed((-1, 3, 2), 3, step)
    found = [outputs(single, row(n)) for n in range(400)]
    assert [first(w) for w in found if w] == expected
    batched = windowed((-1, 3, 2), 3, step)
    many = [outputs(batched, [row(n) for n in range(at, at + 10)]) for at in range(0, 400, 10)]
    assert [first(w) for windows in many if windows for w in windows] == expected


def test_each_source_topic_has_its_own_window() -> None:
    engine = windowed((-1, 2, 2), 2, 2)
    assert outputs(engine, row(1), "sensors/p/rows") is None
    assert outputs(engine, row(8), "sensors/q/rows") is None
    assert outputs(engine, row(2), "sensors/p/rows") == [[1, -1], [2, -2]]


def test_a_bad_row_leaves_the_window_as_it_was() -> None:
    engine = windowed((-1, 2, 2), 2, 2)
    assert outputs(engine, row(1)) is None
    assert code(engine, {"a": "x"}) == "wrong_type"
    assert outputs(engine, row(2)) == [[1, -1], [2, -2]]


def test_silent_sources_are_forgotten_and_counted() -> None:
    engine = windowed((-1, 2, 2), 2, 2)
    for number in range(1030):
        ask(engine, row(1), f"sensors/{number}/rows")
    assert engine.losses == {"window_forgotten": 6}
    assert outputs(engine, row(2), "sensors/0/rows") is None


def test_windows_of_arrays() -> None:
    source = Input(topic="sensors/+/rows", window=Window(size=2, step=1))
    engine = of_array("float32", (-1, 2, 3), "v", source=source)
    assert outputs(engine, {"v": [1, 2, 3]}) is None
    assert outputs(engine, {"v": [4, 5, 6]}) == [[1, 2, 3], [4, 5, 6]]
    assert code(engine, {"v": [1, 2]}) == "wrong_shape"
