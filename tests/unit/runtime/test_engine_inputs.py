"""Arrays, raw bytes, constants and pictures to tensors, through real models."""

import numpy as np
import pytest

from edge_agent.contract.manifest import (
    Image,
    Input,
    Tensor,
)
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.engine import Engine
from tests.support.engines import ask, code, mirror, of_array, of_bytes, of_fields, outputs, picture
from tests.support.models import fields


def test_arrays_come_as_one_row_or_as_many() -> None:
    engine = of_array("float32", (-1, 2, 2), "v")
    assert outputs(engine, {"v": [[1, 2], [3, 4]]}) == [[1, 2], [3, 4]]
    assert outputs(engine, {"v": [[[1, 2], [3, 4]]]}) == [[[1, 2], [3, 4]]]
    assert outputs(engine, [{"v": [[1, 2], [3, 4]]}] * 2) == [[[1, 2], [3, 4]]] * 2


def test_inner_dimensions_may_be_free() -> None:
    engine = of_array("int64", (1, -1))
    assert outputs(engine, [1, 2, 3]) == [1, 2, 3]
    assert outputs(engine, [[1]]) == [[1]]
    scalar = of_array("float32", (), "v")
    assert outputs(scalar, {"v": 2}) == 2


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("float32", [[1, 2], [3]], "wrong_shape"),
        ("float32", [1, 2], "wrong_shape"),
        ("float32", [[[[1]]]], "wrong_shape"),
        ("float32", [[1, "2"]], "wrong_type"),
        ("float32", [[1, True]], "wrong_type"),
        ("float32", [[1, None]], "missing"),
        ("float32", [[1, 1e39]], "out_of_range"),
        ("int64", [[1, 2.5]], "wrong_type"),
        ("int64", [[1, 2.0]], [[1, 2]]),
        ("int8", [[1, 300]], "out_of_range"),
        ("string", [["a", "b"]], [["a", "b"]]),
        ("string", [["a", 1]], "wrong_type"),
        ("string", [["a", "b"], ["c"]], "wrong_shape"),
        ("bool", [[True, False]], [[True, False]]),
        ("bool", [[1, 0]], "wrong_type"),
        ("float32", {"a": 1}, "wrong_type"),
    ],
)
def test_nested_lists_are_taken_exactly_or_refused(
    dtype: str, value: object, expected: object
) -> None:
    engine = of_array(dtype, (-1, -1, 2))
    if isinstance(expected, str):
        assert code(engine, value) == expected
    else:
        assert outputs(engine, value) == expected


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
        ("uint8", [[1, 263]], "x: expected 0 to 255 (uint8), found 263"),
        ("int64", [[1.0, 2.5]], "x: expected a whole number at [0][1], found 2.5"),
        (
            "int64",
            [[1.0, 9007199254740993.0]],
            (
                "x: expected a whole number at [0][1], found 9007199254740992.0: "
                "a float this large is not exact, send all its digits"
            ),
        ),
        ("float32", [[1, "2"]], "x: expected a number at [0][1], found '2'"),
        ("float32", [[1, None]], "x: expected a number at [0][1], found null"),
        ("string", [["a", 1]], "x: expected a string at [0][1], found 1"),
        ("float32", None, "x: expected a value, found null"),
    ],
)
def test_faults_of_nested_lists_name_the_place_and_the_value(
    dtype: str, value: object, text: str
) -> None:
    assert ask(of_array(dtype, (-1, -1, 2)), value)["error"]["text"] == text


def test_faults_of_fields_and_rows_name_what_was_sent() -> None:
    def text(engine: Engine, message: object) -> str:
        return str(ask(engine, message)["error"]["text"])

    named = of_fields("int64", (-1, 1), *fields("a"))
    assert text(named, {"a": None}) == "a: expected a whole number at 'a', found null"
    assert text(named, {"b": 1}) == "a: expected a whole number at 'a', found nothing"
    assert text(named, {"a": 1e18}).endswith("a float this large is not exact, send all its digits")
    ragged = of_array("float32", (-1, -1, -1), "v")
    assert text(ragged, [{"v": [[1, 2, 3, 4]]}, {"v": [[1, 2], [3, 4]]}]) == (
        "x: expected rows of one shape, found [1, 4] and [2, 2]"
    )
    assert text(ragged, {"v": None}) == "x: expected a value at 'v', found null"
    assert text(ragged, {}) == "x: expected a value at 'v', found nothing"


