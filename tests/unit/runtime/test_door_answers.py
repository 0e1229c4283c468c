"""Tensors through a door's answers: a real model behind them."""

import json
import os
import time
from typing import Any

import numpy as np
import pytest

from edge_agent.contract.manifest import Input, Runtime, Tensor
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.door_answers import DoorAnswers
from edge_agent.runtime.door_wire import DoorAsk, DoorReply, DoorTensor
from edge_agent.runtime.message import Incoming
from edge_agent.runtime.run_guard import MOST_DEATHS, RunGuard
from edge_agent.runtime.run_mark import RunMark, make_run_mark
from tests.support.engines import mirror

X = TensorSpec("x", "float32", (-1, 3))
MODE = TensorSpec("mode", "int64", (1,))


class Asked:
    """A model that gives its inputs back, and what was counted of its runs."""

    def __init__(self, *, guard: RunGuard | None = None, **options: Any) -> None:
        engine = mirror(
            (X, Tensor(name="x", source="array")),
            (MODE, Tensor(name="mode", source="constant", value=[7])),
            source=Input(topic="sensors/+/rows", max_bytes=4096),
            **options,
        )
        self.counters = Counters()
        self.answers = DoorAnswers(
            engine.manifest,
            engine.opened.session,
            version=3,
            digest="sha256:" + "0" * 64,
            counters=self.counters,
            guard=guard,
        )

    @property
    def runs(self) -> int:
        return self.counters.batches.sizes().runs

    def ask(
        self, body: bytes, json_bytes: int | None = None, *, seconds: float = 30
    ) -> tuple[DoorReply, bytes]:
        expires_s = time.monotonic() + seconds
        return self.answers.answer(
            DoorAsk(name="called", json_bytes=json_bytes, expires_s=expires_s), body
        )


@pytest.fixture(scope="module")
def asked() -> Asked:
    return Asked()


def rows(count: int) -> dict[str, Any]:
    data = [float(number) for number in range(count * 3)]
    return {"name": "x", "shape": [count, 3], "datatype": "FP32", "data": data}


def test_it_says_who_it_is_in_the_words_of_the_protocol(asked: Asked) -> None:
    hello = asked.answers.hello
    assert (hello.module, hello.version, hello.max_bytes) == ("probe", 3, 4096)
    assert hello.inputs == (DoorTensor("x", "FP32", (-1, 3)), DoorTensor("mode", "INT64", (1,)))
    assert [tensor.name for tensor in hello.outputs] == ["x_out", "mode_out"]


def test_json_is_answered_with_json_under_the_name_it_was_asked_by(asked: Asked) -> None:
    reply, body = asked.ask(json.dumps({"id": "7", "inputs": [rows(2)]}).encode())
    assert reply == DoorReply(outcome="ok")
    answer = json.loads(body)
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("called", "3", "7")
    by_name = {output["name"]: output for output in answer["outputs"]}
    assert by_name["x_out"]["data"] == rows(2)["data"]
    assert by_name["x_out"]["shape"] == [2, 3]
    assert by_name["mode_out"]["data"] == [7]  # what the module holds constant need not be sent
    assert asked.counters.batches.sizes().largest == 2


def test_only_what_is_asked_for_is_answered(asked: Asked) -> None:
    _, body = asked.ask(
        json.dumps({"inputs": [rows(1)], "outputs": [{"name": "mode_out"}]}).encode()
    )
    assert [output["name"] for output in json.loads(body)["outputs"]] == ["mode_out"]


def test_raw_tensors_are_answered_with_raw_tensors(asked: Asked) -> None:
    raw = np.arange(6, dtype="<f4").tobytes()
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "shape": [2, 3],
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": len(raw)},
                }
            ],
            "outputs": [{"name": "x_out", "parameters": {"binary_data": True}}],
        }
    ).encode()
    reply, body = asked.ask(head + raw, len(head))
    assert reply.json_bytes is not None
    assert json.loads(body[: reply.json_bytes])["outputs"][0]["shape"] == [2, 3]
    assert body[reply.json_bytes :] == raw


def test_a_raw_body_fills_the_only_input_that_is_not_constant(asked: Asked) -> None:
    raw = np.arange(9, dtype="<f4").tobytes()
    reply, body = asked.ask(raw, 0)
    assert reply.outcome == "ok"
    assert raw in body


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"{}", "wrong_type"),
        (b'{"inputs": []}', "missing"),
        (json.dumps({"inputs": [{**rows(1), "name": "y"}]}).encode(), "unknown_input"),
        (json.dumps({"inputs": [{**rows(1), "datatype": "INT64"}]}).encode(), "wrong_type"),
        (json.dumps({"inputs": [{**rows(1), "shape": [1, 4]}]}).encode(), "wrong_shape"),
        (json.dumps({"inputs": [rows(1)], "outputs": [{"name": "z"}]}).encode(), "unknown_output"),
        (b" " * 4097, "too_large"),
    ],
)
def test_a_bad_question_is_told_why(asked: Asked, body: bytes, code: str) -> None:
    before = asked.runs
    reply, rest = asked.ask(body)
    assert (reply.outcome, reply.code, rest) == ("invalid", code, b"")
    assert reply.text
    assert asked.runs == before


def test_more_rows_than_the_module_takes_are_refused() -> None:
    few = Asked(runtime=Runtime(max_batch=2))
    assert few.ask(json.dumps({"inputs": [rows(2)]}).encode())[0].outcome == "ok"
    assert few.ask(json.dumps({"inputs": [rows(3)]}).encode())[0].code == "too_many_rows"


def test_a_question_that_waited_too_long_is_not_run(asked: Asked) -> None:
    before = asked.runs
    reply, _ = asked.ask(json.dumps({"inputs": [rows(1)]}).encode(), seconds=-1)
    assert reply.outcome == "late"
    assert asked.runs == before


def test_a_request_that_ended_several_processes_is_not_run_again() -> None:
    page = make_run_mark()
    good = json.dumps({"inputs": [rows(1)]}).encode()
    bad = json.dumps({"inputs": [rows(2)]}).encode()
    for _ in range(MOST_DEATHS):  # each process begins with it and never ends
        dying = RunGuard(RunMark(page), 5.0, lambda _: None, now=0.0)
        dying.begin([Incoming(topic="http", payload=bad, received_s=0.0)])
    asked = Asked(guard=RunGuard(RunMark(page), 5.0, lambda _: None, now=0.0))
    reply, _ = asked.ask(bad)
    assert (reply.outcome, reply.code) == ("model", "poison")
    assert asked.ask(good)[0].outcome == "ok"
    assert asked.runs == 1
    os.close(page)


def test_a_question_is_counted_like_a_message() -> None:
    asked = Asked()
    good = json.dumps({"inputs": [rows(2)]}).encode()
    asked.ask(good)
    asked.ask(good)
    asked.ask(b"{}")
    asked.ask(good, seconds=-1)
    health = asked.counters.health(module="probe", version=3, digest="d", pid=1)
    assert (health.messages_in, health.messages_out) == (4, 2)
    assert health.failed == {"wrong_type": 1}
    assert health.dropped == {"deadline": 1}
    assert health.total.count == 3
    assert (health.run.count, health.batches.runs, health.batches.rows) == (2, 2, 4)
