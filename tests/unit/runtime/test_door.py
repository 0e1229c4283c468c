"""A worker's door, asked over its socket."""

import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.runtime.door import MAX_PEERS, Answer
from edge_agent.runtime.door_wire import (
    DoorAsk,
    DoorHello,
    DoorReply,
    FrameReader,
    frame_start,
    hello_decoder,
    reply_decoder,
)
from edge_agent.runtime.socket_path import short_address
from tests.support.http_front import ScriptedWorker

Start = Callable[..., ScriptedWorker]
Connect = Callable[..., "Peer"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[ScriptedWorker] = []

    def begin(**options: object) -> ScriptedWorker:
        worker = ScriptedWorker(tmp_path, "s", **options).start()  # type: ignore[arg-type]
        started.append(worker)
        return worker

    yield begin
    for worker in started:
        if worker.door._listener is not None:
            worker.leave()


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    made: list[Peer] = []

    def begin(folder: Path = tmp_path) -> Peer:
        made.append(Peer(folder))
        return made[-1]

    yield begin
    for peer in made:
        peer.socket.close()


class Peer:
    def __init__(self, folder: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(30)
        with short_address(str(folder / "s.door")) as address:
            self.socket.connect(address)
        self._reader = FrameReader()

    def hello(self) -> DoorHello:
        return self._read(hello_decoder)[0]

    def send(self, body: bytes) -> None:
        self.socket.sendall(frame_start(DoorAsk(name="s"), len(body)) + body)

    def reply(self) -> Answer:
        return self._read(reply_decoder)

    def _read(self, decoder: Any) -> Any:
        while (found := self._reader.next(decoder)) is None:
            data = self.socket.recv(self._reader.missing)
            assert data, "the door was closed"
            self._reader.feed(data)
        return found


def test_only_the_owner_may_enter(start: Start, tmp_path: Path) -> None:
    start()
    assert stat.S_IMODE((tmp_path / "s.door").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["s.door"]


def test_it_says_who_answers_and_then_answers_in_order(start: Start, connect: Connect) -> None:
    start(version=7)
    peer = connect()
    assert peer.hello().version == 7
    for number in range(20):
        peer.send(b"%d" % number)
    assert [peer.reply()[1] for _ in range(20)] == [b"%d" % number for number in range(20)]


def test_an_answer_larger_than_the_sockets_buffer_arrives_whole(
    start: Start, connect: Connect
) -> None:
    body = bytes(range(256)) * 20_000
    start(answer=lambda ask, question: (DoorReply(outcome="ok"), body + question))
    peer = connect()
    peer.hello()
    peer.send(b"1")
    peer.send(b"2")
    assert peer.reply()[1] == body + b"1"
    assert peer.reply()[1] == body + b"2"


def test_a_peer_that_breaks_the_protocol_costs_the_others_nothing(
    start: Start, connect: Connect
) -> None:
    start(max_bytes=100)
    good, bad = connect(), connect()
    for peer in (good, bad):
        peer.hello()
    bad.send(b" " * 101)
    with pytest.raises((AssertionError, ConnectionResetError)):
        bad.reply()
    good.send(b"x")
    assert good.reply()[1] == b"x"


def test_peers_are_few(start: Start, connect: Connect) -> None:
    start()
    peers = [connect() for _ in range(MAX_PEERS)]
    for peer in peers:
        peer.hello()
    with pytest.raises(AssertionError, match="closed"):
        connect().hello()
    peers[0].send(b"x")
    assert peers[0].reply()[1] == b"x"


def test_who_leaves_answers_what_it_began_and_says_so(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(ask: DoorAsk, body: bytes) -> Answer:
        began.set()
        go_on.wait(30)
        return DoorReply(outcome="ok"), body

    worker = start(answer=slow)
    peer = connect()
    peer.hello()
    peer.send(b"first")
    assert began.wait(30)
    peer.send(b"second")
    leaving = threading.Thread(target=worker.leave)
    worker.loop.call_soon(worker.door.close)
    go_on.set()
    assert peer.reply()[1] == b"first"
    while (answer := peer.reply())[0].outcome == "ok":
        assert answer[1] == b"second"
    assert answer[0].outcome == "leaving"
    peer.socket.close()
    leaving.start()
    leaving.join(30)
    assert not (tmp_path / "s.door").exists()


def test_a_successor_takes_the_name_and_its_predecessor_leaves_it_to_it(
    start: Start, connect: Connect
) -> None:
    first = start(version=1)
    start(version=2)
    first.leave()
    assert connect().hello().version == 2


def test_what_a_crash_left_behind_is_replaced(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    start(version=1).die()
    assert (tmp_path / "s.door").exists()
    start(version=2)
    assert connect().hello().version == 2


def test_a_path_longer_than_the_kernel_takes_is_no_hindrance(
    connect: Connect, tmp_path: Path
) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    worker = ScriptedWorker(folder, "s").start()
    assert connect(folder).hello().module == "forest"
    worker.leave()


def test_without_a_folder_the_worker_goes_on_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worker = ScriptedWorker(tmp_path / "none", "s").start()
    assert "door_failed" in caplog.text
    worker.leave()
