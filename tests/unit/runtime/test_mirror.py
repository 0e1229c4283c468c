"""The live worker's side of a shadow: never blocked, never broken, and every message counted."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_agent.errors import ContractError
from edge_agent.runtime.mirror import Mirror
from edge_agent.runtime.mirrored import Mirrored, MirrorPacket, arrays_of, decode_packet
from tests.support.waiting import wait_for

RUN = [np.array([0.25, 0.75], dtype="float32"), np.array(["a"], dtype=object)]


class Ear:
    """The other end, without a shadow behind it."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def hear(self) -> tuple[list[MirrorPacket], list[Mirrored]]:
        packets, messages = [], []
        while True:
            try:
                data = self.socket.recv(1 << 22)
            except BlockingIOError:
                return packets, messages
            packet, found = decode_packet(data)
            packets.append(packet)
            messages.extend(found)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.sock"


@pytest.fixture
def ear(path: Path) -> Iterator[Ear]:
    heard = Ear(path)
    yield heard
    heard.socket.close()


@pytest.fixture
def mirror(path: Path) -> Iterator[Mirror]:
    made = Mirror(version=3, digest="sha256:x")
    made.names = ("score", "label")
    made.aim(str(path))
    yield made
    made.close()


def note(mirror: Mirror, payload: bytes = b"{}", runs=(RUN,)) -> None:
    mirror.note("t", payload, "application/json", 12.5, runs=runs)


def test_a_message_and_its_answer_arrive_as_they_were(mirror: Mirror, ear: Ear):
    mirror.note("a/b", b"\x00\xff", "x/y", 12.5, runs=[RUN, RUN])
    mirror.note("a/c", b"bad", "", 13.5, code="payload_invalid")
    mirror.note("a/d", b"row", "", 14.5)
    mirror.send()
    packets, messages = ear.hear()
    assert len(packets) == 1
    assert (packets[0].version, packets[0].digest) == (3, "sha256:x")
    assert packets[0].names == ("score", "label")
    first, second, third = messages
    assert (first.topic, first.payload, first.content_type) == ("a/b", b"\x00\xff", "x/y")
    assert first.received_s == 12.5
    arrays = arrays_of(first)
    assert arrays is not None
    assert len(arrays) == 2
    for expected, found in zip(RUN, arrays[1], strict=True):
        assert expected.dtype == found.dtype
        assert np.array_equal(expected, found)
    assert (second.code, second.runs) == ("payload_invalid", None)
    assert (third.code, third.runs) == ("", None)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (3, 1)])
@pytest.mark.parametrize("dtype", ["float16", "float64", "uint8", "bool", "object"])
def test_arrays_of_every_type_and_shape_arrive(mirror: Mirror, ear: Ear, shape, dtype: str):
    value = np.full(shape, "x" if dtype == "object" else 1, dtype=dtype)
    note(mirror, runs=[[value]])
    mirror.send()
    (message,) = ear.hear()[1]
    (found,) = arrays_of(message)[0]
    assert found.dtype == value.dtype
    assert found.shape == value.shape
    assert np.array_equal(found, value)


def test_messages_of_a_batch_share_datagrams(mirror: Mirror, ear: Ear):
    for _ in range(200):
        note(mirror)
    mirror.send()
    packets, messages = ear.hear()
    assert len(messages) == 200
    assert len(packets) < 5


def test_a_full_socket_never_blocks_and_what_is_left_out_is_counted(mirror: Mirror, ear: Ear):
    for _ in range(2000):
        note(mirror, payload=b"x" * 1000)
        mirror.send()
    packets, messages = ear.hear()
    assert len(messages) < 2000

    def is_all_heard() -> bool:
        mirror.catch_up()
        more, others = ear.hear()
        packets.extend(more)
        messages.extend(others)
        return len(messages) + packets[-1].shed.get("full", 0) == 2000

    wait_for(is_all_heard, timeout_s=30)
    assert packets[-1].shed["full"] > 0
    assert list(packets[-1].shed) == ["full"]


def test_what_the_slot_did_not_run_is_counted_and_leaves_no_gap(mirror: Mirror, ear: Ear):
    note(mirror)
    mirror.send()
    mirror.miss("overload")
    mirror.miss("poison")
    mirror.catch_up()
    note(mirror)
    mirror.send()
    packets, messages = ear.hear()
    assert len(messages) == 2
    assert packets[-1].shed == {"overload": 1, "poison": 1}
    assert [packet.first for packet in packets if packet.messages] == [0, 1]


