"""Codecs: any bytes give a value or a MessageError, within bounds."""

import io
import json
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge_agent.errors import MessageError
from edge_agent.runtime.codecs.codec import Codec
from edge_agent.runtime.codecs.image import ImageCodec
from edge_agent.runtime.codecs.json import JsonCodec
from edge_agent.runtime.codecs.octet_stream import OctetStreamCodec


def fault(codec: Codec, payload: bytes) -> MessageError | None:
    try:
        codec.decode(payload)
    except MessageError as error:
        return error
    return None


def code_of(codec: Codec, payload: bytes) -> str:
    error = fault(codec, payload)
    return error.code if error is not None else ""


def png(width: int, height: int, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height)).save(out, "PNG")
    return out.getvalue()


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.text()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_read_as_python_reads_it(value: object) -> None:
    assert JsonCodec(2**20).decode(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_a_message_error(payload: bytes) -> None:
    for codec in (JsonCodec(100), OctetStreamCodec(100), ImageCodec(100, max_pixels=100)):
        error = fault(codec, payload)
        assert error is None or (error.code and error.text)


@given(st.binary(max_size=30), st.integers(0, 60))
def test_damaged_pictures_give_a_message_error(junk: bytes, at: int) -> None:
    whole = png(9, 7)
    payload = whole[:at] + junk + whole[at + len(junk) :]
    error = fault(ImageCodec(10_000, max_pixels=1000), payload)
    assert error is None or error.code in ("not_an_image", "image_too_large")


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "not_json"),
        (b"nope", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b'{"a": 1', "not_json"),
        (b'{"a": NaN}', "not_finite"),
        (b"[1, -Infinity]", "not_finite"),
        (b"NaN", "not_finite"),
        (b"1e999", "out_of_range"),
        (b"[" * 90_000, "too_deep"),
        (b'{"a":' * 20_000, "too_deep"),
        (b" " * 200_000, "too_large"),
    ],
)
def test_json_faults_have_their_own_codes(payload: bytes, code: str) -> None:
    assert code_of(JsonCodec(100_000), payload) == code


@pytest.mark.parametrize(
    ("payload", "part"),
    [
        (rb'{"a": "\ud800"}', r"half a character, \ud800, at position 7"),
        (rb'{"a": "\\ud83d \ud83d\ude00 \udc00"}', r"half a character, \udc00, at position 28"),
        ('{"a": "caf\xe9"}'.encode("latin-1"), "expected UTF-8, found byte 0xe9 at position 10"),
        (b'{"a": {"b": [0, 1e400]}}', "found a larger one at 'a.b.1'"),
        (b"1e400", "found a larger one"),
        (b'{"a": 1e400', "found a larger one"),
    ],
)
def test_json_faults_say_what_and_where(payload: bytes, part: str) -> None:
    error = fault(JsonCodec(1000), payload)
    assert error is not None
    assert part in error.text


def test_what_is_no_picture_is_named_by_its_bytes() -> None:
    error = fault(ImageCodec(1000, max_pixels=100), b"\xff\xd8junk")
    assert error is not None
    assert error.text == (
        "payload expected a JPEG or PNG picture, found 6 bytes that begin with ff d8 6a 75 6e 6b"
    )


def test_picture_that_announces_too_many_pixels_is_never_unpacked() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    def announced(width: int, height: int) -> bytes:
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")

    codec = ImageCodec(10_000, max_pixels=1_000_000)
    assert code_of(codec, announced(1001, 1000)) == "image_too_large"
    assert code_of(codec, announced(60_000, 60_000)) == "image_too_large"


def test_other_formats_are_refused() -> None:
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "BMP")
    assert code_of(ImageCodec(10_000, max_pixels=100), out.getvalue()) == "not_an_image"
    assert code_of(ImageCodec(10_000, max_pixels=100), png(4, 4)[:-30]) == "not_an_image"


def test_raw_payloads_are_bounded() -> None:
    assert OctetStreamCodec(4).decode(b"1234") == b"1234"
    assert code_of(OctetStreamCodec(4), b"12345") == "too_large"
