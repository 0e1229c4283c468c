"""The engine: messages of every kind to answers, through real models that return what they got."""

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from edge_agent.contract.manifest import (
    Field,
    Image,
    Input,
    Manifest,
    Output,
    Runtime,
    Tensor,
    Window,
    canonical,
    manifest_digest,
)
from edge_agent.contract.signature import TensorSpec
from edge_agent.contract.state import SlotConfig
from edge_agent.errors import ContractError, IntegrityError, Unsupported
from edge_agent.runtime.engine import Answer, Engine
from tests.support.models import fields, identity_model, linear_model, manifest_of

TOPIC = "sensors/press/rows"


def load(manifest: Manifest, model: bytes, **options: Any) -> Engine:
    return Engine.load(
        canonical(manifest),
        manifest_digest(manifest),
        model,
        device="line-1",
        slot="probe",
        version=3,
        **options,
    )


def mirror(*pairs: tuple[TensorSpec, Tensor], **options: Any) -> Engine:
    """An engine whose model gives every input back as NAME_out."""
    specs = [spec for spec, _ in pairs]
    outputs = [TensorSpec(f"{s.name}_out", s.dtype, s.shape) for s in specs]
    model = identity_model(*specs)
    manifest = manifest_of(model, specs, outputs, [tensor for _, tensor in pairs], **options)
    return load(manifest, model)


def ask(engine: Engine, payload: object, topic: str = TOPIC) -> Any:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    answer = engine.answer(topic, data, 12.5)
    if answer is None:
        return None
    body = json.loads(answer.payload)
    assert answer.ok == ("outputs" in body)
    return body


def outputs(engine: Engine, payload: object, topic: str = TOPIC) -> Any:
    body = ask(engine, payload, topic)
    if body is None:
        return None
    assert "outputs" in body, body
    values = body["outputs"]
    return values["x_out"] if list(values) == ["x_out"] else values


def code(engine: Engine, payload: object) -> str:
    return str(ask(engine, payload)["error"]["code"])


def of_fields(dtype: str, shape: tuple[int, ...], *items: Field, **options: Any) -> Engine:
    spec = TensorSpec("x", dtype, shape)  # type: ignore[arg-type]
    return mirror((spec, Tensor(name="x", source="fields", fields=items)), **options)


def of_array(dtype: str, shape: tuple[int, ...], path: str = "", **options: Any) -> Engine:
    spec = TensorSpec("x", dtype, shape)  # type: ignore[arg-type]
    missing = options.pop("missing_values", "reject")
    tensor = Tensor(name="x", source="array", path=path, missing_values=missing)
    return mirror((spec, tensor), **options)


# -- named fields ---------------------------------------------------------------------------


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


# -- arrays, bytes, constants, pictures -------------------------------------------------------


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


def of_bytes(dtype: str, shape: tuple[int, ...], missing: str = "reject") -> Engine:
    spec = TensorSpec("x", dtype, shape)  # type: ignore[arg-type]
    tensor = Tensor(name="x", source="bytes", missing_values=missing)  # type: ignore[arg-type]
    return mirror((spec, tensor), source=Input(topic="sensors/+/rows", codec="octet-stream"))


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


def picture(mode: str = "RGB", size: tuple[int, int] = (2, 1)) -> bytes:
    image = Pillow.new(mode, size)
    if mode == "RGB":
        image.putpixel((0, 0), (255, 128, 0))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


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
    assert ask(engine, picture("RGBA", (9, 5)))["rows"] == 1
    assert code(engine, b"no picture") == "not_an_image"


# -- windows ------------------------------------------------------------------------------


def windowed(shape: tuple[int, ...], size: int, step: int) -> Engine:
    source = Input(topic="sensors/+/rows", window=Window(size=size, step=step))
    return of_fields("float32", shape, *fields("a", "b"), source=source)


def row(number: int) -> dict[str, int]:
    return {"a": number, "b": -number}


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
    assert engine.forgotten_windows == 6
    assert outputs(engine, row(2), "sensors/0/rows") is None


def test_windows_of_arrays() -> None:
    source = Input(topic="sensors/+/rows", window=Window(size=2, step=1))
    engine = of_array("float32", (-1, 2, 3), "v", source=source)
    assert outputs(engine, {"v": [1, 2, 3]}) is None
    assert outputs(engine, {"v": [4, 5, 6]}) == [[1, 2, 3], [4, 5, 6]]
    assert code(engine, {"v": [1, 2]}) == "wrong_shape"


# -- results, topics, integrity ------------------------------------------------------------


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
