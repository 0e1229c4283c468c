"""A real agent on a machine whose clock is set while it runs: an hour, to 1970, ten years ahead.

Nothing stalls, nothing that runs ends, nothing stale is done and nothing fresh is refused.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync.broker.embedded import EmbeddedBroker
from cloud_sync.telemetry.device_time import anchor, true_time
from edge_agent.contract.messages import Command, CommandResult, Event, Health
from edge_agent.contract.state import Phase
from edge_agent.store.timekeeping import RELEASED
from tests.support.agents import AgentProcess
from tests.support.fake_cloud import FakeCloud, soon, wanted
from tests.support.machine_clock import MachineClock
from tests.support.models import BuiltModule, build_module
from tests.support.rows import RowsClient
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.needs("faketime"), pytest.mark.needs("cc")]

HOUR_S = 3600.0
YEAR_S = 365 * 86_400.0
WAIT_S = 60.0
CLOSE_S = 300.0
"""Times that differ by less are the same time, on a machine that is very busy."""

STEPS = {
    "an hour ahead": lambda: time.time() + HOUR_S,
    "an hour back": lambda: time.time() - HOUR_S,
    "1970": lambda: 60.0,
    "ten years ahead": lambda: time.time() + 10 * YEAR_S,
}


class Site:
    """One device with its cloud, and a sensor."""

    def __init__(self, folder: Path, broker: EmbeddedBroker, clock: MachineClock) -> None:
        self.clock = clock
        self.cloud = FakeCloud()
        self.cloud.connect(broker.host, broker.port)
        self.agent = AgentProcess(
            folder / "line-1", self.cloud.url, broker.url, environment=clock.environment
        )
        self.rows = RowsClient(broker.host, broker.port)
        self.rows.listen("data/line-1/results/#")
        self.folder = folder
        self._commands = 0

    def close(self) -> None:
        self.agent.stop()
        self.rows.close()
        self.cloud.close()

    def install(self, version: int) -> BuiltModule:
        """Have a version installed, and wait until it answers."""
        built = build_module(self.folder / f"v{version}", bias=float(version))
        self.cloud.publish_module(built)
        self.cloud.want("line-1", {"probe": wanted(built, version)})
        self.await_running(built)
        return built

    def await_running(self, built: BuiltModule) -> None:
        """Wait until a version answers messages."""
        live = (Phase.TRIAL, Phase.ACTIVE)
        self.cloud.await_slot(
            "probe", lambda slot: slot.running == built.digest and slot.phase in live, WAIT_S
        )
        wait_for(self._is_connected, WAIT_S, lambda: self.agent.log)

    def _is_connected(self) -> bool:
        worker = self.agent.status().slots["probe"].worker
        return worker is not None and worker.connected

    def ask(self) -> int:
        """Send a row; the version that answers it."""
        self.rows.answers.clear()
        self.rows.send("data/line-1/sensors/a/rows", {"id": 1, "a": 1, "b": 1, "c": 1})
        return int(self.rows.next_answer(WAIT_S)["version"])

    def command(self, left_s: float) -> CommandResult:
        """Have a report made, to be begun within some seconds; negative: stale when it comes."""
        self._commands += 1
        number = f"c{self._commands}"
        self.cloud.command("line-1", number, Command(name="report", deadline=soon(left_s)))
        return wait_for(lambda: self.cloud.results.get(number), WAIT_S, lambda: self.agent.log)

    def next_healths(self, count: int) -> list[Health]:
        """Wait for some more health reports."""
        before = len(self.cloud.healths)
        wait_for(lambda: len(self.cloud.healths) >= before + count, WAIT_S, lambda: self.agent.log)
        return self.cloud.healths[before:]

    def steps(self, count: int) -> list[Event]:
        """Wait until the device has told of so many steps."""

        def found() -> bool:
            return len(self.cloud.events("clock_stepped")) >= count

        wait_for(found, WAIT_S, lambda: self.agent.log)
        return self.cloud.events("clock_stepped")


@pytest.fixture
def site(tmp_path: Path, nats_broker: EmbeddedBroker) -> Iterator[Site]:
    """A device whose clock is right."""
    site = Site(tmp_path, nats_broker, MachineClock(tmp_path / "clock"))
    site.agent.start()
    site.agent.await_status(WAIT_S)
    yield site
    site.close()


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_clock_that_is_set_disturbs_nothing(site: Site, step) -> None:
    site.install(1)
    assert site.ask() == 1
    assert site.agent.status().clock_synced
    worker = site.agent.status().slots["probe"].worker
    assert worker is not None

    wall = step()
    site.clock.set(wall, is_synced=False)
    (event,) = site.steps(1)
    assert abs(float(event.detail["to"]) - wall) < CLOSE_S

    # What runs goes on, and reports at its interval, by the clock that nobody sets.
    assert site.ask() == 1
    healths = site.next_healths(3)
    uptimes = [health.uptime_s for health in healths]
    assert uptimes == sorted(uptimes)
    assert uptimes[-1] - uptimes[0] < CLOSE_S
    assert not any(health.clock_synced for health in healths)
    assert all(health.time > RELEASED for health in healths)
    now = site.agent.status().slots["probe"].worker
    assert now is not None
    assert (now.pid, now.restarts) == (worker.pid, worker.restarts)

    # What is stale is not done, what is fresh is; and a new version is installed.
    assert site.command(-1).code == "expired"
    assert site.command(60).ok
    site.install(2)
    assert site.ask() == 2

    # The clock is right again, and with it everything that is said.
    site.clock.mend()
    assert len(site.steps(2)) == 2
    wait_for(lambda: site.cloud.reports[-1].clock_synced, WAIT_S, lambda: site.agent.log)
    health = site.next_healths(2)[-1]
    assert health.clock_synced
    assert abs(health.time - time.time()) < CLOSE_S
    assert site.command(60).ok
    status = site.agent.status()
    assert (status.clock.steps, status.clock.is_behind) == (2, False)
    slot = status.slots["probe"]
    assert slot.worker is not None
    assert slot.state.phase in (Phase.TRIAL, Phase.ACTIVE)

    # What was stamped wrongly can be set right.
    known = anchor(site.cloud.reports[-1])
    assert known is not None
    doubtful = [row for row in site.cloud.rows.values() if not row.clock_synced]
    assert doubtful
    for row in doubtful:
        corrected = true_time(row, known)
        assert corrected is not None
        assert abs(corrected - time.time()) < CLOSE_S


def test_a_device_that_wakes_up_in_1970_works_and_goes_on_when_its_clock_is_set(
    tmp_path: Path, nats_broker: EmbeddedBroker
) -> None:
    clock = MachineClock(tmp_path / "clock")
    site = Site(tmp_path, nats_broker, clock)
    try:
        site.agent.start()
        site.next_healths(1)
        site.agent.stop()
        # An order lies with the broker while the device is away, for too long.
        deadline = soon(0.5)
        site.cloud.command("line-1", "old", Command(name="report", deadline=deadline))
        wait_for(lambda: time.time() > deadline)
        clock.set(5.0, is_synced=False)
        site.agent.start()
        site.agent.await_status(WAIT_S)
        old = wait_for(lambda: site.cloud.results.get("old"), WAIT_S, lambda: site.agent.log)
        assert old.code == "expired"
        site.install(1)
        assert site.ask() == 1
        assert site.command(-1).code == "expired"
        assert site.command(60).ok
        assert site.cloud.await_event("clock_behind", WAIT_S).level == "warning"
        status = site.agent.status()
        assert status.clock.is_behind
        assert not status.clock_synced
        assert status.time >= RELEASED
        clock.mend()
        site.steps(1)
        site.install(2)
        assert site.ask() == 2
        assert abs(site.next_healths(2)[-1].time - time.time()) < CLOSE_S
        assert not site.agent.status().clock.is_behind
    finally:
        site.close()


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_an_attempt_that_waits_is_made_whatever_the_clock_says(site: Site, step) -> None:
    built = build_module(site.folder / "late", bias=3.0)
    site.cloud.want("line-1", {"probe": wanted(built)})
    site.cloud.await_slot("probe", lambda slot: slot.phase is Phase.FAILED, WAIT_S)
    site.clock.set(step(), is_synced=False)
    site.steps(1)
    site.cloud.publish_module(built)
    site.await_running(built)


def test_the_time_is_kept_over_a_restart_and_not_taken_from_a_clock_ahead(
    tmp_path: Path, nats_broker: EmbeddedBroker
) -> None:
    clock = MachineClock(tmp_path / "clock", wall=time.time() + 10 * YEAR_S, is_synced=False)
    site = Site(tmp_path, nats_broker, clock)
    try:
        site.agent.start()
        site.agent.await_status(WAIT_S)
        built = build_module(tmp_path / "late", bias=3.0)
        site.cloud.want("line-1", {"probe": wanted(built)})
        site.cloud.await_slot("probe", lambda slot: slot.phase is Phase.FAILED, WAIT_S)
        site.agent.stop()
        clock.mend()
        site.agent.start()
        status = site.agent.await_status(WAIT_S)
        assert abs(status.time - time.time()) < CLOSE_S
        # What was to be tried again in 2036 is tried again now.
        site.cloud.publish_module(built)
        site.await_running(built)
    finally:
        site.close()
