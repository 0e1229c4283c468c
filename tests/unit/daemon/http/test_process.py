"""The server's process, kept running."""

import os
import signal
import socket
from pathlib import Path

from edge_agent.daemon.http.limits import Limits
from edge_agent.daemon.http.process import (
    FIRST_DELAY_S,
    LONGEST_DELAY_S,
    HttpProcess,
    restart_delay_s,
)
from edge_agent.daemon.http.protocol import BEAT_S, ServerSaid, ServerSpec
from edge_agent.daemon.machine import is_running
from tests.support.http_front import HttpFront
from tests.support.waiting import wait_for


def spec(folder: Path, port: int = 0) -> ServerSpec:
    return ServerSpec(
        host="127.0.0.1",
        port=port,
        state_dir=str(folder),
        run_folder=str(folder / "run"),
        version="1",
        limits=Limits(),
    )


def test_it_stays_down_longer_each_time_up_to_a_minute() -> None:
    bounds = [restart_delay_s(ends, 0.0) for ends in range(1, 12)]
    assert bounds[:4] == [FIRST_DELAY_S, 1.0, 2.0, 4.0]
    assert bounds[-1] == LONGEST_DELAY_S
    assert restart_delay_s(1, 1.0) == FIRST_DELAY_S / 2


def test_a_killed_server_is_started_again(tmp_path: Path) -> None:
    with HttpFront(tmp_path) as front:
        before = front.process.status()
        os.kill(before.pid, signal.SIGKILL)
        wait_for(lambda: front.process.status().restarts == 1, 30)
        assert front.get("/v2/health/live") == (200, {"live": True})
        assert front.process.status().pid != before.pid


def test_a_server_that_hangs_is_ended_and_another_is_started(tmp_path: Path) -> None:
    server = HttpProcess(spec(tmp_path), silent_s=2 * BEAT_S)
    server.start()
    try:
        wait_for(lambda: server.status().url, 30)
        before = server.status().pid
        os.kill(before, signal.SIGSTOP)
        wait_for(lambda: server.status().restarts == 1 and server.status().url, 60)
        assert server.status().pid != before
        assert not is_running(before)
    finally:
        server.stop()


def test_a_server_that_is_well_is_left_alone(tmp_path: Path) -> None:
    """Its sign of life comes again and again."""
    heard: list[bytes] = []

    class Listening(HttpProcess):
        def _heard(self, line: bytes) -> ServerSaid:
            heard.append(line)
            return super()._heard(line)

    server = Listening(spec(tmp_path), silent_s=6 * BEAT_S)
    server.start()
    try:
        wait_for(lambda: len(heard) >= 3, 60)
        assert server.status().restarts == 0
        assert len(set(heard)) == 1
    finally:
        server.stop()


def test_a_port_that_is_taken_is_told_and_tried_again(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = HttpProcess(spec(tmp_path, port))
        server.start()
        said = wait_for(lambda: server.status().error, 30)
        assert f"cannot listen on 127.0.0.1 port {port}" in said
        # Not only in the moments between two attempts.
        wait_for(lambda: server.status().restarts == 2, 30)
        assert server.status().error == said
        assert server.status().url == ""
    # The port is free now.
    wait_for(lambda: server.status().url == f"http://127.0.0.1:{port}", 30)
    assert server.status().error == ""
    server.stop()
    assert server.status().pid == 0


def test_a_server_that_is_stopped_before_it_listens_ends_as_well(tmp_path: Path) -> None:
    server = HttpProcess(spec(tmp_path))
    server.start()
    server.stop()
    assert not server._thread.is_alive()


def test_nobody_need_have_started_it_to_stop_it(tmp_path: Path) -> None:
    HttpProcess(spec(tmp_path)).stop()
