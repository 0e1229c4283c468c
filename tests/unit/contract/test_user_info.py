"""A URL is shown without its user, whatever is wrong with it."""

import pytest

from edge_agent.contract.user_info import hide_user


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("http://host:80/path", "http://host:80/path"),
        ("mqtts://bob:pw@host:8883", "mqtts://***@host:8883"),
        ("mqtt://token@host", "mqtt://***@host"),
        ("mqtt://bob:p@ss@host", "mqtt://***@host"),
        ("mqtt://bob:p/w@host", "mqtt://***@host"),
        ("bob:pw@host", "***@host"),
        ("bob:pw://x@host", "***@host"),
        ("mqtt:/bob:pw@host", "***@host"),
        ("mqtt://bob:pw@", "mqtt://***@"),
    ],
)
def test_what_stands_before_the_host_is_not_shown(url: str, shown: str) -> None:
    assert hide_user(url) == shown
