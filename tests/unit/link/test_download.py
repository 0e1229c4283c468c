"""Downloads from a server that does everything a server should not."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.contract.names import digest_of
from edge_agent.errors import IntegrityError, ShoalError, Superseded, Unavailable
from edge_agent.link.answer import TryLater
from edge_agent.link.download import Downloader, Wanted
from edge_agent.store.blobs import BlobStore
from tests.support.certificates import self_signed, server_context
from tests.support.misbehaving_http import MisbehavingServer, head
from tests.support.real_clock import RealClock
from tests.support.waiting import wait_for

DATA = bytes(range(256)) * 2000
DIGEST = digest_of(DATA)
WANTED = Wanted(digest=DIGEST, limit=len(DATA), size=len(DATA))
Behaviour = Callable[[dict[str, str], socket.socket], None]


@contextmanager
def serving(behave: Behaviour) -> Iterator[MisbehavingServer]:
    server = MisbehavingServer(behave)
    try:
        yield server
    finally:
        server.close()


def fetch(
    server_url: str, folder: Path, *, wanted: Wanted = WANTED, deadline_s: float = 20, **options
) -> BlobStore:
    store = BlobStore(folder)
    Downloader(server_url, clock=RealClock(), stall_s=0.5).fetch(
        store, wanted, deadline=time.monotonic() + deadline_s, **options
    )
    return store


def failing(behave: Behaviour, folder: Path, kind: type[ShoalError], **options) -> ShoalError:
    with serving(behave) as server, pytest.raises(kind) as caught:
        fetch(server.url, folder, **options)
    assert not BlobStore(folder).has(DIGEST)
    return caught.value


def parts(folder: Path) -> list[int]:
    return [path.stat().st_size for path in (folder / "tmp").iterdir()]


def honest(headers: dict[str, str], client: socket.socket) -> None:
    start = int(headers.get("range", "bytes=0-")[6:-1])
    if start:
        assert headers["if-range"] == f'"{DIGEST}"'
        client.sendall(
            head(
                "206 Partial",
                Content_Length=len(DATA) - start,
                Content_Range=f"bytes {start}-{len(DATA) - 1}/{len(DATA)}",
            )
        )
    else:
        client.sendall(head("200 OK", Content_Length=len(DATA)))
    client.sendall(DATA[start:])


def truncating(_headers: dict[str, str], client: socket.socket) -> None:
    client.sendall(head("200 OK", Content_Length=len(DATA)) + DATA[:1000])


def test_a_blob_is_fetched(tmp_path: Path):
    with serving(honest) as server:
        assert fetch(server.url, tmp_path).read(DIGEST, limit=len(DATA)) == DATA
        assert server.requests[0][""] == f"/v1/blobs/{DIGEST}"


def test_a_truncated_download_is_continued_and_hashed_whole(tmp_path: Path):
    error = failing(truncating, tmp_path, Unavailable)
    assert error.code == "cloud_unreachable"
    assert parts(tmp_path) == [1000]
    with serving(honest) as server:
        store = fetch(server.url, tmp_path)
        assert server.requests[0]["range"] == "bytes=1000-"
    assert store.is_intact(DIGEST)


def test_too_few_bytes_without_a_length_are_noticed(tmp_path: Path):
    def behave(_headers: dict[str, str], client: socket.socket) -> None:
        client.sendall(head("200 OK") + DATA[:1000])

    assert failing(behave, tmp_path, IntegrityError).code == "truncated"
    assert parts(tmp_path) == [1000]


def test_a_part_that_rotted_is_found_by_the_hash_and_dropped(tmp_path: Path):
    failing(truncating, tmp_path, Unavailable)
    (part,) = (tmp_path / "tmp").iterdir()
    part.write_bytes(b"x" * 1000)
    assert failing(honest, tmp_path, IntegrityError).code == "digest_mismatch"
    assert parts(tmp_path) == []


def test_a_server_that_cannot_resume_is_taken_from_the_start(tmp_path: Path):
    failing(truncating, tmp_path, Unavailable)

    def behave(_headers: dict[str, str], client: socket.socket) -> None:
        client.sendall(head("200 OK", Content_Length=len(DATA)) + DATA)

    with serving(behave) as server:
        assert fetch(server.url, tmp_path).is_intact(DIGEST)


def test_another_range_than_was_asked_for_is_refused(tmp_path: Path):
    failing(truncating, tmp_path, Unavailable)

    def behave(_headers: dict[str, str], client: socket.socket) -> None:
        client.sendall(head("206 Partial", Content_Range="bytes 0-9/10", Content_Length=10))

    assert failing(behave, tmp_path, Unavailable).code == "bad_range"


def test_a_part_that_is_longer_than_the_server_has_is_begun_again(tmp_path: Path):
    failing(truncating, tmp_path, Unavailable)

    def behave(_headers: dict[str, str], client: socket.socket) -> None:
        client.sendall(head("416 Range Not Satisfiable", Content_Length=0))

    failing(behave, tmp_path, Unavailable)
    assert parts(tmp_path) == [0]


@pytest.mark.parametrize("is_announced", [True, False])
def test_more_bytes_than_the_manifest_says_are_refused(tmp_path: Path, is_announced: bool):
    def behave(_headers: dict[str, str], client: socket.socket) -> None:
        length = {"Content_Length": len(DATA) + 1} if is_announced else {}
        client.sendall(head("200 OK", **length) + DATA + b"x")

    assert failing(behave, tmp_path, IntegrityError).code == "blob_too_large"
    assert parts(tmp_path) == []


def test_other_bytes_are_refused(tmp_path: Path):
    def behave(_headers: dict[str, str], client: socket.socket) -> None:
        client.sendall(head("200 OK", Content_Length=len(DATA)) + bytes(len(DATA)))

    assert failing(behave, tmp_path, IntegrityError).code == "digest_mismatch"
    assert parts(tmp_path) == []


def test_a_slow_drip_ends_at_the_deadline(tmp_path: Path):
    def behave(_headers: dict[str, str], client: socket.socket) -> None:
        client.sendall(head("200 OK", Content_Length=len(DATA)))
        for index in range(len(DATA)):
            client.sendall(DATA[index : index + 1])
            time.sleep(0.02)

    started = time.monotonic()
    error = failing(behave, tmp_path, Unavailable, deadline_s=0.5)
    assert error.code == "download_too_slow"
    assert time.monotonic() - started < 5


def test_headers_that_drip_for_ever_end_at_the_deadline(tmp_path: Path):
    # Each byte comes before the silence would be too long.
    def behave(_headers: dict[str, str], client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            client.sendall(b"x")
            time.sleep(0.02)

    error = failing(behave, tmp_path, Unavailable, deadline_s=0.5)
    assert error.code == "download_too_slow"


def test_a_handshake_that_stalls_is_given_up(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(Unavailable) as caught:
            fetch(url, tmp_path, deadline_s=0.5)
    assert caught.value.code == "download_stalled"


@pytest.mark.needs("openssl")
def test_a_blob_is_fetched_over_tls_from_whom_somebody_vouches_for(tmp_path: Path):
    certificate = self_signed(tmp_path)
    context = server_context(certificate)

    def behave(headers: dict[str, str], client: socket.socket) -> None:
        honest(headers, client)

    server = MisbehavingServer(behave, context)
    try:
        url = server.url.replace("http:", "https:")
        with pytest.raises(Unavailable, match="certificate verify failed"):
            fetch(url, tmp_path)
        trusting = Downloader(url, clock=RealClock(), ca_file=str(certificate), stall_s=5)
        trusting.fetch(BlobStore(tmp_path), WANTED, deadline=time.monotonic() + 30)
        assert BlobStore(tmp_path).is_intact(DIGEST)
    finally:
        server.close()


def test_fifty_downloads_that_fail_leave_no_thread_and_no_descriptor(tmp_path: Path):
    def behave(_headers: dict[str, str], client: socket.socket) -> None:
        client.sendall(head("200 OK", Content_Length=len(DATA)) + DATA[:1000])
        linger = struct.pack("ii", 1, 0)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def used() -> tuple[int, int]:
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    with serving(behave) as server:
        before = used()
        for _ in range(25):
            with pytest.raises(ShoalError):
                fetch(server.url, tmp_path)
            with pytest.raises(Unavailable):
                fetch("http://127.0.0.1:1", tmp_path)
        wait_for(lambda: used() <= before, 30, lambda: f"{used()} now, {before} before")


def test_what_is_not_wanted_any_more_is_given_up_while_nothing_comes(tmp_path: Path):
    asked = threading.Event()

    def behave(_headers: dict[str, str], client: socket.socket) -> None:
        asked.set()
        client.recv(1)  # until the client hangs up

    with serving(behave) as server, pytest.raises(Superseded):
        Downloader(server.url, clock=RealClock(), stall_s=60).fetch(
            BlobStore(tmp_path),
            WANTED,
            deadline=time.monotonic() + 60,
            is_superseded=asked.is_set,
        )


def test_a_bound_on_the_rate_brings_the_same_file(tmp_path: Path):
    with serving(honest) as server:
        Downloader(server.url, clock=RealClock(), bytes_per_s=len(DATA) * 4).fetch(
            BlobStore(tmp_path), WANTED, deadline=time.monotonic() + 60
        )
    assert BlobStore(tmp_path).is_intact(DIGEST)


def test_a_pause_for_the_rate_ends_when_it_is_not_wanted_any_more(tmp_path: Path):
    has_begun = threading.Event()

    def behave(headers: dict[str, str], client: socket.socket) -> None:
        has_begun.set()
        honest(headers, client)

    with serving(behave) as server, pytest.raises(Superseded):
        Downloader(server.url, clock=RealClock(), bytes_per_s=10).fetch(
            BlobStore(tmp_path),
            WANTED,
            deadline=time.monotonic() + 60,
            is_superseded=has_begun.is_set,
        )


def test_a_server_whose_file_is_another_one_by_now_is_taken_from_the_start(tmp_path: Path):
    failing(truncating, tmp_path, Unavailable)

    def behave(headers: dict[str, str], client: socket.socket) -> None:
        # If-Range does not name what it has, so it sends all of it.
        assert headers["if-range"]
        client.sendall(head("200 OK", Content_Length=len(DATA), ETag='"other"') + DATA)

    with serving(behave) as server:
        assert fetch(server.url, tmp_path).is_intact(DIGEST)


def test_a_rest_of_another_file_is_found_by_the_hash_and_begun_again(tmp_path: Path):
    failing(truncating, tmp_path, Unavailable)

    def behave(headers: dict[str, str], client: socket.socket) -> None:
        rest = bytes(len(DATA) - 1000)
        where = f"bytes 1000-{len(DATA) - 1}/{len(DATA)}"
        client.sendall(head("206 Part", Content_Length=len(rest), Content_Range=where) + rest)

    assert failing(behave, tmp_path, IntegrityError).code == "digest_mismatch"
    with serving(honest) as server:
        assert fetch(server.url, tmp_path).is_intact(DIGEST)
        assert "range" not in server.requests[0]


def test_a_rest_that_comes_in_pieces_arrives_attempt_by_attempt(tmp_path: Path):
    def behave(headers: dict[str, str], client: socket.socket) -> None:
        start = int(headers.get("range", "bytes=0-")[6:-1])
        piece = DATA[start : start + 200_000]
        where = f"bytes {start}-{start + len(piece) - 1}/{len(DATA)}"
        client.sendall(head("206 Part", Content_Length=len(piece), Content_Range=where) + piece)

    failing(truncating, tmp_path, Unavailable)
    assert failing(behave, tmp_path, IntegrityError).code == "truncated"
    assert parts(tmp_path) == [201_000]
    failing(behave, tmp_path, IntegrityError)
    with serving(behave) as server:
        assert fetch(server.url, tmp_path).is_intact(DIGEST)


def test_a_rest_of_a_file_that_is_too_long_is_refused_before_it_comes(tmp_path: Path):
    failing(truncating, tmp_path, Unavailable)

    def behave(_headers: dict[str, str], client: socket.socket) -> None:
        client.sendall(head("206 Part", Content_Range=f"bytes 1000-1999/{len(DATA) + 1}"))
        client.recv(1)

    assert failing(behave, tmp_path, IntegrityError).code == "blob_too_large"


def test_a_server_that_falls_silent_is_given_up(tmp_path: Path):
    def behave(_headers: dict[str, str], client: socket.socket) -> None:
        client.sendall(head("200 OK", Content_Length=len(DATA)) + DATA[:10])
        client.recv(1)  # until the client hangs up

    assert failing(behave, tmp_path, Unavailable).code == "download_stalled"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("404 Not Found", "blob_missing"),
        ("403 Forbidden", "cloud_refused"),
        ("500 Internal Server Error", "cloud_refused"),
        ("302 Found", "cloud_refused"),
    ],
)
def test_refusals_can_be_told_apart(tmp_path: Path, status: str, code: str):
    def behave(_headers: dict[str, str], client: socket.socket) -> None:
        client.sendall(head(status, Content_Length=0))

    assert failing(behave, tmp_path, Unavailable).code == code


@pytest.mark.parametrize(
    ("header", "after_s"), [("7", 7.0), ("99999999", 3600.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)]
)
def test_a_busy_server_says_when_to_come_back(tmp_path: Path, header: str, after_s: float):
    def behave(_headers: dict[str, str], client: socket.socket) -> None:
        client.sendall(head("503 Busy", Content_Length=0, Retry_After=header))

    error = failing(behave, tmp_path, TryLater)
    assert isinstance(error, TryLater)
    assert error.after_s == after_s


def test_what_is_no_http_is_no_download(tmp_path: Path):
    def behave(_headers: dict[str, str], client: socket.socket) -> None:
        client.sendall(b"SSH-2.0-OpenSSH\r\n")

    assert failing(behave, tmp_path, Unavailable).code == "cloud_unreachable"


def test_nobody_listening_is_told(tmp_path: Path):
    with pytest.raises(Unavailable) as caught:
        fetch("http://127.0.0.1:1", tmp_path)
    assert caught.value.code == "cloud_unreachable"
    assert caught.value.hint


def test_what_is_not_wanted_any_more_stops_between_chunks(tmp_path: Path):
    error = failing(honest, tmp_path, Superseded, is_superseded=lambda: True)
    assert error.code == "superseded"
    # What has arrived is kept, in case it is wanted again.
    assert parts(tmp_path) != []


def test_a_manifest_is_bounded_although_its_size_is_unknown(tmp_path: Path):
    wanted = Wanted(digest=DIGEST, limit=1000)
    error = failing(honest, tmp_path, IntegrityError, wanted=wanted)
    assert error.code == "blob_too_large"
    with serving(honest) as server:
        fetch(server.url, tmp_path, wanted=Wanted(digest=DIGEST, limit=len(DATA) * 2))
