"""Which bindings fit which signatures, and what is said about those that do not."""

import msgspec
import pytest

from edge_agent.contract.admission import check_manifest
from edge_agent.contract.fit import check_fit, fit_problems
from edge_agent.contract.manifest import (
    Blob,
    Field,
    Health,
    Image,
    Input,
    Manifest,
    Model,
    Output,
    Tensor,
    Window,
)
from edge_agent.contract.signature import TensorSpec
from edge_agent.errors import ContractError

DIGEST = "sha256:" + "0" * 64


def manifest(
    shape=(-1, 2),
    dtype="float32",
    *,
    tensors=None,
    source="fields",
    count=2,
    codec="json",
    window=None,
    topic="in/+",
    output="out/{1}",
    **tensor,
) -> Manifest:
    if tensors is None:
        if source == "fields" and "fields" not in tensor:
            tensor["fields"] = tuple(Field(name=f"f{i}") for i in range(count))
        tensors = (Tensor(name="x", source=source, **tensor),)
    return Manifest(
        name="m",
        model=Model(
            blob=Blob(path="model.onnx", digest=DIGEST, size=1),
            ir_version=10,
            opsets={"": 20},
            inputs=(TensorSpec("x", dtype, tuple(shape)),),
            outputs=(TensorSpec("y", "float32", (-1,)),),
        ),
        input=Input(topic=topic, codec=codec, window=window),
        tensors=tensors,
        output=Output(topic=output),
    )


def problems(*args, **kwargs) -> str:
    return "\n".join(p.text for p in fit_problems(manifest(*args, **kwargs)))


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        ((-1, 3), 3),
        ((1, 3), 3),
        ((3,), 3),
        ((-1, -1), 3),
        ((-1, 1), 1),
        ((-1,), 1),
        ((1,), 1),
        ((), 1),
    ],
)
def test_fields_fit_rows_and_single_values(shape, count):
    assert problems(shape, count=count) == ""


@pytest.mark.parametrize(
    ("shape", "count"),
    [((-1, 3), 2), ((2,), 3), ((), 2), ((-1,), 2), ((8, 3), 3), ((-1, 2, 2), 4)],
)
def test_fields_that_do_not_fit_are_refused_with_both_shapes(shape, count):
    text = problems(shape, count=count)
    assert f"{count} fields go into a shape of" in text
    assert "the model has x: float32[" in text


@pytest.mark.parametrize(
    "shape", [(-1, 5, 2), (1, 5, 2), (-1, 10), (5, 2), (10,), (-1, -1), (-1, 2)]
)
def test_windows_of_fields_fit(shape):
    assert problems(shape, window=Window(size=5, step=1)) == ""


@pytest.mark.parametrize("shape", [(-1, 3), (-1, 4, 2), (-1, 2, 5), (4,)])
def test_windows_that_do_not_fit_are_refused(shape):
    assert "windows of 5 rows of 2 fields" in problems(shape, window=Window(size=5, step=1))


def test_a_misspelt_tensor_names_the_input_that_was_meant():
    text = problems((-1, 1), tensors=(Tensor(name="xx", source="array"),))
    assert "tensor 'xx': the model has no such input; did you mean 'x'?" in text
    assert "input x: float32[?, 1] has no [[tensor]] that fills it" in text


def test_every_problem_is_named_not_only_the_first():
    with pytest.raises(ContractError) as caught:
        check_fit(manifest(count=3, topic="a/#", output="a/b"))
    assert caught.value.text.startswith("2 problems:")


def test_a_problem_says_where_in_the_manifest_it_is():
    fields = (Field(name="a"), Field(name="b", min=2, max=1))
    (problem,) = fit_problems(manifest(fields=fields))
    assert problem.place == ("tensors", 0, "fields", 1)
    assert "min expected at most max, found min 2 and max 1" in problem.text


