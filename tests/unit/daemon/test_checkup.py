"""What `edge-agent check` finds out about local HTTP."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_agent.config import AgentSection, HttpSection, Settings
from edge_agent.daemon.checkup import check_http
from edge_agent.daemon.http.protocol import HttpStatus
from edge_agent.daemon.local import LocalServer
from edge_agent.daemon.status import AgentStatus, LinkStatus

STATUS = AgentStatus(
    device="line-1",
    boot_id="boot",
    version="1",
    pid=1,
    time=1.0,
    uptime_s=1.0,
    cloud=LinkStatus(url="", broker="", is_connected=True),
    revision_seen=0,
    revision_applied=0,
    slots={},
    outbox_rows=0,
    outbox_dropped=0,
    disk_free_mb=1.0,
    clock_synced=True,
)


def settings(folder: Path, listen: str) -> Settings:
    return Settings(
        agent=AgentSection(device="line-1", state_dir=str(folder)), http=HttpSection(listen=listen)
    )


@pytest.fixture
def taken() -> Iterator[str]:
    """An address at which a program listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_without_an_address_it_says_that_it_is_off_and_what_to_set(tmp_path: Path) -> None:
    found = check_http(settings(tmp_path, ""))
    assert found.state == "ok"
    assert "[http] listen" in found.text


def test_an_address_that_is_free_is_told_as_a_url(tmp_path: Path) -> None:
    found = check_http(settings(tmp_path, "127.0.0.1:0"))
    assert (found.state, found.text) == ("ok", "http://127.0.0.1:0 is free for the agent")


def test_an_address_that_somebody_else_has_is_a_failure(tmp_path: Path, taken: str) -> None:
    found = check_http(settings(tmp_path, taken))
    assert found.state == "fail"
    assert f"http://{taken} cannot be served" in found.text
    assert "another [http] listen" in found.hint


def test_what_the_agent_serves_already_is_fine(tmp_path: Path, taken: str) -> None:
    url = f"http://{taken}"
    serving = replace(STATUS, http=HttpStatus(url=url, pid=7))
    served = LocalServer(tmp_path, lambda: serving)
    served.start()
    try:
        found = check_http(settings(tmp_path, taken))
    finally:
        served.stop()
    assert found.state == "ok"
    assert url in found.text
    assert "served by the agent" in found.text


def test_an_agent_that_could_not_listen_is_no_excuse(tmp_path: Path, taken: str) -> None:
    served = LocalServer(tmp_path, lambda: STATUS)
    served.start()
    try:
        assert check_http(settings(tmp_path, taken)).state == "fail"
    finally:
        served.stop()


def test_an_address_of_another_machine_is_a_failure(tmp_path: Path) -> None:
    # A documentation address: no machine has it.
    found = check_http(settings(tmp_path, "192.0.2.7:8090"))
    assert found.state == "fail"


def test_an_address_that_others_reach_is_warned_about(tmp_path: Path) -> None:
    found = check_http(settings(tmp_path, "0.0.0.0:0"))
    assert found.state == "warn"
    assert "firewall" in found.hint
