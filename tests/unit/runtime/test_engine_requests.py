"""Requests through the engine: where answers go, what they carry, and what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.contract.manifest import Output
from edge_agent.errors import ContractError
from edge_agent.runtime.answers import Answer
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.message import Incoming
from tests.support.engines import TOPIC, of_array, of_bytes, of_fields, windowed
from tests.support.models import fields

ROW: dict[str, Any] = {"a": 1}


def engine(**options: Any) -> Engine:
    return of_fields("float32", (-1, 1), *fields("a"), **options)


def ask(
    engine: Engine, payload: object = ROW, topic: str = TOPIC, **options: Any
) -> tuple[Answer, Any]:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    message = Incoming(topic=topic, payload=data, received_s=12.5, **options)
    (answer,) = engine.answer_all((message,))
    assert answer is not None
    return answer, json.loads(answer.payload)


def test_a_request_by_topic_is_answered_beside_it() -> None:
    answer, body = ask(engine(), topic=f"{TOPIC}/request/7")
    assert answer.topic == f"{TOPIC}/response/7"
    assert body["topic"] == f"{TOPIC}/request/7"
    answer, body = ask(engine(), b"nonsense", topic=f"{TOPIC}/request/8")
    assert answer.topic == f"{TOPIC}/response/8"
    assert body["error"]["code"] == "not_json"


def test_a_request_by_topic_adds_to_the_window_of_its_source() -> None:
    slot = windowed((-1, 2, 2), 2, 2)
    assert slot.answer(TOPIC, b'{"a": 1, "b": -1}', 0.0) is None
    answer, body = ask(slot, {"a": 2, "b": -2}, topic=f"{TOPIC}/request/7")
    assert answer.topic == f"{TOPIC}/response/7"
    assert body["outputs"]["x_out"] == [[1, -1], [2, -2]]


def test_properties_say_where_the_answer_goes_and_come_back() -> None:
    answer, body = ask(engine(), reply_to="replies/me", correlation=b"k7")
    assert (answer.topic, answer.correlation) == ("replies/me", b"k7")
    assert body["correlation"] == "k7"
    answer, body = ask(engine(), b"nonsense", reply_to="replies/me", correlation=b"\xff")
    assert (answer.topic, answer.correlation) == ("replies/me", b"\xff")
    assert "correlation" not in body, "it is no text: the property carries it"


def test_a_payload_says_the_same_on_mqtt_3() -> None:
    answer, body = ask(engine(), ROW | {"reply_to": "replies/me", "correlation": 7})
    assert answer.topic == "replies/me"
    assert (body["correlation"], body["outputs"]) == (7, {"x_out": [1]})
    answer, body = ask(engine(), {"a": "x", "reply_to": "replies/me", "correlation": "7"})
    assert answer.topic == "replies/me"
    assert (body["correlation"], body["error"]["code"]) == ("7", "wrong_type")


def test_properties_win_over_the_payload() -> None:
    payload = ROW | {"reply_to": "replies/other", "correlation": "other"}
    answer, body = ask(engine(), payload, reply_to="replies/me", correlation=b"mine")
    assert (answer.topic, body["correlation"]) == ("replies/me", "mine")


@pytest.mark.parametrize(
    "reply", ["elsewhere", "replies/+", "shoal/v1/d/up/status", "$SYS/x", TOPIC, "\0", 7, ["x"]]
)
def test_a_reply_that_is_not_allowed_is_refused_on_the_modules_error_topic(reply: object) -> None:
    answer, body = ask(engine(), ROW | {"reply_to": reply, "correlation": "7"})
    assert answer.topic == "results/press/rows/error"
    assert (body["error"]["code"], body["correlation"]) == ("reply_refused", "7")
    if isinstance(reply, str):
        answer, body = ask(engine(), reply_to=reply)
        assert body["error"]["code"] == "reply_refused"


def test_the_module_says_what_is_allowed_below_the_prefix() -> None:
    output = Output(topic="results/{1}", reply=("answers/{device}/+",))
    slot = engine(output=output)
    assert ask(slot, reply_to="answers/line-1/x")[0].ok
    assert ask(slot, reply_to="replies/x")[0].code == "reply_refused"
    none = engine(output=Output(topic="results/{1}", reply=()))
    assert ask(none, reply_to="replies/x")[0].code == "reply_refused"
    everything = engine(output=Output(topic="results/{1}", reply=("#",)))
    assert ask(everything, reply_to="any/where")[0].ok
    for own in (TOPIC, f"{TOPIC}/request/7"):
        assert ask(everything, reply_to=own)[0].code == "reply_refused", "it would read it again"


def test_an_engine_may_be_told_not_to_look_at_addresses() -> None:
    slot = engine()
    slot.takes_addresses = False
    answer, _ = ask(slot, ROW | {"reply_to": "elsewhere"}, reply_to="elsewhere")
    assert (answer.ok, answer.topic) == (True, "results/press/rows")


def test_a_response_is_no_message() -> None:
    slot = engine()
    assert slot.input_filters == ("sensors/+/rows", "sensors/+/rows/request/+")
    with pytest.raises(ContractError):
        slot.answer(f"{TOPIC}/response/7", b"{}", 0.0)


ENGINES = {
    "fields": engine(),
    "lists": of_array("float32", (-1, 2), "v"),
    "bytes": of_bytes("float32", (-1, 3)),
    "window": windowed((-1, 2, 2), 2, 1),
}
for _engine in ENGINES.values():
    _engine.warm_up()
TOPICS = st.sampled_from([TOPIC, f"{TOPIC}/request/7", "sensors/\ud800/rows", "sensors/\0/rows"])
REPLIES = st.just("") | st.just("replies/me") | st.text(max_size=5)
TYPES = st.sampled_from(
    ["", "application/json", "application/cbor", "Application/JSON; charset=utf-8", "x/y", "\ud800"]
)
PAYLOADS = st.binary(max_size=40) | st.sampled_from(
    [b'{"a": 1}', b'{"v": [1, 2]}', b'{"a":1,"b":2}', b"[]", b"null", b"\0" * 12]
)
MESSAGES = st.builds(
    Incoming,
    topic=TOPICS | st.text(max_size=8),
    payload=PAYLOADS,
    received_s=st.floats(allow_nan=False, allow_infinity=False),
    content_type=TYPES | st.text(max_size=8),
    reply_to=REPLIES,
    correlation=st.binary(max_size=8),
)


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(ENGINES)), messages=st.lists(MESSAGES, max_size=6))
def test_whatever_comes_together_gets_an_answer_each_and_nothing_raises(
    name: str, messages: list[Incoming]
) -> None:
    answers = ENGINES[name].answer_all(messages)
    assert len(answers) == len(messages)
    for message, answer in zip(messages, answers, strict=True):
        if answer is None:
            assert name == "window"
            continue
        assert answer.ok == (answer.code == "")
        assert answer.code != "internal", answer.text
        assert answer.topic or answer.code in ("topic_mismatch", "contract_invalid")
        if answer.topic:
            assert answer.correlation == message.correlation
            assert answer.payload


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(["fields", "lists", "bytes"]), messages=st.lists(MESSAGES, max_size=6))
def test_company_changes_no_answer(name: str, messages: list[Incoming]) -> None:
    def said(answer: Answer | None) -> object:
        assert answer is not None
        text = answer.payload
        if answer.content_type == "application/json" and answer.topic:
            body = json.loads(text)
            body.pop("times_us", None)
            return answer.topic, answer.code, body
        return answer.topic, answer.code

    together = ENGINES[name].answer_all(messages)
    alone = [ENGINES[name].answer_all((message,))[0] for message in messages]
    assert [said(answer) for answer in together] == [said(answer) for answer in alone]