@pytest.mark.parametrize(
    ("dtype", "field", "expected"),
    [
        ("int64", Field(name="a", missing="nan"), "missing = 'nan' is for floating-point"),
        ("string", Field(name="a", missing="nan"), "missing = 'nan' is for floating-point"),
        ("string", Field(name="a", min=0), "min and max are for numbers"),
        ("bool", Field(name="a", max=1), "min and max are for numbers"),
        ("bool", Field(name="a", missing=1), "missing expected true or false, found 1"),
        ("uint8", Field(name="a", missing=256), "missing expected a whole number from 0 to 255"),
        ("int64", Field(name="a", missing=0.5), "missing expected a whole number"),
        ("float32", Field(name="a", missing="zero"), "missing expected 'reject', 'nan' or a value"),
        ("float32", Field(name="a", missing=True), "missing expected a finite number"),
        ("float32", Field(name="a", min=float("nan")), "min expected a finite number"),
    ],
)
def test_field_rules_must_suit_the_type(dtype, field, expected):
    assert expected in problems((-1, 1), dtype, fields=(field,))


@pytest.mark.parametrize(
    ("dtype", "missing"), [("string", "none"), ("float64", "nan"), ("int8", -1), ("bool", False)]
)
def test_missing_values_of_the_right_type_fit(dtype, missing):
    assert problems((-1, 1), dtype, fields=(Field(name="a", missing=missing),)) == ""


def test_a_field_listed_twice_is_refused():
    assert "field 'a' is listed more than once" in problems(fields=(Field(name="a"),) * 2)


@pytest.mark.parametrize(
    ("source", "codec", "needed"),
    [("fields", "image", "json"), ("array", "octet-stream", "json"), ("bytes", "json", "octet")],
)
def test_a_source_needs_its_codec(source, codec, needed):
    assert f"needs codec = '{needed}" in problems(source=source, codec=codec)


@pytest.mark.parametrize("codec", ["json", "cbor", "oip"])
@pytest.mark.parametrize("source", ["fields", "array"])
def test_named_values_come_in_three_formats(source, codec):
    fields = (Field(name="a"), Field(name="b")) if source == "fields" else ()
    assert problems((-1, 2), source=source, codec=codec, fields=fields) == ""


def test_raw_bytes_leave_at_most_one_dimension_free():
    assert problems((-1, 4), source="bytes", codec="octet-stream") == ""
    text = problems((-1, -1), source="bytes", codec="octet-stream")
    assert "at most one dimension may be free" in text


def test_raw_bytes_cannot_become_strings():
    text = problems((-1,), "string", source="bytes", codec="octet-stream")
    assert "raw bytes cannot become strings" in text


@pytest.mark.parametrize(
    ("shape", "layout", "channels"),
    [
        ((-1, 3, 4, 6), "CHW", "RGB"),
        ((1, 4, 6, 3), "HWC", "BGR"),
        ((4, 6), "HW", "L"),
        ((-1, 24), "flat", "L"),
        ((-1, 3, -1, -1), "CHW", "RGB"),
    ],
)
def test_pictures_fit_their_layouts(shape, layout, channels):
    image = Image(width=6, height=4, layout=layout, channels=channels)
    assert problems(shape, source="image", codec="image", image=image) == ""


def test_a_picture_of_another_size_is_refused_with_its_shape():
    image = Image(width=6, height=4)
    text = problems((-1, 3, 6, 4), source="image", codec="image", image=image)
    assert "is [N, 3, 4, 6]; the model has x: float32[?, 3, 6, 4]" in text


def test_pixels_must_stay_inside_the_integer_type():
    image = Image(width=2, height=2, layout="flat", channels="L", offset=1.0)
    text = problems((-1, 4), "uint8", source="image", codec="image", image=image)
    assert "pixels after scale and offset run from 1 to 256" in text


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ({"scale": (1.0, 2.0)}, "expected one number, or 3 for the channels of 'RGB'"),
        ({"offset": (1.0,)}, "expected one number, or 3 for the channels of 'RGB'"),
        ({"scale": (1.0, 2.0, float("inf"))}, "expected finite numbers"),
        ({"scale": (1.0, 2.0, 3.0), "offset": -1.0}, ""),
    ],
)
def test_scale_and_offset_are_one_number_or_one_a_channel(numbers, text):
    image = Image(width=6, height=4, **numbers)
    assert text in problems((-1, 3, 4, 6), source="image", codec="image", image=image)


