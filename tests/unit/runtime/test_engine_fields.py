"""Named fields of JSON messages to tensors, through real models that return what they got."""

import pytest

from edge_agent.contract.manifest import (
    Field,
    Runtime,
    Tensor,
)
from edge_agent.contract.signature import TensorSpec
from tests.support.engines import ask, code, mirror, of_fields, outputs
from tests.support.models import fields


@pytest.mark.parametrize(
    ("shape", "one", "two"),
    [
        ((-1, 2), [1, 2], [[1, 2], [3, 4]]),
        ((-1, -1), [1, 2], [[1, 2], [3, 4]]),
        ((1, 2), [1, 2], [[1, 2], [3, 4]]),
        ((2,), [1, 2], [[1, 2], [3, 4]]),
    ],
)
def test_rows_lie_as_the_model_wants_them(shape: tuple[int, ...], one: object, two: object) -> None:
    engine = of_fields("float32", shape, *fields("a", "b"))
    assert outputs(engine, {"a": 1, "b": 2}) == one
    assert outputs(engine, [{"a": 1, "b": 2}, {"a": 3, "b": 4}]) == two
    assert ask(engine, [{"a": 1, "b": 2}, {"a": 3, "b": 4}])["rows"] == 2


@pytest.mark.parametrize(
    ("shape", "one", "two"),
    [((-1, 1), [7], [[7], [8]]), ((-1,), 7, [7, 8]), ((1,), 7, [7, 8]), ((), 7, [7, 8])],
)
def test_a_single_field_fits_smaller_shapes(
    shape: tuple[int, ...], one: object, two: object
) -> None:
    engine = of_fields("int64", shape, *fields("a"))
    assert outputs(engine, {"a": 7}) == one
    assert outputs(engine, [{"a": 7}, {"a": 8}]) == two


def test_one_input_a_column_as_converted_pipelines_have_it() -> None:
    def column(name: str, dtype: str) -> tuple[TensorSpec, Tensor]:
        spec = TensorSpec(name, dtype, (-1, 1))  # type: ignore[arg-type]
        return spec, Tensor(name=name, source="fields", fields=fields(name))

    engine = mirror(column("city", "string"), column("age", "int64"), column("pay", "float64"))
    row = {"city": "Århus", "age": 41, "pay": 0.1}
    assert outputs(engine, row) == {"city_out": ["Århus"], "age_out": [41], "pay_out": [0.1]}
    assert outputs(engine, [row, row])["city_out"] == [["Århus"], ["Århus"]]


def test_paths_reach_into_objects_lists_and_names_with_dots() -> None:
    engine = of_fields(
        "float32",
        (-1, 3),
        Field(name="deep", path="s.t.v"),
        Field(name="item", path="list.1"),
        Field(name="petal.width"),
    )
    row = {"s": {"t": {"v": 1}}, "list": [0, 2], "petal.width": 3}
    assert outputs(engine, row) == [1, 2, 3]
    assert code(engine, row | {"list": [0]}) == "missing"


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("float32", 1, 1.0),
        ("float32", 0.1, 0.1),
        ("float64", 0.1, 0.1),
        ("float16", 2, 2.0),
        ("int64", 2**63 - 1, 2**63 - 1),
        ("uint64", 2**64 - 1, 2**64 - 1),
        ("int64", 2.0, 2),
        ("int8", -128, -128),
        ("bool", True, True),
        ("string", "", ""),
        ("float32", "1", "wrong_type"),
        ("float32", True, "wrong_type"),
        ("float32", [1], "wrong_type"),
        ("float32", 1e39, "out_of_range"),
        ("float16", 70_000, "out_of_range"),
        ("int64", 1.5, "wrong_type"),
        ("int64", 2**63, "out_of_range"),
        ("uint8", -1, "out_of_range"),
        ("uint8", 256, "out_of_range"),
        ("int64", True, "wrong_type"),
        ("bool", 1, "wrong_type"),
        ("string", 5, "wrong_type"),
        ("string", None, "missing"),
    ],
)
def test_a_value_is_taken_exactly_or_refused(dtype: str, value: object, expected: object) -> None:
    engine = of_fields(dtype, (-1, 1), *fields("a"))
    if expected in ("wrong_type", "out_of_range", "missing"):
        assert code(engine, {"a": value}) == expected
    else:
        found = outputs(engine, {"a": value})
        assert found == [expected]
        assert type(found[0]) is type(expected)


def test_ranges_are_inclusive_and_name_the_field_the_unit_and_the_value() -> None:
    engine = of_fields("float32", (-1, 1), Field(name="flow", min=0, max=150, unit="l/min"))
    assert outputs(engine, {"flow": 150}) == [150]
    error = ask(engine, {"flow": 150.5, "id": "m1"})
    assert error["error"] == {
        "code": "out_of_range",
        "text": "flow: expected 0 to 150 l/min, found 150.5",
        "field": "flow",
    }
    assert error["id"] == "m1"
    bad_second = ask(engine, [{"flow": 1}, {"flow": -1}])["error"]
    assert bad_second["text"].startswith("row 1: flow")


def test_missing_values_follow_the_rule() -> None:
    engine = of_fields(
        "float32",
        (-1, 3),
        Field(name="a"),
        Field(name="b", missing="nan"),
        Field(name="c", missing=7.5),
    )
    assert outputs(engine, {"a": 1}) == [1, None, 7.5]
    assert outputs(engine, {"a": 1, "b": None, "c": None}) == [1, None, 7.5]
    assert code(engine, {"b": 1}) == "missing"


@pytest.mark.parametrize("payload", [3, "text", None, True, [], [[1, 2]], [1], [None]])
def test_what_is_no_object_is_the_wrong_shape(payload: object) -> None:
    assert code(of_fields("float32", (-1, 1), *fields("a")), payload) == "wrong_shape"


def test_rows_are_bounded() -> None:
    engine = of_fields("float32", (-1, 1), *fields("a"), runtime=Runtime(max_batch=3))
    assert len(outputs(engine, [{"a": 1}] * 3)) == 3
    assert code(engine, [{"a": 1}] * 4) == "too_many_rows"
