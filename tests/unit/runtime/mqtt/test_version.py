"""Which version of MQTT is spoken."""

import pytest

from edge_agent.runtime.mqtt.packets import V5, V311
from edge_agent.runtime.mqtt.version import VersionChoice


def test_a_refusal_is_believed_and_remembered() -> None:
    choice = VersionChoice("auto")
    assert choice.version == V5
    assert choice.refused(), "there is another to try, at once"
    assert choice.version == V311
    choice.accepted()
    choice.hung_up()
    assert choice.version == V311


def test_a_broker_that_changed_its_mind_is_followed_but_not_in_a_hurry() -> None:
    choice = VersionChoice("auto")
    choice.accepted()
    assert not choice.refused()
    assert choice.version == V311
    assert not choice.refused()
    assert choice.version == V5


def test_a_broker_that_hangs_up_gets_both_in_turns() -> None:
    choice = VersionChoice("auto")
    seen = []
    for _ in range(4):
        seen.append(choice.version)
        choice.hung_up()
    assert seen == [V5, V311, V5, V311]


@pytest.mark.parametrize(("wanted", "version"), [("3.1.1", V311), ("5", V5)])
def test_a_wish_is_a_wish(wanted: str, version: int) -> None:
    choice = VersionChoice(wanted)  # type: ignore[arg-type]
    choice.hung_up()
    assert not choice.refused()
    assert choice.version == version
