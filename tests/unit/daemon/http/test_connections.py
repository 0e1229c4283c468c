"""What the server takes from the wire, and what it does not."""

import contextlib
import gzip
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.daemon.http.limits import MAX_AHEAD, MAX_HEAD_BYTES, MAX_HEADERS, Limits
from edge_agent.runtime.door import Answer
from edge_agent.runtime.door_wire import DoorAsk, DoorReply
from tests.support.http_front import HttpFront, echo
from tests.support.waiting import wait_for

INFER = "/v2/models/shuttle/infer"
SMALL = Limits(max_body_bytes=100_000, max_held_bytes=150_000)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpFront]:
    with HttpFront(tmp_path_factory.mktemp("http"), SMALL) as running:
        running.add()
        yield running


def exchange(front: HttpFront, data: bytes) -> bytes:
    """Everything that the server says until it closes."""
    with front.socket() as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR) if data.endswith(b"EOF") else None
        return receive_all(client)


def await_connections(front: HttpFront, count: int) -> None:
    """Wait until there are so many, the one that asks included."""
    counted = f"shoal_http_connections {count}.0\n"
    wait_for(lambda: counted in front.ask("GET", "/metrics")[2].decode(), 30)


def await_refused(front: HttpFront, status: int) -> None:
    """Wait until a request that was refused unread is counted."""
    counted = f'shoal_http_requests_total{{asks="unread",status="{status}"}}'

    def is_counted() -> bool:
        try:
            return counted in front.ask("GET", "/metrics")[2].decode()
        except (OSError, http.client.HTTPException):  # a slow machine is cut off, too
            return False

    wait_for(is_counted, 30)


def receive_all(client: socket.socket) -> bytes:
    found = b""
    while chunk := client.recv(65_536):
        found += chunk
    return found


def test_a_connection_is_kept_for_the_next_request(front: HttpFront) -> None:
    client = front.connect()
    for number in range(3):
        client.request("POST", INFER, json.dumps({"n": number}))
        answer = client.getresponse()
        assert json.loads(answer.read()) == {"n": number}
        assert not answer.will_close
    client.close()


def test_a_connection_is_closed_when_the_client_wants_that(front: HttpFront) -> None:
    said = exchange(front, b"GET /v2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in said
    assert exchange(front, b"GET /v2 HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")


def test_head_gets_the_head_alone(front: HttpFront) -> None:
    status, headers, body = front.ask("HEAD", "/v2")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0


def test_requests_sent_ahead_are_answered_in_order(front: HttpFront) -> None:
    one = b"POST " + INFER.encode() + b" HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n"
    ahead = b"".join(one + b"\r\n[%d]" % number for number in range(5))
    said = exchange(front, ahead + one + b"connection: close\r\n\r\n[9]")
    assert [said.count(b"[%d]" % number) for number in (0, 1, 2, 3, 4, 9)] == [1] * 6
    assert said.index(b"[0]") < said.index(b"[4]") < said.index(b"[9]")


def test_a_client_that_says_it_sends_no_more_still_gets_its_answers(front: HttpFront) -> None:
    one = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n".encode()
    with front.socket() as client:
        client.sendall(one + b"[1]" + one + b"[2]")
        client.shutdown(socket.SHUT_WR)
        said = receive_all(client)
    assert said.count(b"200 OK") == 2
    assert said.endswith(b"[2]")


def test_what_is_sent_while_another_is_answered_waits_for_its_turn(tmp_path: Path) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(ask: DoorAsk, body: bytes) -> Answer:
        began.set()
        go_on.wait(30)
        return echo(ask, body)

    one = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n".encode()
    with HttpFront(tmp_path) as front, front.socket() as client:
        front.add(answer=slow)
        client.sendall(one + b"[1]")
        assert began.wait(30)
        client.sendall(one + b"[2]" + one[:20])
        client.sendall(one[20:] + b"[3]")
        client.shutdown(socket.SHUT_WR)
        go_on.set()
        said = receive_all(client)
    assert [said.index(b"[%d]" % number) for number in (1, 2, 3)] == sorted(
        said.index(b"[%d]" % number) for number in (1, 2, 3)
    )
    assert said.count(b"200 OK") == 3


def test_too_many_requests_sent_ahead_are_refused(front: HttpFront) -> None:
    said = exchange(front, b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n" * (MAX_AHEAD + 5))
    assert b"HTTP/1.1 400" in said


def test_a_body_may_come_in_chunks(front: HttpFront) -> None:
    status, _, body = front.ask("POST", INFER, iter([b'{"a"', b": 1}"]))
    assert (status, body) == (200, b'{"a": 1}')


def test_a_body_may_be_packed(front: HttpFront) -> None:
    packed = gzip.compress(b'{"a": 1}')
    status, _, body = front.ask("POST", INFER, packed, {"content-encoding": "gzip"})
    assert (status, body) == (200, b'{"a": 1}')
    status, answer = front.post(INFER, b"{}", content_encoding="br")
    assert status == 415
    assert "gzip, deflate" in answer["error"]


def test_a_client_that_waits_for_leave_to_send_gets_it(front: HttpFront) -> None:
    with front.socket() as client:
        head = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n"
        client.sendall(f"{head}expect: 100-continue\r\nconnection: close\r\n\r\n".encode())
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}")
        assert receive_all(client).endswith(b"{}")


def test_a_body_that_is_too_long_is_refused_before_it_is_sent(front: HttpFront) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 100001\r\n"
    said = exchange(front, f"{head}expect: 100-continue\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 413")
    assert b"100 Continue" not in said
    assert b"at most 100000 bytes" in said


def test_a_client_that_sends_a_body_that_is_too_long_still_gets_its_answer(
    front: HttpFront,
) -> None:
    status, answer = front.post(INFER, b" " * 2_000_000)
    assert status == 413
    assert "http.max_body_mb" in answer["error"]
    await_refused(front, 413)


def test_chunks_that_are_too_much_together_are_refused(front: HttpFront) -> None:
    with front.socket() as client:
        client.sendall(
            f"POST {INFER} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        )
        client.sendall(b"8000\r\n" + b" " * 0x8000 + b"\r\n" + b"ffff\r\n" + b" " * 0xFFFF)
        client.sendall(b"\r\n" + b"ffff\r\n" + b" " * 0xFFFF)
        assert receive_all(client).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"hello there\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
        (b"GET /v2 HTTP/1.1\r\nhost: x\r\na: " + b"b" * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * (MAX_HEAD_BYTES + 1) + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET /v2 HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_HEADERS + 1) + b"\r\n", 431),
        (b"POST /v2 HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST /v2 HTTP/1.1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST /v2 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(
    front: HttpFront, request_: bytes, status: int
) -> None:
    said = exchange(front, request_)
    assert said.startswith(b"HTTP/1.1 %d " % status), said
    assert b"connection: close" in said
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]
    await_refused(front, status)
    assert front.get("/v2/health/live") == (200, {"live": True})


