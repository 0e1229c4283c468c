"""Structured, mutated and raw bytes through every reader: an answer each, in bounded memory."""

import json
import tracemalloc
from collections.abc import Callable
from functools import cache
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.samples import SAMPLES
from tests.fuzz.targets import TARGETS, Target

READERS = sorted(TARGETS)
MEMORY_PER_BYTE = 400
"""The smallest lists, once as values and once converted, for each of the bindings of a target."""
MEMORY_FIXED = 4 * 2**20

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(width=32)
    | st.text(max_size=5)
)
KEYS = st.sampled_from(["a", "b", "c", "d", "v", "w", "id", "time", "x", "c.d.0"])
ARRAYS = st.builds(
    lambda tag, raw, shape: (
        cbor2.CBORTag(40, [shape, cbor2.CBORTag(tag, raw)]) if shape else cbor2.CBORTag(tag, raw)
    ),
    st.integers(64, 87),
    st.binary(max_size=32),
    st.none() | st.lists(st.integers(0, 4), max_size=3),
)


def trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
        max_leaves=20,
    )


INPUTS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["x", "y", "z"]),
        "shape": st.lists(st.integers(-1, 4) | st.integers(), max_size=3),
        "datatype": st.sampled_from(["FP32", "BYTES", "BOOL", "INT64", "FP16", "nonsense"]),
    },
    optional={
        "data": trees(LEAVES),
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 40)}),
    },
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(INPUTS, max_size=3)},
    optional={
        "id": st.text(max_size=3),
        "outputs": st.lists(st.fixed_dictionaries({"name": st.sampled_from(["x", "y", "z"])})),
        "parameters": st.fixed_dictionaries({"binary_data_output": st.booleans() | st.none()}),
    },
)


@cache
def target_of(reader: str) -> Target:
    return TARGETS[reader]()


@st.composite
def mutated(draw: Callable[[st.SearchStrategy[Any]], Any], reader: str) -> bytes:
    """A valid payload with a few bytes changed, taken out or put in."""
    payload = bytearray(draw(st.sampled_from(SAMPLES[reader]())))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(payload)))
        gone = draw(st.integers(0, 4))
        payload[at : at + gone] = draw(st.binary(max_size=4))
    return bytes(payload)


@pytest.mark.parametrize("reader", READERS)
@given(st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutated_samples_get_an_answer(reader: str, data: st.DataObject) -> None:
    target_of(reader)(data.draw(mutated(reader)))


@pytest.mark.parametrize("reader", READERS)
@given(payload=st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_get_an_answer(reader: str, payload: bytes) -> None:
    target_of(reader)(payload)


@pytest.mark.parametrize("reader", READERS)
def test_samples_get_an_answer(reader: str) -> None:
    for sample in SAMPLES[reader]():
        target_of(reader)(sample)


@given(value=trees(LEAVES))
@settings(deadline=None)
def test_any_json_gets_an_answer(value: object) -> None:
    target_of("json")(json.dumps(value).encode())


@given(value=trees(LEAVES | st.binary(max_size=5) | ARRAYS))
@settings(deadline=None)
def test_any_cbor_gets_an_answer(value: object) -> None:
    target_of("cbor")(cbor2.dumps(value))


@given(request=REQUESTS, raw=st.binary(max_size=48), shift=st.integers(-1, 1))
@settings(deadline=None)
def test_any_request_with_raw_tensors_gets_an_answer(
    request: dict[str, Any], raw: bytes, shift: int
) -> None:
    head = json.dumps(request).encode()
    target_of("oip-binary")(max(0, len(head) + shift).to_bytes(2, "little") + head + raw)
    target_of("oip")(head)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    ("reader", "payload"),
    [
        ("json", b"[" + b"[]," * 20_000 + b"[]]"),
        ("json", b'{"v":[' + b"[1,1]," * 20_000 + b"[1,1]]}"),
        ("json", b"1" * 60_000),
        ("json", b'{"a":' + b"9" * 60_000 + b"}"),
        ("json", b'{"a":0.' + b"9" * 60_000 + b"}"),
        ("json", nested(30_000)),
        ("json", b'"' + b"\\ud800" * 10_000 + b'"'),
        ("cbor", b"\x99\xea\x60" + b"\x80" * 60_000),
        ("cbor", b"\xa1\x61v\x99\xea\x60" + b"\x81\x01" * 30_000),
        ("cbor", b"\x9b" + b"\x00\x00\x00\x01" * 2 + b"\x00" * 1000),
        ("cbor", b"\xa1\x61v\xd8\x55\x59\xea\x60" + b"\x00" * 60_000),
        ("cbor", b"\xd8\x28\x82\x98\x20" + b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff" * 32 + b"\x80"),
        ("oip", b'{"inputs":[' + b'{"name":"x","shape":[],"datatype":""},' * 1500 + b"0]}"),
        ("oip", b'{"inputs":[{"name":"x","shape":[' + b"9," * 30_000 + b'9],"datatype":"FP32"}]}'),
        ("oip", b'{"inputs":[{"name":"' + b"x" * 60_000 + b'","shape":[],"datatype":""}]}'),
        ("oip", b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"' + b"F" * 60_000 + b'"}]}'),
        ("oip-binary", b"\x00\x00" + b"\x00" * 60_000),
        ("octet-stream", b"\x01" * 60_000),
    ],
)  # fmt: skip
def test_hostile_payloads_cost_memory_in_proportion_to_their_length(
    reader: str, payload: bytes
) -> None:
    target = target_of(reader)
    target(b"")  # what is made once is not counted
    tracemalloc.start()
    try:
        target(payload)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_FIXED + MEMORY_PER_BYTE * len(payload)
