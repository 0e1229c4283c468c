"""Runs that messages share: only where each gets what it would get alone."""

import json

import numpy as np
from onnx import helper, numpy_helper

from edge_agent.contract.manifest import Runtime, Tensor
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.answers import Answer
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.message import Incoming
from tests.support.engines import TOPIC, load, of_array, of_fields
from tests.support.models import fields, manifest_of, onnx_model

RUNS = list[int]


def warm(engine: Engine) -> tuple[Engine, RUNS]:
    """The engine, and the rows of every run that it will make."""
    engine.warm_up()
    rows: RUNS = []
    engine.count_runs(lambda count, _us: rows.append(count))
    return engine, rows


def together(engine: Engine, *payloads: object) -> list[Answer]:
    answers = engine.answer_all(
        [
            Incoming(topic=TOPIC, payload=json.dumps(payload).encode(), received_s=0.0)
            for payload in payloads
        ]
    )
    return [answer for answer in answers if answer is not None]


def outputs(answers: list[Answer]) -> list[object]:
    return [
        next(iter(json.loads(answer.outputs).values())) if answer.ok else answer.code
        for answer in answers
    ]


def across_rows(node: str, shape: tuple[int, ...], **attributes: int) -> Engine:
    """A model that looks at all its rows at once."""
    spec, out = TensorSpec("x", "float32", (-1, 2)), TensorSpec("y", "float32", shape)
    model = onnx_model([helper.make_node(node, ["x"], ["y"], **attributes)], [spec], [out])
    tensor = Tensor(name="x", source="fields", fields=fields("a", "b"))
    return load(manifest_of(model, [spec], [out], [tensor]), model)


def picker() -> Engine:
    """float32 [10] -> the values at `at`; fails for an index that is not there."""
    spec, out = TensorSpec("at", "int64", (-1, 1)), TensorSpec("y", "float32", (-1, 1))
    table = numpy_helper.from_array(np.arange(10, dtype=np.float32), "table")
    model = onnx_model([helper.make_node("Gather", ["table", "at"], ["y"])], [spec], [out], [table])
    tensor = Tensor(name="at", source="fields", fields=fields("i"))
    return load(manifest_of(model, [spec], [out], [tensor]), model)


def test_messages_share_a_run_whatever_they_look_like() -> None:
    engine, rows = warm(of_fields("float32", (-1, 1), *fields("a")))
    answers = together(engine, {"a": 1}, [{"a": 2}, {"a": 3}], {"a": "x"}, {"a": 4}, [{"a": 5}])
    assert outputs(answers) == [[1], [[2], [3]], "wrong_type", [4], [[5]]]
    assert rows == [5]


def test_a_model_that_normalizes_over_its_rows_is_given_one_message_at_a_time() -> None:
    engine, rows = warm(across_rows("Softmax", (-1, 2), axis=0))
    assert engine.most_rows == 1
    assert outputs(together(engine, {"a": 1, "b": 2}, {"a": 5, "b": 0})) == [[1, 1], [1, 1]]
    assert rows == [1, 1]


def test_a_model_that_sums_up_its_rows_is_given_one_message_at_a_time() -> None:
    engine, rows = warm(across_rows("ReduceSum", (1, 1), keepdims=1))
    assert outputs(together(engine, {"a": 1, "b": 2}, {"a": 5, "b": 0})) == [[3], [5]]
    assert rows == [1, 1]


def test_a_row_that_the_model_refuses_costs_only_its_own_message() -> None:
    engine, rows = warm(picker())
    answers = together(engine, {"i": 3}, {"i": 99}, {"i": 4})
    assert outputs(answers) == [[3], "model_failed", [4]]
    assert rows[-2:] == [1, 1]


def test_rows_of_different_length_are_run_one_by_one() -> None:
    engine, rows = warm(of_array("float32", (-1, -1)))
    assert outputs(together(engine, [[1, 2]], [[3, 4, 5]], [[6]])) == [[[1, 2]], [[3, 4, 5]], [[6]]]
    assert rows == [1, 1, 1]


def test_a_module_may_allow_one_row_only() -> None:
    engine, rows = warm(of_fields("float32", (-1, 1), *fields("a"), runtime=Runtime(max_batch=1)))
    assert outputs(together(engine, {"a": 1}, {"a": 2})) == [[1], [2]]
    assert rows == [1, 1]


def test_constants_are_given_to_every_row() -> None:
    specs = [TensorSpec("x", "float32", (-1, 1)), TensorSpec("c", "float32", (-1, 1))]
    out = TensorSpec("y", "float32", (-1, 1))
    model = onnx_model([helper.make_node("Add", ["x", "c"], ["y"])], specs, [out])
    tensors = [
        Tensor(name="x", source="fields", fields=fields("a")),
        Tensor(name="c", source="constant", value=[10.0]),
    ]
    engine, rows = warm(load(manifest_of(model, specs, [out], tensors), model))
    assert outputs(together(engine, {"a": 1}, [{"a": 2}, {"a": 3}])) == [[11], [[12], [13]]]
    assert rows == [3]