def test_a_short_burst_waits_for_room_and_arrives_in_order(mirror: Mirror, ear: Ear):
    for number in range(100):
        note(mirror, payload=b"%d" % number)
        mirror.send()
    messages = ear.hear()[1]

    def are_all_there() -> bool:
        mirror.catch_up()
        messages.extend(ear.hear()[1])
        return len(messages) == 100

    wait_for(are_all_there, timeout_s=30)
    assert [message.payload for message in messages] == [b"%d" % n for n in range(100)]


def test_counts_are_told_once_and_again_only_with_news(mirror: Mirror, ear: Ear):
    note(mirror)
    mirror.send()
    ear.hear()
    mirror.catch_up()
    assert ear.hear()[0] == []


def test_a_message_that_is_larger_than_a_datagram_is_left_out_alone(mirror: Mirror, ear: Ear):
    note(mirror, payload=b"x" * (32 << 20))
    note(mirror)
    mirror.send()
    packets, messages = ear.hear()
    assert len(messages) == 1
    assert packets[0].shed == {"too_large": 1}


def test_messages_that_only_filled_a_window_are_a_gap_and_not_counted(mirror: Mirror, ear: Ear):
    note(mirror, payload=b"x" * (32 << 20), runs=None)
    note(mirror)
    mirror.send()
    (packet,), _ = ear.hear()
    assert packet.shed == {}
    assert packet.first == 1


def test_nobody_there_costs_nothing_and_is_found_when_it_comes(mirror: Mirror, path: Path):
    note(mirror)
    mirror.send()
    late = Ear(path)

    def is_heard() -> bool:
        note(mirror)
        mirror.send()
        return bool(late.hear()[1])

    wait_for(is_heard, timeout_s=30)
    late.socket.close()


def test_a_shadow_that_dies_and_comes_back_is_a_new_connection(mirror: Mirror, path: Path):
    first = Ear(path)
    note(mirror)
    mirror.send()
    speaker = first.hear()[0][0].speaker
    first.socket.close()
    note(mirror)
    mirror.send()  # refused: it ends quietly
    second = Ear(path)
    found: list[MirrorPacket] = []

    def is_heard() -> bool:
        note(mirror)
        mirror.send()
        found.extend(second.hear()[0])
        return bool(found)

    wait_for(is_heard, timeout_s=30)
    assert found[0].speaker != speaker
    assert found[0].shed == {}
    second.socket.close()


def test_without_room_messages_are_counted_without_being_looked_at(mirror: Mirror, ear: Ear):
    while mirror.has_room:
        note(mirror, payload=b"x" * 1000)
        mirror.send()
    mirror.skip(is_answered=True)
    mirror.skip(is_answered=False)
    packets, messages = ear.hear()

    def is_told() -> bool:
        mirror.catch_up()
        packets.extend(ear.hear()[0])
        return packets[-1].shed == {"full": 1}

    wait_for(is_told, timeout_s=30)
    assert mirror.has_room
    assert messages


def test_without_a_shadow_nothing_is_sent(mirror: Mirror, ear: Ear):
    mirror.aim("")
    assert not mirror.is_on
    note(mirror)
    mirror.send()
    mirror.catch_up()
    assert ear.hear() == ([], [])


def test_a_shadow_in_a_folder_with_a_long_name_is_found(tmp_path: Path):
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    handle = os.open(folder, os.O_PATH)
    ear = Ear(Path(f"/proc/self/fd/{handle}/m.sock"))
    os.close(handle)
    mirror = Mirror(version=1, digest="d")
    mirror.aim(str(folder / "m.sock"))
    note(mirror)
    mirror.send()
    assert len(ear.hear()[1]) == 1
    mirror.close()
    ear.socket.close()


@pytest.mark.parametrize("datagram", [b"", b"\xc1", b"\x90", b"x" * 100])
def test_a_datagram_of_somebody_else_is_refused(datagram: bytes):
    with pytest.raises(ContractError) as caught:
        decode_packet(datagram)
    assert caught.value.code == "mirror_invalid"
