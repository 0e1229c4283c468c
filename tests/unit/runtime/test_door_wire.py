import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import ContractError
from edge_agent.runtime.door_wire import (
    MAX_HEAD_BYTES,
    DoorAsk,
    FrameReader,
    ask_decoder,
    frame_start,
    reply_decoder,
)

ASK = DoorAsk(name="forest", json_bytes=7, expires_s=12.5)


@given(bodies=st.lists(st.binary(max_size=200), max_size=5), size=st.integers(1, 60))
def test_frames_are_cut_however_they_arrive(bodies: list[bytes], size: int) -> None:
    stream = b"".join(frame_start(ASK, len(body)) + body for body in bodies)
    reader = FrameReader()
    found = []
    for at in range(0, len(stream), size):
        reader.feed(stream[at : at + size])
        while (frame := reader.next(ask_decoder)) is not None:
            found.append(frame)
    assert found == [(ASK, body) for body in bodies]


@given(bodies=st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_reading_what_is_missing_never_takes_from_the_next_frame(bodies: list[bytes]) -> None:
    stream = b"".join(frame_start(ASK, len(body)) + body for body in bodies)
    reader = FrameReader()
    for body in bodies:
        while (frame := reader.next(ask_decoder)) is None:
            missing = reader.missing
            assert missing > 0
            reader.feed(stream[:missing])
            stream = stream[missing:]
        assert frame == (ASK, body)
    assert stream == b""


def test_a_frame_that_is_too_long_is_refused_by_its_first_bytes() -> None:
    reader = FrameReader(10)
    reader.feed(frame_start(ASK, 11)[:8])
    with pytest.raises(ContractError, match=r"at most \d+ \+ 10 bytes"):
        reader.next(ask_decoder)
    reader = FrameReader()
    reader.feed((MAX_HEAD_BYTES + 1).to_bytes(4, "little") + bytes(4))
    with pytest.raises(ContractError):
        reader.next(ask_decoder)


@given(data=st.binary(max_size=300))
def test_any_bytes_are_frames_or_an_error_of_the_contract(data: bytes) -> None:
    reader = FrameReader(1000)
    reader.feed(data)
    try:
        while reader.next(reply_decoder) is not None:
            pass
    except ContractError:
        pass
