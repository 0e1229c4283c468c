"""Deadlines of commands on a device whose clock may be anything: nothing stale is done, and nothing
fresh is refused."""

import pytest

from edge_agent.contract.messages import Ack, Command, CommandResult, Telemetry
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import decode, encode
from edge_agent.daemon.cloud_time import ASK_AGAIN_S, KNOWN_S, CloudTime
from edge_agent.daemon.commands import HOLD_S, MAX_HELD, Commands
from tests.support.simulated_clock import NOON, SimulatedClock

YEAR_S = 365 * 86_400.0
WRONG = {
    "1970": 0.0,
    "an hour behind": NOON - 3600,
    "an hour ahead": NOON + 3600,
    "2037": NOON + 10 * YEAR_S,
}


class Device:
    """A device and the service behind its broker, whose clock is right."""

    def __init__(self, *, wall: float = NOON, synced: bool = False) -> None:
        self.clock = SimulatedClock(wall=wall, synced=synced)
        self.service = SimulatedClock(wall=NOON)
        self.asked: list[Telemetry] = []
        self.done = 0
        self.is_connected = True
        self.cloud_time = CloudTime("line-1", "boot", self.clock, self._publish)
        self.commands = Commands(
            "line-1",
            clock=self.clock,
            cloud_time=self.cloud_time,
            report=self._report,
            restart=lambda _slot: None,
            retry=lambda _slot: None,
        )

    def _report(self) -> None:
        self.done += 1

    def _publish(self, topic: str, payload: bytes) -> bool:
        if self.is_connected:
            assert topic == control("line-1", Channel.TELEMETRY)
            self.asked.append(decode(Telemetry, payload))
        return self.is_connected

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.service.advance(seconds)

    def take(self, message_id: str, *, left_s: float) -> CommandResult | None:
        """A command arrives that is to be begun within some seconds, negative for too late."""
        command = Command(name="report", deadline=self.service.wall() + left_s)
        return self.commands.handle(message_id, encode(command))

    def answer(self) -> list[tuple[str, CommandResult]]:
        """The service answers the last question."""
        ack = Ack(
            boot_id="boot", seqs=(), answers=self.asked[-1].question, time=self.service.wall()
        )
        assert self.commands.heard(ack)
        return self.commands.settle()


@pytest.mark.parametrize("wall", WRONG.values(), ids=WRONG)
def test_a_wrong_clock_neither_does_what_is_stale_nor_refuses_what_is_fresh(wall: float) -> None:
    device = Device(wall=wall)
    assert device.take("stale", left_s=-1.0) is None
    assert device.take("fresh", left_s=60.0) is None
    assert device.done == 0, "nothing is done before the time is known"
    answers = dict(device.answer())
    assert (answers["stale"].ok, answers["stale"].code) == (False, "expired")
    assert (answers["fresh"].ok, device.done) == (True, 1)


@pytest.mark.parametrize("wall", WRONG.values(), ids=WRONG)
def test_once_the_time_is_known_commands_are_judged_at_once(wall: float) -> None:
    device = Device(wall=wall)
    device.take("first", left_s=60.0)
    device.answer()
    device.pass_time(100)
    device.clock.step(-YEAR_S)
    stale, fresh = device.take("stale", left_s=-1.0), device.take("fresh", left_s=1.0)
    assert stale is not None
    assert stale.code == "expired"
    assert fresh is not None
    assert fresh.ok
    assert len(device.asked) == 1


def test_a_clock_that_is_right_asks_nobody() -> None:
    device = Device(synced=True)
    fresh, stale = device.take("a", left_s=1.0), device.take("b", left_s=-1.0)
    assert fresh is not None
    assert fresh.ok
    assert fresh.clock_synced
    assert stale is not None
    assert stale.code == "expired"
    assert device.asked == []


def test_what_the_service_does_not_answer_is_refused_in_time() -> None:
    device = Device(wall=0.0)
    assert device.take("a", left_s=60.0) is None
    device.pass_time(HOLD_S - 1)
    assert device.commands.settle() == []
    device.pass_time(2)
    ((message_id, answer),) = device.commands.settle()
    assert (message_id, answer.ok, answer.code) == ("a", False, "clock_unknown")
    assert not answer.clock_synced
    assert device.done == 0


def test_a_clock_that_is_set_right_meanwhile_is_as_good_as_an_answer() -> None:
    device = Device(wall=0.0)
    device.take("a", left_s=60.0)
    device.clock.set_wall(device.service.wall())
    device.clock.synced = True
    ((_, answer),) = device.commands.settle()
    assert answer.ok


def test_the_question_is_repeated_until_it_is_answered() -> None:
    device = Device()
    device.is_connected = False
    device.take("a", left_s=60.0)
    device.is_connected = True
    device.commands.settle()
    device.commands.settle()
    assert len(device.asked) == 1
    device.pass_time(ASK_AGAIN_S)
    device.commands.settle()
    assert len(device.asked) == 2
    assert len({asked.question for asked in device.asked}) == 2


@pytest.mark.parametrize("late", ["of another question", "slow", "without a time"])
def test_an_answer_that_says_nothing_about_now_is_not_believed(late: str) -> None:
    device = Device()
    device.take("a", left_s=60.0)
    question, time = device.asked[-1].question, device.service.wall()
    if late == "of another question":
        question = "time-of-an-earlier-run"
    elif late == "slow":
        device.pass_time(ASK_AGAIN_S)
    else:
        time = 0.0
    assert device.commands.heard(Ack(boot_id="boot", seqs=(), answers=question, time=time))
    assert device.cloud_time.now() is None
    assert device.commands.settle() == []


def test_an_acknowledgement_of_rows_is_left_to_the_outbox() -> None:
    device = Device()
    assert not device.commands.heard(Ack(boot_id="boot", seqs=(1,), time=NOON))
    assert not device.commands.heard(Ack(boot_id="boot", seqs=(1,), answers="q-1", time=NOON))
    assert device.cloud_time.now() is None


def test_what_is_known_of_the_time_grows_old() -> None:
    device = Device()
    device.take("a", left_s=60.0)
    device.answer()
    device.pass_time(KNOWN_S)
    assert device.cloud_time.now() == device.service.wall()
    device.pass_time(1)
    assert device.cloud_time.now() is None


def test_what_is_held_is_bounded() -> None:
    device = Device()
    answers = [device.take(str(number), left_s=60.0) for number in range(MAX_HELD + 1)]
    assert answers[:MAX_HELD] == [None] * MAX_HELD
    last = answers[MAX_HELD]
    assert last is not None
    assert last.code == "clock_unknown"


def test_a_command_that_is_held_is_not_taken_twice() -> None:
    device = Device()
    device.take("a", left_s=60.0)
    assert device.take("a", left_s=60.0) is None
    assert len(device.answer()) == 1
    assert device.done == 1
