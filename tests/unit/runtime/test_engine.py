"""The engine: results, topics, integrity; and that no message makes it raise."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.contract.manifest import (
    Field,
    Output,
    Tensor,
    canonical,
    manifest_digest,
)
from edge_agent.contract.signature import TensorSpec
from edge_agent.contract.state import SlotConfig
from edge_agent.errors import ContractError, IntegrityError, Unsupported
from edge_agent.runtime.answers import Answer
from edge_agent.runtime.engine import Engine
from tests.support.engines import TOPIC, ask, load, of_array, of_fields, outputs, windowed
from tests.support.models import fields, linear_model, manifest_of


def test_result_says_who_answered_what_and_how_long_it_took() -> None:
    engine = of_fields("float32", (-1, 1), *fields("a"))
    body = ask(engine, {"id": {"no": "plain value"}, "time": "noon", "a": 1})
    assert "id" not in body
    assert body["input_time"] == "noon"
    assert (body["device"], body["slot"], body["version"]) == ("line-1", "probe", 3)
    assert (body["topic"], body["received"], body["rows"]) == (TOPIC, 12.5, 1)
    assert all(body["times_us"][stage] > 0 for stage in ("decode", "run", "encode"))
    assert ask(engine, [{"id": 1, "a": 1}, {"a": 1}])["id"] == [1, None]


def test_float32_is_written_short_and_reads_back_equal() -> None:
    engine = of_array("float32", (-1,))
    numbers = np.random.default_rng(3).normal(size=500).astype(np.float32)
    answer = engine.answer(TOPIC, json.dumps(numbers.tolist()).encode(), 0.0)
    assert answer is not None
    back = np.array(json.loads(answer.outputs)["x_out"], np.float32)
    assert np.array_equal(back, numbers)
    assert outputs(engine, [0.1, 1e-30, 3.0e38]) == [0.1, 1e-30, 3.0e38]


def test_topics_follow_prefix_device_and_config() -> None:
    model = linear_model()
    spec, score = TensorSpec("X", "float32", (-1, 3)), TensorSpec("score", "float32", (-1, 1))
    tensor = Tensor(name="X", source="fields", fields=fields("a", "b", "c"))
    manifest = manifest_of(model, [spec], [score], [tensor])
    config = SlotConfig(input_topic="{device}/+/in", output_topic="{device}/{1}/out")
    engine = load(manifest, model, config=config, topic_prefix="data/line-1/")
    assert engine.input_filter == "data/line-1/line-1/+/in"
    answer = engine.answer("data/line-1/line-1/x/in", b'{"a":1,"b":1,"c":1}', 0.0)
    assert isinstance(answer, Answer)
    assert answer.topic == "data/line-1/line-1/x/out"
    with pytest.raises(ContractError) as caught:
        engine.answer("elsewhere", b"{}", 0.0)
    assert caught.value.code == "topic_mismatch"


@pytest.mark.parametrize(
    "config",
    [
        SlotConfig(output_topic="sensors/{1}/rows"),
        SlotConfig(output_topic="x/{2}"),
        SlotConfig(input_topic="a/#/b"),
        SlotConfig(uplink="often"),
    ],
)
def test_config_that_cannot_work_is_refused(config: SlotConfig) -> None:
    model = linear_model()
    spec, score = TensorSpec("X", "float32", (-1, 3)), TensorSpec("score", "float32", (-1, 1))
    tensor = Tensor(name="X", source="fields", fields=fields("a", "b", "c"))
    with pytest.raises(ContractError):
        load(manifest_of(model, [spec], [score], [tensor]), model, config=config)


def test_other_bytes_than_promised_are_never_loaded() -> None:
    model = linear_model()
    spec, score = TensorSpec("X", "float32", (-1, 3)), TensorSpec("score", "float32", (-1, 1))
    tensor = Tensor(name="X", source="fields", fields=fields("a", "b", "c"))
    manifest = manifest_of(model, [spec], [score], [tensor])
    with pytest.raises(IntegrityError, match=r"model\.onnx"):
        load(manifest, linear_model(bias=0.25))
    with pytest.raises(IntegrityError, match="manifest"):
        Engine.load(
            canonical(manifest) + b" ", manifest_digest(manifest), model, device="d", slot="s"
        )


def test_a_manifest_that_lies_about_its_model_is_refused() -> None:
    model = linear_model()
    spec = TensorSpec("X", "float64", (-1, 3))
    tensor = Tensor(name="X", source="fields", fields=fields("a", "b", "c"))
    score = TensorSpec("score", "float32", (-1, 1))
    with pytest.raises(ContractError, match=r"X: float64.*X: float32"):
        load(manifest_of(model, [spec], [score], [tensor]), model)
    right = TensorSpec("X", "float32", (-1, 3))
    gone = TensorSpec("gone", "float32", (-1, 1))
    with pytest.raises((ContractError, Unsupported), match="'gone' expected"):
        load(manifest_of(model, [right], [gone], [tensor]), model)


ENGINES = {
    "fields": of_fields("float32", (-1, 2), Field(name="a", path="p.q"), Field(name="b", max=9)),
    "strings": of_fields("string", (-1, 1), *fields("a")),
    "ints": of_array("int64", (-1, -1)),
    "texts": of_array("string", (-1, -1), "a"),
    "window": windowed((-1, 2, 2), 2, 1),
}
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "p", "q", "id"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=200)
@given(name=st.sampled_from(sorted(ENGINES)), value=VALUES | st.binary(max_size=40))
def test_no_message_makes_the_engine_raise(name: str, value: object) -> None:
    payload = value if isinstance(value, bytes) else json.dumps(value).encode()
    answer = ENGINES[name].answer(TOPIC, payload, 0.0)
    assert answer is None or answer.ok == (answer.code == "")
    if answer is not None:
        json.loads(answer.payload)


def test_output_template_without_wildcards() -> None:
    engine = of_fields("float32", (-1, 1), *fields("a"), output=Output(topic="all/results"))
    answer = engine.answer(TOPIC, b'{"a": 1}', 0.0)
    assert answer is not None
    assert answer.topic == "all/results"
