"""Workers that come and go behind the server."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.daemon.http.limits import Limits
from edge_agent.runtime.door import Answer
from edge_agent.runtime.door_wire import DoorAsk
from edge_agent.runtime.socket_path import short_address
from tests.support.http_front import HttpFront, echo, slot_status
from tests.support.waiting import wait_for

INFER = "/v2/models/shuttle/infer"


@pytest.fixture
def front(tmp_path: Path) -> Iterator[HttpFront]:
    with HttpFront(tmp_path) as running:
        yield running


class Clients:
    """Several at once; what each was told."""

    def __init__(self, front: HttpFront, count: int) -> None:
        self.told: list[tuple[int, Any]] = []
        self._threads = [
            threading.Thread(target=lambda n=n: self.told.append(front.post(INFER, b"%d" % n)))
            for n in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def wait(self) -> list[tuple[int, Any]]:
        for thread in self._threads:
            thread.join(30)
        return self.told


def test_a_version_that_takes_over_answers_what_its_predecessor_left(front: HttpFront) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(ask: DoorAsk, body: bytes) -> Answer:
        began.set()
        go_on.wait(30)
        return echo(ask, body)

    first = front.add(answer=slow)
    clients = Clients(front, 5)
    assert began.wait(30)
    leaving = threading.Thread(target=first.leave)
    first.loop.call_soon(first.door.close)
    go_on.set()
    leaving.start()
    leaving.join(30)
    front.add(version=2)
    told = clients.wait()
    assert sorted(told) == [(200, number) for number in range(5)]
    assert front.get("/v2/models/shuttle")[1]["versions"] == ["2"]


def test_a_crash_costs_the_request_it_happened_in_and_no_other(front: HttpFront) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(ask: DoorAsk, body: bytes) -> Answer:
        began.set()
        go_on.wait(30)
        first.hang_up()
        return echo(ask, body)

    first = front.add(answer=slow)
    clients = Clients(front, 4)
    assert began.wait(30)
    # The others wait in its socket by then, or come later and find its successor.
    go_on.set()
    wait_for(lambda: not first.door._peers, 30)
    first.leave()
    front.add(version=2)
    told = clients.wait()
    assert sorted(status for status, _ in told) == [200, 200, 200, 503]
    (crashed,) = [answer for status, answer in told if status == 503]
    assert crashed["code"] == "worker_ended"


def test_a_request_waits_for_a_worker_that_is_about_to_listen(front: HttpFront) -> None:
    front.slots["shuttle"] = slot_status(is_busy=True, has_worker=False)
    clients = Clients(front, 1)
    wait_for(lambda: front.get("/v2/health/ready")[0] == 503, 30)
    front.add()
    assert clients.wait() == [(200, 0)]


def test_a_worker_that_never_listens_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with HttpFront(tmp_path, Limits(timeout_s=1)) as front:
        front.add(has_worker=False)
        status, answer = front.post(INFER)
    assert status == 503
    assert answer["code"] == "not_ready"


def test_a_socket_that_a_crash_left_behind_is_no_worker(front: HttpFront) -> None:
    front.add().die()
    front.slots["shuttle"] = slot_status(state="crashed", error="crashed: by SIGSEGV")
    status, answer = front.post(INFER)
    assert status == 503
    assert "SIGSEGV" in answer["error"]


def test_a_peer_that_is_no_worker_does_no_harm(tmp_path: Path) -> None:
    with (
        HttpFront(tmp_path, Limits(timeout_s=1)) as front,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
    ):
        front.slots["shuttle"] = slot_status()
        with short_address(str(front.run_folder / "shuttle.door")) as address:
            listener.bind(address)
        listener.listen()

        def babble() -> None:
            with contextlib.suppress(OSError):  # the test is over
                while True:
                    peer, _ = listener.accept()
                    with peer:
                        peer.sendall(b"hello, I am no worker")

        threading.Thread(target=babble, daemon=True).start()
        assert front.post(INFER)[0] == 503
        assert front.get("/v2/health/live")[0] == 200
        listener.shutdown(socket.SHUT_RDWR)