def test_null_in_an_array_may_be_allowed() -> None:
    engine = of_array("float32", (-1, 2), missing_values="allow")
    assert outputs(engine, [1, None]) == [1, None]


def test_raw_bytes_give_the_free_dimension() -> None:
    engine = of_bytes("float32", (-1, 3))
    row = np.array([1, 2, 3], "<f4").tobytes()
    assert outputs(engine, row) == [1, 2, 3]
    assert outputs(engine, row * 2) == [[1, 2, 3], [1, 2, 3]]
    assert outputs(of_bytes("uint8", (2, -1)), b"\1\2\3\4") == [[1, 2], [3, 4]]
    assert outputs(of_bytes("int64", (2,)), np.array([5, 6], "<i8").tobytes()) == [5, 6]


def test_raw_bytes_of_another_length_or_content_are_refused() -> None:
    engine = of_bytes("float32", (-1, 3))
    for payload in (b"", b"\0" * 11, b"\0" * 16):
        assert code(engine, payload) == "wrong_shape"
    hole = np.array([1, np.nan, 3], "<f4").tobytes()
    assert code(engine, hole) == "not_finite"
    assert outputs(of_bytes("float32", (-1, 3), "allow"), hole) == [1, None, 3]
    assert code(of_bytes("bool", (-1,)), b"\1\2") == "out_of_range"


def test_constants_are_fed_beside_the_rows_and_repeated() -> None:
    row = (
        TensorSpec("x", "float32", (-1, 1)),
        Tensor(name="x", source="fields", fields=fields("a")),
    )
    whole = TensorSpec("k", "int64", (2,)), Tensor(name="k", source="constant", value=[5, 6])
    each = TensorSpec("c", "float32", (-1, 2)), Tensor(name="c", source="constant", value=[1, 2])
    engine = mirror(row, whole, each)
    assert outputs(engine, [{"a": 1}, {"a": 2}]) == {
        "x_out": [[1], [2]],
        "k_out": [5, 6],
        "c_out": [[1, 2], [1, 2]],
    }


@pytest.mark.parametrize(
    ("shape", "image", "expected"),
    [
        ((-1, 3, 1, 2), Image(width=2, height=1), [[[255, 0]], [[128, 0]], [[0, 0]]]),
        ((1, 1, 2, 3), Image(width=2, height=1, layout="HWC"), [[[255, 128, 0], [0, 0, 0]]]),
        (
            (1, 2, 3),
            Image(width=2, height=1, layout="HWC", channels="BGR", scale=2, offset=-1),
            [[[-1, 255, 509], [-1, -1, -1]]],
        ),
        ((-1, 6), Image(width=2, height=1, layout="flat"), [255, 128, 0, 0, 0, 0]),
        ((1, 2), Image(width=2, height=1, layout="HW", channels="L"), [[151, 0]]),
        (
            (-1, 3, 1, 2),
            Image(width=2, height=1, scale=(1, 2, 3), offset=(0.5, 0, -1)),
            [[[255.5, 0.5]], [[256, 0]], [[-1, -1]]],
        ),
        (
            (-1, 3, 1, 2),
            Image(width=2, height=1, channels="BGR", offset=(1, 2, 3)),
            [[[1, 1]], [[130, 2]], [[258, 3]]],
        ),
    ],
)
def test_pictures_are_laid_out_as_the_model_wants_them(
    shape: tuple[int, ...], image: Image, expected: object
) -> None:
    spec = TensorSpec("x", "float32", shape)
    engine = mirror(
        (spec, Tensor(name="x", source="image", image=image)),
        source=Input(topic="sensors/+/rows", codec="image"),
    )
    assert outputs(engine, picture()) == expected
    assert ask(engine, picture("P", (9, 5)))["rows"] == 1
    assert code(engine, b"no picture") == "not_an_image"