@settings(max_examples=150, deadline=None)
@given(
    start=st.sampled_from(
        [b"", b"GET /v2 HTTP/1.1\r\n", b"POST " + INFER.encode() + b" HTTP/1.1\r\nhost: x\r\n"]
    ),
    data=st.binary(max_size=300)
    | st.lists(
        st.sampled_from(
            [b"\r\n", b"\r\n\r\n", b":", b"content-length: ", b"transfer-encoding: chunked", b"5",
             b"expect: 100-continue", b"GET / HTTP/1.1", b"\0", b"\xff", b"content-encoding: gzip"]
        ),
        max_size=20,
    ).map(b"".join),
)  # fmt: skip
def test_whatever_is_sent_the_server_answers_the_next_client(
    front: HttpFront, start: bytes, data: bytes
) -> None:
    # It may hang up before all is sent.
    with contextlib.suppress(ConnectionError), front.socket() as client:
        client.sendall(start + data)
        client.shutdown(socket.SHUT_WR)
        said = receive_all(client)
        assert said == b"" or said.startswith(b"HTTP/1.1 ")
    wait_for(lambda: _is_served(front), 30)


def test_an_offer_to_upgrade_is_not_taken(front: HttpFront) -> None:
    said = exchange(
        front,
        b"GET /v2 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    )
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")


def test_one_connection_too_many_is_told_so(tmp_path: Path) -> None:
    with HttpFront(tmp_path, Limits(max_connections=3)) as front:
        kept = [front.connect() for _ in range(3)]
        for client in kept:
            client.request("GET", "/v2")
            assert client.getresponse().read()
        said = exchange(front, b"")
        assert said.startswith(b"HTTP/1.1 503")
        assert b"at most 3 connections" in said
        for client in kept:
            client.close()
        wait_for(lambda: _is_served(front), 30)
        await_refused(front, 503)


def _is_served(front: HttpFront) -> bool:
    try:
        return front.get("/v2")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_bodies_that_are_held_together_are_bounded(tmp_path: Path) -> None:
    release = threading.Event()

    def slow(ask: DoorAsk, body: bytes) -> Answer:
        release.wait(30)
        return echo(ask, b"{}")

    with HttpFront(tmp_path, SMALL) as front:
        front.add(answer=slow)
        first = front.connect()
        first.request("POST", INFER, b" " * 90_000)
        status, answer = 200, {}
        try:

            def is_refused() -> bool:
                nonlocal status, answer
                status, answer = front.post("/v2/models/nope/infer", b" " * 90_000)
                return status == 503

            wait_for(is_refused, 30)
        finally:
            release.set()
        assert "hold" in answer["error"]
        assert first.getresponse().status == 200
        first.close()
        wait_for(lambda: front.post("/v2/models/nope/infer", b" " * 90_000)[0] == 404, 30)


@pytest.mark.parametrize("sent", [b"POST /v2", b"POST /v2 HTTP/1.1\r\ncontent-length: 9\r\n\r\n1"])
def test_a_client_that_sends_slowly_is_cut_off(tmp_path: Path, sent: bytes) -> None:
    limits = Limits(timeout_s=0.1)
    with HttpFront(tmp_path, limits) as front:
        assert exchange(front, sent).startswith(b"HTTP/1.1 408")
        await_refused(front, 408)


def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    def long(ask: DoorAsk, body: bytes) -> Answer:
        return DoorReply(outcome="ok"), b" " * 16_000_000

    with HttpFront(tmp_path, Limits(timeout_s=3)) as front:
        front.add(answer=long)
        with front.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(
                f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}".encode()
            )
            await_connections(front, 1)
