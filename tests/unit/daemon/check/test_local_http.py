"""What `edge-agent check` finds out about local HTTP."""

import socket
from collections.abc import Iterator

import pytest

from edge_agent.config import HttpSection
from edge_agent.daemon.check.local_http import check_http
from edge_agent.daemon.http.protocol import HttpStatus


def section(listen: str) -> HttpSection:
    return HttpSection(listen=listen)


@pytest.fixture
def taken() -> Iterator[str]:
    """An address at which a program listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_without_an_address_it_says_that_it_is_off_and_what_to_set() -> None:
    found = check_http(section(""), None)
    assert found.state == "ok"
    assert "[http] listen" in found.text


def test_an_address_that_is_free_is_told_as_a_url() -> None:
    found = check_http(section("127.0.0.1:0"), None)
    assert (found.state, found.text) == ("ok", "http://127.0.0.1:0 is free for the agent")


def test_an_address_that_somebody_else_has_is_a_failure(taken: str) -> None:
    found = check_http(section(taken), None)
    assert found.state == "fail"
    assert f"http://{taken} cannot be served" in found.text
    assert "another [http] listen" in found.hint


def test_what_the_agent_serves_already_is_fine(taken: str) -> None:
    found = check_http(section(taken), HttpStatus(url=f"http://{taken}", pid=7))
    assert found.state == "ok"
    assert f"http://{taken}" in found.text
    assert "served by the agent" in found.text


def test_an_agent_that_could_not_listen_is_no_excuse(taken: str) -> None:
    assert check_http(section(taken), HttpStatus(error="taken")).state == "fail"


def test_an_address_of_another_machine_is_a_failure() -> None:
    # A documentation address: no machine has it.
    assert check_http(section("192.0.2.7:8090"), None).state == "fail"


def test_an_address_that_others_reach_is_warned_about() -> None:
    found = check_http(section("0.0.0.0:0"), None)
    assert found.state == "warn"
    assert "firewall" in found.hint
