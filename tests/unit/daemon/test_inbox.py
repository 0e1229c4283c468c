"""What arrives from outside never ends the link's thread, and commands are done once."""

import threading
import time
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract.messages import Command, CommandResult
from edge_agent.contract.state import DesiredState
from edge_agent.contract.wire import encode
from edge_agent.daemon.cloud_time import CloudTime
from edge_agent.daemon.commands import Commands
from edge_agent.daemon.inbox import Inbox
from edge_agent.errors import ContractError, NotFound, StorageError
from tests.support.real_clock import RealClock


class World:
    def __init__(self) -> None:
        self.events, self.accepted, self.acks = [], [], []
        self.published, self.statuses, self.done = [], [], []
        self.refusal: Exception | None = None
        self.before_accepting: Callable[[bytes], None] = lambda _payload: None
        self.inbox = Inbox(
            "line-1",
            accept=self.accept,
            acknowledge=self.acks.append,
            commands=Commands(
                "line-1",
                clock=RealClock(),
                cloud_time=CloudTime("line-1", "boot", RealClock(), lambda _topic, _payload: False),
                report=lambda: self.done.append("report"),
                restart=self.restart,
                retry=lambda slot: self.done.append(f"retry {slot}"),
            ),
            publish=lambda topic, payload: self.published.append((topic, payload)),
            on_status=self.statuses.append,
            on_event=self.events.append,
            report=lambda: self.done.append("report again"),
        )

    def accept(self, payload: bytes) -> DesiredState | None:
        self.before_accepting(payload)
        if self.refusal is not None:
            raise self.refusal
        self.accepted.append(payload)
        return None

    def restart(self, slot: str) -> None:
        if slot == "none":
            raise NotFound("no such slot")
        self.done.append(f"restart {slot}")

    def command(self, message_id: str, **options) -> CommandResult | None:
        command = Command(**{"deadline": time.time() + 60, **options})
        count = len(self.published)
        self.inbox.take(f"shoal/v1/line-1/down/command/{message_id}", encode(command))
        if len(self.published) == count:
            return None
        topic, payload = self.published[-1]
        assert topic == f"shoal/v1/line-1/up/result/{message_id}"
        return msgspec.json.decode(payload, type=CommandResult)


@pytest.fixture
def world() -> World:
    return World()


def test_commands_are_done_once_each(world: World):
    answer = world.command("a", name="restart-slot", slot="m")
    assert answer is not None
    assert answer.ok
    assert world.command("a", name="restart-slot", slot="m") is None
    assert world.command("b", name="report")
    assert world.command("c", name="retry-slot", slot="m")
    assert world.done == ["restart m", "report", "retry m"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"name": "report", "deadline": 1.0}, "expired"),
        ({"name": "restart-slot"}, "not_found"),
        ({"name": "restart-slot", "slot": "none"}, "not_found"),
    ],
)
def test_commands_that_cannot_be_done_are_answered(world: World, options, code):
    answer = world.command("a", **options)
    assert answer is not None
    assert (answer.ok, answer.code) == (False, code)
    assert world.done == []


def test_a_refused_wish_is_one_event_however_often_it_comes(world: World):
    world.refusal = ContractError("bad", code="revision_old")
    for _ in range(3):
        world.inbox.take("shoal/v1/line-1/down/desired", b"{}")
    assert [event.detail["code"] for event in world.events] == ["revision_old"]


def test_a_service_that_repeats_itself_is_told_again_what_this_device_does(world: World):
    """Its database may have been set back: it would never ask, and nothing changes here."""
    world.inbox.take("shoal/v1/line-1/down/desired", b"known")
    assert world.done == ["report again"]
    world.refusal = ContractError("older", code="revision_old")
    world.inbox.take("shoal/v1/line-1/down/desired", b"older")
    assert world.done == ["report again"] * 2
    world.refusal = ContractError("another device's", code="wrong_device")
    world.inbox.take("shoal/v1/line-1/down/desired", b"foreign")
    assert world.done == ["report again"] * 2


def test_a_wish_that_the_disk_did_not_take_is_tried_again(world: World):
    world.refusal = StorageError("full", code="disk_full")
    world.inbox.take("shoal/v1/line-1/down/desired", b"wish")
    world.inbox.try_again()
    assert world.accepted == []
    world.refusal = None
    world.inbox.try_again()
    world.inbox.try_again()
    assert world.accepted == [b"wish"]


def test_a_newer_wish_is_not_undone_by_the_older_one_that_is_tried_again(world: World):
    topic = "shoal/v1/line-1/down/desired"
    world.refusal = StorageError("full", code="disk_full")
    world.inbox.take(topic, b"old")
    newer_came = threading.Event()
    link = threading.Thread(target=world.inbox.take, args=(topic, b"new"))

    def newer_comes(payload: bytes) -> None:
        if payload == b"new":
            world.refusal = None
            newer_came.set()
        elif not link.is_alive():
            link.start()
            newer_came.wait(0.3)

    world.before_accepting = newer_comes
    world.inbox.try_again()
    link.join(10)
    world.before_accepting = lambda _payload: None
    world.inbox.try_again()
    assert world.accepted == [b"new"]


@given(
    st.sampled_from(["desired", "ack", "command/x", "command", "nonsense", ""]),
    st.binary(max_size=60),
)
def test_nothing_from_outside_raises(path: str, payload: bytes):
    World().inbox.take(f"shoal/v1/line-1/down/{path}", payload)
