"""Commands: published with a deadline, answered in time, refused in the device's own words."""

from dataclasses import dataclass

import pytest

from cloud_sync.db.audit import entries
from cloud_sync.errors import Conflict, InvalidInput, NotFound, Unavailable
from cloud_sync.fleet.commands import Commands
from cloud_sync.resources import CommandWish
from edge_agent.contract.messages import Command, CommandResult
from edge_agent.contract.topics import Channel, parse
from edge_agent.contract.wire import decode
from tests.support.cloud import NOW, Cloud, change
from tests.support.letters import letter, status

RETRY = CommandWish(name="retry-slot", slot="probe", timeout_s=20)


@dataclass
class AnsweringDevice:
    """The service's outlet, with a device behind it that answers at once."""

    made: Cloud
    ok: bool = True
    code: str = ""
    text: str = ""
    is_silent: bool = False

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        assert not retain, "a retained command would be done again at every connection"
        self.made.line.publish(topic, payload, retain=retain)
        if self.is_silent:
            return True
        found = parse(topic)
        for message_id in ("another", found.message_id):
            answer = CommandResult(
                device=found.device, ok=self.ok, code=self.code, text=self.text, time=NOW
            )
            self.made.ingest.write([letter(answer, message_id=message_id)])
        return True


@pytest.fixture
def online(parts_of_cloud: Cloud) -> Cloud:
    parts_of_cloud.ingest.write([letter(status("line-1"))])
    return parts_of_cloud


def commands(made: Cloud, **device: object) -> Commands:
    outlet = AnsweringDevice(made, **device)  # type: ignore[arg-type]
    return Commands(made.parts.database, outlet, made.parts.devices, pause=lambda _: None)


def test_a_command_goes_out_with_a_deadline_and_its_answer_comes_back(online: Cloud) -> None:
    done = commands(online).send("line-1", RETRY, change())
    assert (done.device, done.name, done.slot) == ("line-1", "retry-slot", "probe")
    ((topic, payload),) = online.line.published
    assert parse(topic).channel is Channel.COMMAND
    assert parse(topic).message_id == done.id
    assert decode(Command, payload) == Command(name="retry-slot", slot="probe", deadline=NOW + 20)


def test_who_asked_and_why_is_in_the_audit_log(online: Cloud) -> None:
    done = commands(online).send("line-1", RETRY, change(actor="ada", reason="the disk is free"))
    with online.parts.database.read() as connection:
        newest = entries(connection, limit=1)[0]
    assert (newest.action, newest.subject, newest.actor) == ("device.command", "line-1", "ada")
    assert newest.detail == {"command": "retry-slot", "slot": "probe", "id": done.id}


def test_what_the_device_refuses_is_told_in_its_words(online: Cloud) -> None:
    refusing = commands(online, ok=False, code="not_found", text="slot 'probe' has no worker")
    with pytest.raises(Conflict, match="slot 'probe' has no worker") as caught:
        refusing.send("line-1", RETRY, change())
    assert caught.value.code == "not_found"


def test_a_device_that_does_not_answer_is_not_waited_for_for_ever(online: Cloud) -> None:
    with pytest.raises(Unavailable) as caught:
        commands(online, is_silent=True).send(
            "line-1", CommandWish(name="report", timeout_s=0.1), change()
        )
    assert caught.value.code == "command_unanswered"


def test_a_device_that_is_not_there_is_not_asked(parts_of_cloud: Cloud) -> None:
    parts_of_cloud.parts.devices.register("line-1", change())
    with pytest.raises(Conflict) as caught:
        commands(parts_of_cloud).send("line-1", RETRY, change())
    assert caught.value.code == "device_not_online"
    with pytest.raises(NotFound):
        commands(parts_of_cloud).send("line-9", RETRY, change())
    assert parts_of_cloud.line.published == []


def test_a_broker_that_is_away_is_told(online: Cloud) -> None:
    online.line.refusals = 1
    with pytest.raises(Unavailable) as caught:
        online.parts.commands.send("line-1", RETRY, change())
    assert caught.value.code == "broker_away"


def test_a_command_about_a_slot_needs_one(online: Cloud) -> None:
    with pytest.raises(InvalidInput) as caught:
        commands(online).send("line-1", CommandWish(name="restart-slot"), change())
    assert caught.value.code == "slot_missing"
