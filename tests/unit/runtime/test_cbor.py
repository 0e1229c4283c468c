"""CBOR: values, typed arrays, and what is refused before it costs anything."""

import struct
import tracemalloc

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import MessageError
from edge_agent.runtime.codecs.cbor import CborCodec
from edge_agent.runtime.codecs.cbor_items import MAX_ITEMS
from edge_agent.runtime.codecs.typed_array import READERS, tagged

CODEC = CborCodec(16 * 2**20)
HUGE = struct.pack(">Q", 2**60)


def fault(payload: bytes, codec: CborCodec = CODEC) -> MessageError:
    with pytest.raises(MessageError) as caught:
        codec.decode(payload)
    return caught.value


def decoded(value: object) -> object:
    return CODEC.decode(cbor2.dumps(value))


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**64), 2**64 - 1)
        | st.text()
        | st.binary()
        | st.floats(allow_nan=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.binary(), inner),
    )
)
def test_plain_values_are_read_as_they_were_written(value: object) -> None:
    assert decoded(value) == value


@pytest.mark.parametrize(
    ("tag", "dtype"),
    [
        (64, "|u1"), (65, ">u2"), (66, ">u4"), (67, ">u8"), (68, "|u1"), (69, "<u2"), (70, "<u4"),
        (71, "<u8"), (72, "|i1"), (73, ">i2"), (74, ">i4"), (75, ">i8"), (77, "<i2"), (78, "<i4"),
        (79, "<i8"), (80, ">f2"), (81, ">f4"), (82, ">f8"), (84, "<f2"), (85, "<f4"), (86, "<f8"),
    ],
)  # fmt: skip
def test_typed_arrays_of_every_type_and_byte_order(tag: int, dtype: str) -> None:
    values = [0, 1, 2, 100]
    found = decoded(cbor2.CBORTag(tag, np.array(values, dtype).tobytes()))
    assert isinstance(found, np.ndarray)
    assert found.tolist() == values
    assert found.dtype == np.dtype(dtype).newbyteorder("=")


def test_typed_array_of_the_machines_byte_order_is_not_copied() -> None:
    found = decoded(cbor2.CBORTag(85, np.arange(4, dtype="<f4").tobytes()))
    assert isinstance(found, np.ndarray)
    assert not found.flags.owndata


def test_dimensions_are_row_by_row_or_column_by_column() -> None:
    flat = cbor2.CBORTag(69, np.arange(6, dtype="<u2").tobytes())
    rows, columns = (
        decoded(cbor2.CBORTag(40, [[2, 3], flat])),
        decoded(cbor2.CBORTag(1040, [[2, 3], flat])),
    )
    assert isinstance(rows, np.ndarray)
    assert isinstance(columns, np.ndarray)
    assert rows.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert columns.tolist() == [[0, 2, 4], [1, 3, 5]]


def test_dimensions_may_stand_around_a_plain_list() -> None:
    found = decoded(cbor2.CBORTag(40, [[2, 2], [1, 2.5, 3, 4]]))
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [[1, 2.5], [3, 4]]


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "float64", "bool"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2), (2, 1, 2)])
def test_arrays_of_answers_are_read_back(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.ones(shape, dtype)
    found = decoded(tagged(array))
    back = found if isinstance(found, np.ndarray) else np.array(found)
    assert back.tolist() == array.tolist()


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "not_cbor"),
        (b"\x01\x02", "not_cbor"),  # something behind the end
        (b"\x1c", "not_cbor"),
        (b"\xff", "not_cbor"),
        (b"\x61\xff", "not_cbor"),  # no UTF-8
        (b"\x9f\x01\xff", "not_cbor"),  # no length
        (b"\x5f\x41\x00\xff", "not_cbor"),
        (b"\xa2\x61a\x01\x61a\x02", "not_cbor"),  # a key twice
        (b"\xa1\x01\x02", "not_cbor"),  # a key that is no text
        (b"\x9b" + HUGE, "not_cbor"),
        (b"\xbb" + HUGE, "not_cbor"),
        (b"\x5b" + HUGE, "not_cbor"),
        (b"\x7b" + HUGE, "not_cbor"),
        (b"\xd8\x55\x5b" + HUGE, "not_cbor"),
        (b"\x81" * 100_000, "too_deep"),
        (b"\xc6" * 1000 + b"\x00", "too_deep"),
        (b"\xd8\x1c\x81\xd8\x1d\x00", "wrong_type"),  # shared references
        (b"\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01", "wrong_type"),  # 10 ** (2 ** 63)
        (b"\xc2\x49" + b"\x01" * 9, "wrong_type"),  # a number of 72 bits
        (b"\xd8\x23\x61(", "wrong_type"),  # a regular expression
        (b"\xda\x00\x01\x00\x00\x00", "wrong_type"),
        (b"\xd8\x55\x43\x00\x00\x00", "wrong_shape"),  # three bytes of float32
        (b"\xd8\x55\x61a", "wrong_shape"),
        (b"\xd8\x28\x82\x81\x02\xd8\x40\x41\x00", "wrong_shape"),
        (b"\xd8\x28\x82\x82\x1b" + HUGE + b"\x1b" + HUGE + b"\xd8\x40\x41\x00", "wrong_shape"),
        (b"\xd8\x28\x00", "wrong_shape"),
        (b"\xd8\x28\x82\x81\x20\xd8\x40\x40", "wrong_shape"),  # -1 elements
        (b"\xd8\x28\x82\x81\x01\x81\x1b\xff\xff\xff\xff\xff\xff\xff\xff", "wrong_shape"),
    ],
)  # fmt: skip
def test_what_is_refused_and_why(payload: bytes, code: str) -> None:
    assert fault(payload).code == code


def test_every_tag_without_a_meaning_for_tensors_is_refused() -> None:
    known = {*READERS, 55799}
    for tag in range(66_000):
        if tag not in known:
            head = (
                bytes([0xC0 + tag]) if tag < 24
                else struct.pack(">BB", 0xD8, tag) if tag < 256
                else struct.pack(">BH", 0xD9, tag) if tag < 65_536
                else struct.pack(">BI", 0xDA, tag)
            )  # fmt: skip
            assert fault(head + b"\x82\x01\x01").code == "wrong_type", tag


def test_payload_may_say_that_it_is_cbor() -> None:
    assert CODEC.decode(b"\xd9\xd9\xf7\x81\x05") == [5]


def test_lists_of_very_many_values_are_refused_before_one_is_made() -> None:
    count = MAX_ITEMS + 1
    payload = b"\x9a" + struct.pack(">I", count) + b"\x80" * count
    tracemalloc.start()
    try:
        assert fault(payload).code == "too_many_items"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_long_typed_array_is_one_item() -> None:
    found = decoded(cbor2.CBORTag(85, bytes(4 * MAX_ITEMS * 2)))
    assert isinstance(found, np.ndarray)
    assert len(found) == MAX_ITEMS * 2


def test_many_values_within_the_bound_are_read() -> None:
    values = [7] * (MAX_ITEMS // 2)
    assert decoded(values) == values


def test_size_is_bounded() -> None:
    assert fault(b"\x80" * 5, CborCodec(4)).code == "too_large"
