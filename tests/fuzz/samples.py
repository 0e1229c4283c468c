"""Valid payloads, which the fuzzers begin from: most other bytes are refused early."""

import io
import json
import struct
from typing import Any

import cbor2
import numpy as np
from PIL import Image

ROWS: tuple[Any, ...] = (
    {"a": 0.5, "b": None, "c": {"d": [1]}, "id": "r", "time": 1.5},
    [{"a": 1, "b": 2, "c.d.0": 0}, {"a": -1}],
    {"a": "text"},
    {"a": True, "b": False},
    {"v": [[1, 2], [3, 4]], "w": [True, False]},
    {"v": [["a", "b"]]},
    {"v": [1, 2, 3, 4]},
    [[1, 2], [3, 4.5]],
)


def json_samples() -> list[bytes]:
    return [json.dumps(row).encode() for row in ROWS]


def cbor_samples() -> list[bytes]:
    def typed(tag: int, dtype: str, *shape: int) -> cbor2.CBORTag:
        flat = cbor2.CBORTag(tag, np.ones(shape, dtype).tobytes())
        return flat if len(shape) == 1 else cbor2.CBORTag(40, [list(shape), flat])

    arrays = [
        typed(85, "<f4", 3), typed(85, "<f4", 2, 3), typed(81, ">f4", 2), typed(64, "|u1", 2, 2),
        typed(86, "<f8", 1, 2), typed(80, ">f2", 2, 2), typed(79, "<i8", 2), typed(72, "|i1", 4),
        cbor2.CBORTag(1040, [[2, 2], typed(85, "<f4", 4)]), cbor2.CBORTag(40, [[2], [1, 2.5]]),
    ]  # fmt: skip
    values = [*ROWS, *arrays, *({"v": item, "id": 1} for item in arrays), arrays[:2]]
    odd = [float("nan"), cbor2.undefined, b"bytes", -(2**64), cbor2.CBORSimpleValue(7)]
    return [cbor2.dumps(value) for value in (*values, *({"a": item} for item in odd))]


def octet_stream_samples() -> list[bytes]:
    return [np.ones(12, "<f4").tobytes(), bytes([0, 1] * 3), np.ones(4, "<f2").tobytes()]


def image_samples() -> list[bytes]:
    found = []
    for kind, mode in (
        ("PNG", "RGB"), ("PNG", "P"), ("PNG", "LA"), ("PNG", "1"), ("JPEG", "L"), ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
    ):  # fmt: skip
        out = io.BytesIO()
        Image.new(mode, (9, 7)).save(out, kind)
        found.append(out.getvalue())
    out = io.BytesIO()
    Image.new("RGB", (9, 7)).save(out, "JPEG", progressive=True)
    return [*found, out.getvalue()]


def _requests() -> list[tuple[dict[str, Any], bytes]]:
    """Requests, with the raw tensors behind them."""
    x = {"name": "x", "shape": [2, 2], "datatype": "FP32"}
    text = {"name": "x", "shape": [1, 1], "datatype": "BYTES"}
    y = {"name": "y", "shape": [1], "datatype": "INT64", "data": [7]}
    flags = {"name": "x", "shape": [2, 1], "datatype": "BOOL"}
    return [
        ({"inputs": [{**x, "data": [1, 2, 3, 4]}], "id": "1"}, b""),
        ({"inputs": [{**x, "data": [[1, 2], [3, 4]]}], "outputs": [{"name": "x"}]}, b""),
        ({"inputs": [{**text, "data": ["a"]}, y]}, b""),
        ({"inputs": [{**flags, "data": [True, False]}]}, b""),
        ({"inputs": [{**x, "parameters": {"binary_data_size": 16}}],
          "parameters": {"binary_data_output": True}}, bytes(16)),
        ({"inputs": [{**text, "parameters": {"binary_data_size": 6}}, y],
          "outputs": [{"name": "x", "parameters": {"binary_data": True}}]},
         struct.pack("<I", 2) + b"ab"),
        ({"inputs": [{**flags, "parameters": {"binary_data_size": 2}}]}, b"\x00\x01"),
    ]  # fmt: skip


def oip_samples() -> list[bytes]:
    return [json.dumps(request).encode() for request, _ in _requests()]


def oip_binary_samples() -> list[bytes]:
    found = [b"\x00\x00" + bytes(16), b"\x00\x00a text"]
    for request, raw in _requests():
        head = json.dumps(request).encode()
        found.append(len(head).to_bytes(2, "little") + head + raw)
    return found


SAMPLES = {
    "json": json_samples,
    "cbor": cbor_samples,
    "octet-stream": octet_stream_samples,
    "image": image_samples,
    "oip": oip_samples,
    "oip-binary": oip_binary_samples,
}

WORDS = (
    b'"inputs"', b'"outputs"', b'"name"', b'"shape"', b'"datatype"', b'"data"', b'"parameters"',
    b'"binary_data_size"', b'"binary_data"', b'"binary_data_output"', b'"FP32"', b'"BYTES"',
    b'"BOOL"', b'"INT64"', b'"x"', b'"y"', b"1e999", b"NaN", b"\\ud800", b"null", b"true",
    b"\xd8\x28\x82", b"\xd9\x04\x10\x82", b"\xd8\x55\x44", b"\xd8\x56\x48", b"\xd8\x1c", b"\xc2",
    b"\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00", b"\x1b\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\xf9\x7e\x00", b"\xf7", b"tRNS", b"IDAT", b"IHDR", b"PLTE", b"eXIf",
)  # fmt: skip
"""What the formats are made of, for a fuzzer to put in."""
