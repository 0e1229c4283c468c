"""States that are fed back, through a real recurrent model, against a numpy loop."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from edge_agent.contract.manifest import Input, Manifest, Tensor, Window
from edge_agent.contract.signature import TensorSpec
from edge_agent.errors import ContractError
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.message import Incoming
from tests.support.engines import TOPIC, ask, load, outputs
from tests.support.models import fields, identity_model, manifest_of
from tests.support.recurrent import Cell, rows_of


def engine_of(cell: Cell, **options: Any) -> Engine:
    engine = load(cell.manifest(**options), cell.model(batch=options.get("batch", -1)))
    engine.warm_up()
    return engine


def row_of(values: tuple[float, float]) -> dict[str, float]:
    return {"a": values[0], "b": values[1]}


def score(engine: Engine, values: tuple[float, float], topic: str = TOPIC) -> float:
    found = outputs(engine, row_of(values), topic)
    assert list(found) == ["score"]
    return float(found["score"][0])


@pytest.mark.parametrize("batch", [-1, 1])
def test_each_source_goes_on_with_the_state_of_its_own_last_row(batch: int) -> None:
    cell = Cell()
    engine = engine_of(cell, batch=batch)
    rows = {f"sensors/{source}/rows": rows_of(source, 8) for source in range(3)}
    found: dict[str, list[float]] = {topic: [] for topic in rows}
    for number in range(8):
        for topic in rows:
            found[topic].append(score(engine, rows[topic][number], topic))
    for topic, values in rows.items():
        assert found[topic] == pytest.approx(cell.scores(values), abs=1e-5)


def test_rows_of_one_message_run_one_after_the_other() -> None:
    cell = Cell()
    values = rows_of(1, 7)
    engine = engine_of(cell)
    first = outputs(engine, [row_of(value) for value in values[:4]])["score"]
    last = outputs(engine, [row_of(value) for value in values[4:]])["score"]
    assert [one for [one] in first + last] == pytest.approx(cell.scores(values), abs=1e-5)


def test_sources_that_wait_together_share_runs_and_no_source_overtakes_itself() -> None:
    cell = Cell()
    engine = engine_of(cell)
    runs: list[int] = []
    engine.count_runs(lambda rows, _us: runs.append(rows))
    rows = {source: rows_of(source, 3) for source in range(4)}
    messages = [
        Incoming(
            topic=f"sensors/{source}/rows",
            payload=json.dumps(row_of(rows[source][number])).encode(),
            received_s=1.0,
        )
        for number in range(3)
        for source in rows
    ]
    answers = [answer for answer in engine.answer_all(messages) if answer is not None]
    found = [json.loads(answer.outputs)["score"][0] for answer in answers]
    expected = [cell.scores(rows[source])[number] for number in range(3) for source in rows]
    assert found == pytest.approx(expected, abs=1e-5)
    assert runs == [4, 4, 4]


@pytest.mark.parametrize("value", [0.5, [0.5, 0.5, 0.5], [[0.5, 0.5, 0.5]]])
def test_a_source_begins_with_the_value_that_is_given(value: object) -> None:
    cell = Cell()
    engine = engine_of(cell, value=value)
    values = rows_of(1, 3)
    assert [score(engine, v) for v in values] == pytest.approx(cell.scores(values, 0.5), abs=1e-5)


def test_a_message_that_does_not_fit_leaves_the_state_as_it_was() -> None:
    cell = Cell()
    engine = engine_of(cell)
    values = rows_of(1, 3)
    found = [score(engine, values[0])]
    assert ask(engine, {"a": "x"})["error"]["code"] == "wrong_type"
    assert ask(engine, [row_of(values[0]), {"a": 1}])["error"]["code"] == "missing"
    found += [score(engine, value) for value in values[1:]]
    assert found == pytest.approx(cell.scores(values), abs=1e-5)


def test_a_run_that_leaves_no_state_behind_leaves_the_state_as_it_was() -> None:
    specs = [TensorSpec("x", "float32", (-1, -1)), TensorSpec("h", "float32", (1, 2))]
    model = identity_model(*specs)
    manifest = manifest_of(
        model,
        specs,
        [TensorSpec("h_out", "float32", (1, 2))],
        [
            Tensor(name="x", source="array", path="v"),
            Tensor(name="h", source="state", output="x_out"),
        ],
    )
    fed_back = TensorSpec("x_out", "float32", (-1, -1))
    engine = load(
        replace(manifest, model=replace(manifest.model, state_outputs=(fed_back,))), model
    )
    assert outputs(engine, {"v": [1, 2]}) == {"h_out": [0, 0]}
    assert ask(engine, {"v": [3, 4, 5]})["error"]["code"] == "state_shape"
    assert outputs(engine, {"v": [6, 7]}) == {"h_out": [1, 2]}


@pytest.mark.parametrize("together", [True, False])
def test_a_state_that_became_nan_is_an_error_of_that_message_alone(together: bool) -> None:
    specs = [TensorSpec("x", "float32", (-1, 1)), TensorSpec("h", "float32", (-1, 1))]
    model = identity_model(*specs)
    manifest = manifest_of(
        model,
        specs,
        [TensorSpec("h_out", "float32", (-1, 1))],
        [
            Tensor(name="x", source="fields", fields=fields("a", missing="nan")),
            Tensor(name="h", source="state", output="x_out"),
        ],
    )
    fed_back = TensorSpec("x_out", "float32", (-1, 1))
    manifest = replace(manifest, model=replace(manifest.model, state_outputs=(fed_back,)))
    engine = load(manifest, model)
    if together:
        engine.warm_up()
    sent = [("p", 1), ("q", 2), ("p", 3), ("q", None), ("p", 5), ("q", 6)]
    messages = [
        Incoming(
            topic=f"sensors/{source}/rows",
            payload=json.dumps({"a": value}).encode(),
            received_s=1.0,
        )
        for source, value in sent
    ]
    found = [
        json.loads(answer.outputs)["h_out"] if answer.ok else answer.code
        for answer in engine.answer_all(messages)
        if answer is not None
    ]
    assert found == [[0], [0], [1], "state_not_a_number", [3], [2]]


def test_forgotten_states_begin_anew() -> None:
    cell = Cell()
    engine = engine_of(cell)
    value = rows_of(1, 1)[0]
    first = score(engine, value)
    assert score(engine, value) != first
    engine.forget()
    assert score(engine, value) == first


def test_a_window_and_a_state_go_together() -> None:
    spec, state = TensorSpec("x", "float32", (-1, 2, 1)), TensorSpec("h", "float32", (-1, 2, 1))
    model = identity_model(spec, state)
    manifest = manifest_of(
        model,
        [spec, state],
        [TensorSpec("h_out", "float32", (-1, 2, 1))],
        [
            Tensor(name="x", source="array", path="v"),
            Tensor(name="h", source="state", output="x_out"),
        ],
        source=Input(topic="sensors/+/rows", window=Window(size=2, step=2)),
    )
    fed_back = TensorSpec("x_out", "float32", (-1, 2, 1))
    manifest = replace(manifest, model=replace(manifest.model, state_outputs=(fed_back,)))
    engine = load(manifest, model)
    found = [outputs(engine, {"v": [number]}) for number in range(1, 5)]
    # Each window is answered with the one before it.
    assert found == [None, {"h_out": [[0], [0]]}, None, {"h_out": [[1], [2]]}]
    many = outputs(engine, [{"v": [number]} for number in range(5, 9)])
    assert many == {"h_out": [[[3], [4]], [[5], [6]]]}


def _changed(manifest: Manifest, **changes: Any) -> Manifest:
    rows, state = manifest.tensors
    return replace(manifest, tensors=(rows, replace(state, **changes)))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"output": ""}, "needs the output"),
        ({"output": "h_nxt"}, "no output 'h_nxt'"),
        ({"output": "score"}, "cannot be fed"),
        ({"value": [[1.0, 2.0]]}, "value has the shape"),
        ({"value": "many"}, "value expected a finite number"),
        ({"path": "h"}, "path has no meaning"),
    ],
)
def test_a_state_that_cannot_be_fed_back_is_refused_in_words(
    changes: dict[str, Any], text: str
) -> None:
    cell = Cell()
    with pytest.raises(ContractError, match=text):
        load(_changed(cell.manifest(), **changes), cell.model())
