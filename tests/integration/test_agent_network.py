"""A real agent between a broker and a cloud that a proxy cuts off in every way a network can.

Its sensors talk to the broker directly: inference must not notice any of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_agent.contract.manifest import Input, Output
from edge_agent.contract.messages import Command
from edge_agent.contract.state import AgentSettings
from edge_agent.daemon.status_text import status_lines
from tests.support.agents import AgentProcess
from tests.support.brokers import EmbeddedBroker
from tests.support.fake_cloud import FakeCloud, soon, wanted
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.models import build_module
from tests.support.rows import RowsClient
from tests.support.waiting import wait_for

FAULTS: dict[Fault, dict[str, Any]] = {
    Fault.REFUSED: {},
    Fault.RESET: {"after_bytes": 300},
    Fault.TRUNCATE: {"after_bytes": 300},
    Fault.BLACK_HOLE: {},
    Fault.SWALLOW: {},
    Fault.HALF_OPEN: {},
    Fault.DRIP: {"bytes_per_s": 1},
    Fault.DELAY: {"delay_s": 0.3},
}
NOTICED = (Fault.REFUSED, Fault.BLACK_HOLE, Fault.SWALLOW, Fault.HALF_OPEN)
"""Faults under which the broker says nothing: TCP alone would never tell of most of them."""
CYCLES = 50


@dataclass
class Site:
    """A device, its two ways to the cloud, and a sensor that needs neither."""

    cloud: FakeCloud
    agent: AgentProcess
    broker_way: FaultProxy
    cloud_way: FaultProxy
    rows: RowsClient
    folder: Path
    sent: int = 0

    def install(self, version: int) -> str:
        """Want another version in the slot `extra`; its digest."""
        built = build_module(
            self.folder / f"extra{version}",
            name="extra",
            bias=float(version),
            source=Input(topic="nobody/+"),
        )
        self.cloud.publish_module(built)
        self.cloud.want("line-1", {"probe": self.probe, "extra": wanted(built, version)})
        return built.digest

    def start(self) -> None:
        built = build_module(
            self.folder / "v1", output=Output(topic="results/{1}/rows", uplink="all")
        )
        self.probe = wanted(built)
        self.cloud.publish_module(built)
        self.agent.start()
        self.agent.await_status(30)
        self.cloud.want("line-1", {"probe": self.probe})
        self.cloud.await_slot("probe", lambda slot: slot.running == built.digest)
        self.rows.listen("results/#")
        self.infer()

    def infer(self) -> None:
        """Send a row, and wait for its answer."""
        self.sent += 1
        self.rows.send("sensors/a/rows", {"id": self.sent, "a": 1, "b": 1, "c": 1})
        wait_for(lambda: self.rows.answers and self.rows.next_answer()["id"] == self.sent, 30)

    def is_connected(self) -> bool:
        return self.agent.status().cloud.is_connected

    def results(self) -> set[int]:
        """Ids of the results that the cloud has."""
        found = [row for row in list(self.cloud.rows.values()) if row.kind == "result"]
        return {msgspec.json.decode(row.data)["id"] for row in found}

    def used(self) -> tuple[int, int]:
        """Threads and file descriptors of the agent."""
        assert self.agent.process is not None
        place = Path(f"/proc/{self.agent.process.pid}")
        return len(list((place / "task").iterdir())), len(list((place / "fd").iterdir()))


@pytest.fixture
def site(tmp_path: Path, nats_broker: EmbeddedBroker) -> Iterator[Site]:
    cloud = FakeCloud()
    cloud.connect(nats_broker.host, nats_broker.port)
    broker_way, cloud_way = FaultProxy(nats_broker.port), FaultProxy(cloud.port)
    agent = AgentProcess(
        tmp_path / "line-1",
        f"http://127.0.0.1:{cloud_way.port}",
        f"mqtt://127.0.0.1:{broker_way.port}",
        data_broker=nats_broker.url,
        environment={"EDGE_AGENT_CLOUD_KEEPALIVE_S": "1", "EDGE_AGENT_CLOUD_STALL_S": "1"},
    )
    rows = RowsClient(nats_broker.host, nats_broker.port)
    one = Site(cloud, agent, broker_way, cloud_way, rows, tmp_path)
    one.start()
    yield one
    agent.stop()
    rows.close()
    broker_way.close()
    cloud_way.close()
    cloud.close()


def test_under_every_fault_inference_goes_on_and_what_was_wanted_is_there_right_after(
    site: Site,
) -> None:
    for version, (fault, figures) in enumerate(FAULTS.items(), start=1):
        tried = site.cloud_way.accepted
        # 1. The files cannot come, or not well; the device is told what is wanted all the same.
        site.cloud_way.set(fault, **figures)
        digest = site.install(version)
        if fault is Fault.REFUSED:
            wait_for(lambda: _has_failed(site), 30, lambda: site.agent.log[-3000:])
        else:
            wait_for(lambda before=tried: site.cloud_way.accepted > before, 30)
        # 2. Then nothing comes from the broker, either.
        site.broker_way.set(fault, **figures)
        site.infer()
        if fault in NOTICED:
            wait_for(lambda: not site.is_connected(), 30, lambda: site.agent.log[-3000:])
        site.infer()
        # 3. Right after the fault is over, all is as if it had never been.
        site.cloud_way.heal()
        site.broker_way.heal()
        site.cloud.await_slot("extra", lambda slot, digest=digest: slot.running == digest, 60)
        site.infer()
    # Nothing was lost on the way home.
    wait_for(
        lambda: site.results() == set(range(1, site.sent + 1)),
        60,
        lambda: f"{len(site.results())} of {site.sent} results",
    )
    assert site.agent.status().outbox_dropped == 0


def _has_failed(site: Site) -> bool:
    slot = site.agent.status().slots.get("extra")
    return slot is not None and slot.state.error is not None


def test_one_of_many_devices_waits_its_turn_and_says_so_until_somebody_asks(site: Site) -> None:
    built = build_module(site.folder / "many", name="many", source=Input(topic="nobody/+"))
    site.cloud.publish_module(built)
    asked = len(site.cloud.requests)
    # So long that its turn does not come within a test.
    window = AgentSettings(fetch_spread_s=80_000)
    site.cloud.want("line-1", {"probe": site.probe, "many": wanted(built)}, window)
    slot = site.cloud.await_slot("many", lambda slot: slot.is_waiting_its_turn)
    assert (slot.attempts, slot.error) == (0, None)
    text = "\n".join(status_lines(site.agent.status()))
    assert "so that a fleet does not ask at once" in text
    assert len(site.cloud.requests) == asked
    order = Command(name="retry-slot", slot="many", deadline=soon())
    site.cloud.command("line-1", "now", order)
    site.cloud.await_slot("many", lambda slot: slot.running == built.digest)


def test_fifty_faults_leave_no_thread_and_no_descriptor_behind(site: Site) -> None:
    wait_for(site.is_connected, 30)
    threads, descriptors = site.used()
    quick = (Fault.RESET, Fault.TRUNCATE, Fault.REFUSED)
    for number in range(CYCLES):
        before = site.broker_way.accepted
        site.broker_way.set(quick[number % len(quick)])
        site.cloud_way.set(quick[number % len(quick)])
        wait_for(lambda: site.broker_way.open == 0, 30)
        site.broker_way.heal()
        site.cloud_way.heal()
        wait_for(lambda before=before: site.broker_way.accepted > before, 60)
        wait_for(site.is_connected, 60)
    site.infer()
    wait_for(
        lambda: site.used()[0] <= threads and site.used()[1] <= descriptors,
        30,
        lambda: f"{site.used()} now, {(threads, descriptors)} before",
    )