@pytest.mark.parametrize(
    ("shape", "dtype", "value"),
    [
        ((), "float32", 0.5),
        ((2,), "int64", [1, 2]),
        ((-1, 2), "float32", [1.0, 2.0]),
        ((-1, 2), "float32", [[1.0, 2.0]]),
        ((1,), "string", ["a"]),
        ((-1,), "bool", True),
    ],
)
def test_constants_fit_whole_or_as_one_row(shape, dtype, value):
    base = manifest()
    tensors = (*base.tensors, Tensor(name="c", source="constant", value=value))
    inputs = (*base.model.inputs, TensorSpec("c", dtype, shape))
    model = msgspec.structs.replace(base.model, inputs=inputs)
    check_fit(msgspec.structs.replace(base, tensors=tensors, model=model))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "needs a value"),
        ([[1], [1, 2]], "the same length at each level"),
        ([1.0, 2.0, 3.0], "value has the shape [3]"),
        ([1.0, "a"], "value expected a finite number, found 'a'"),
        ([True, False], "value expected a finite number, found True"),
    ],
)
def test_constants_that_do_not_fit_are_refused(value, expected):
    assert expected in problems(source="constant", value=value)


def test_a_module_that_looks_at_nothing_of_the_message_is_refused():
    assert "every result would be the same" in problems(source="constant", value=[1.0, 2.0])


def test_keys_of_another_source_are_refused():
    text = problems(source="array", image=Image(width=1, height=1))
    assert "image has no meaning with from = 'array'" in text


@pytest.mark.parametrize(
    ("topic", "output"),
    [
        ("a/+", "a/b"),
        ("a/#", "a/{1}/x"),
        ("a/b/#", "{1}/x"),  # {1} may be a/b
        ("+/x/error", "{1}/x"),  # the module's errors
        ("#", "out"),
        ("a/{device}", "a/{device}"),
    ],
)
def test_a_module_that_would_read_its_own_output_is_refused(topic, output):
    assert "be read again" in problems(topic=topic, output=output)


@pytest.mark.parametrize(
    ("topic", "output"), [("a/+/b", "r/{1}/b"), ("a/#", "b/{1}"), ("s/{device}/x", "r/{device}")]
)
def test_routes_that_do_not_meet_fit(topic, output):
    assert problems(topic=topic, output=output) == ""


def test_formats_newer_than_the_runtime_are_refused_with_both_numbers():
    base = manifest()
    model = msgspec.structs.replace(base.model, ir_version=14, opsets={"": 27, "com.example": 1})
    texts = [p.text for p in fit_problems(msgspec.structs.replace(base, model=model))]
    assert "ONNX IR version expected 1 to 13, found 14" in texts
    assert "opset of ai.onnx expected 1 to 26, found 27" in texts
    assert any("found domain 'com.example'" in text for text in texts)


@pytest.mark.parametrize("path", ["../model.onnx", "/etc/passwd", "a//b", "a\\b", "./a"])
def test_a_manifest_with_a_file_outside_the_module_is_not_admitted(path):
    base = manifest()
    golden = (Blob(path=path, digest=DIGEST, size=1),)
    with pytest.raises(ContractError, match="expected a path below the module's folder"):
        check_manifest(msgspec.structs.replace(base, health=Health(golden=golden)))


def test_a_sound_manifest_is_admitted():
    check_manifest(manifest())


def test_a_metric_that_is_no_number_is_not_admitted():
    with pytest.raises(ContractError, match="metric 'f1' expected a finite number"):
        check_manifest(msgspec.structs.replace(manifest(), metrics={"f1": float("nan")}))
