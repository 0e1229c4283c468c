"""Outputs as JSON: short, exact, and the same in company as alone."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from edge_agent.errors import ModelError
from edge_agent.runtime.outputs import MAX_ELEMENTS, Outputs, RunOutputs, plain
from edge_agent.runtime.session import Array


def share(run: RunOutputs, start: int, rows: int, *, drops: bool = True) -> Outputs:
    return Outputs(("o",), (run,), start, rows, (drops,), is_list=False)


def alone(*runs: Array, drops: bool = False, is_list: bool = False) -> Outputs:
    return Outputs(("o",), tuple(RunOutputs([a]) for a in runs), 0, 0, (drops,), is_list=is_list)


def value(outputs: Outputs) -> object:
    return json.loads(outputs.json())["o"]


@given(st.lists(st.floats(width=32) | st.floats(0, 1, width=32), min_size=1, max_size=100))
def test_float32_has_the_digits_that_numpy_writes(numbers: list[float]) -> None:
    array = np.array(numbers, np.float32)
    # Many together are converted in another way than a few.
    for padding in (0, 40):
        found = plain(np.concatenate([array, np.zeros(padding, np.float32)]))
        assert isinstance(found, list)
        for number, text in zip(found, array, strict=False):
            assert repr(number) == repr(float(str(text)))


@pytest.mark.parametrize("decimals", range(8))
def test_what_was_short_is_written_short(decimals: int) -> None:
    numbers = np.round(np.random.default_rng(5).random(2000) * 7, decimals)
    found = plain(numbers.astype(np.float32))
    expected = [float(str(number)) for number in numbers.astype(np.float32)]
    assert found == expected


@given(arrays(np.float16, array_shapes(max_dims=3, max_side=5)))
def test_float16_reads_back_as_itself(array: Array) -> None:
    found = np.array(plain(array), np.float64).astype(np.float16)
    assert np.array_equal(found.reshape(array.shape), array, equal_nan=True)


def test_what_json_has_no_word_for_becomes_null() -> None:
    odd = np.array([np.nan, np.inf, -np.inf, 1.5] * 20, np.float32)
    assert value(alone(odd)) == [None, None, None, 1.5] * 20


@given(
    arrays(np.float32, st.tuples(st.integers(2, 40), st.integers(1, 3))),
    st.data(),
)
def test_a_message_has_the_same_outputs_in_company_as_alone(
    array: Array, data: st.DataObject
) -> None:
    run = RunOutputs([array])
    start = data.draw(st.integers(0, len(array) - 1))
    rows = data.draw(st.integers(1, len(array) - start))
    part = array[start : start + rows]
    assert share(run, start, rows, drops=False).json() == alone(part).json()
    single = share(run, start, 1)
    assert single.json() == alone(array[start : start + 1], drops=True).json()
    assert np.array_equal(single.first, array[start], equal_nan=True)
    assert np.array_equal(single.mapping()["o"], array[start], equal_nan=True)


def test_the_digits_of_a_message_do_not_depend_on_its_company() -> None:
    large = np.full((100, 200), 0.1, np.float32)
    small = large[:1]
    assert share(RunOutputs([large]), 7, 1).json() == alone(small, drops=True).json()


def test_texts_with_line_feeds_stay_whole() -> None:
    run = RunOutputs([np.array(["a\nb", "c", 'd"\\'], dtype=object)])
    assert [value(share(run, row, 1)) for row in range(3)] == ["a\nb", "c", 'd"\\']


def test_rows_that_were_runs_of_their_own_are_a_list() -> None:
    ones = [np.array([[n]], np.int64) for n in (1, 2)]
    assert value(alone(*ones, drops=True, is_list=True)) == [[1], [2]]
    assert [a.tolist() for a in alone(*ones, is_list=True).mapping()["o"]] == [[[1]], [[2]]]


def test_a_result_that_is_too_large_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        alone(np.zeros(MAX_ELEMENTS + 1, np.int8)).json()
    assert caught.value.code == "result_too_large"


@given(arrays(np.int64, array_shapes(max_dims=3, max_side=4)))
def test_whole_numbers_are_exact(array: Array) -> None:
    assert value(alone(array)) == array.tolist()
    assert msgspec.json.decode(alone(array).json())["o"] == array.tolist()
