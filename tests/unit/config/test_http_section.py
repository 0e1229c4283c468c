from pathlib import Path

import pytest

from edge_agent.config import parse
from edge_agent.errors import ConfigError


def settings(text: str, environment: dict[str, str] | None = None):  # type: ignore[no-untyped-def]
    whole = f'[agent]\ndevice = "line-1"\n[http]\n{text}'
    return parse(whole, environment or {}, source="agent.toml", folder=Path("/")).http


def test_there_is_no_server_unless_an_address_is_set() -> None:
    assert settings("").listen == ""


def test_a_loopback_address_needs_nothing_more() -> None:
    assert settings('listen = "127.0.0.1:8090"').listen == "127.0.0.1:8090"
    assert settings("", {"EDGE_AGENT_HTTP_LISTEN": "[::1]:80"}).listen == "[::1]:80"


def test_what_is_no_address_is_named_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"agent\.toml line 4: http\.listen expected IP:PORT"):
        settings('listen = "8090"')


def test_an_address_that_others_reach_must_be_allowed() -> None:
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0:8090.* is open to other machines"):
        settings('listen = "0.0.0.0:8090"')
    assert settings('listen = "0.0.0.0:8090"\nallow_remote = true').allow_remote
