"""The service between a device and a broker that a proxy takes from it, in every quick way."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge_agent.contract.manifest import Output
from tests.support.agents import AgentProcess
from tests.support.brokers import EmbeddedBroker
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.models import BuiltModule, build_module
from tests.support.rows import RowsClient
from tests.support.service import CloudService
from tests.support.waiting import wait_for

FAULTS: dict[Fault, dict[str, Any]] = {
    Fault.REFUSED: {},
    Fault.RESET: {"after_bytes": 500},
    Fault.TRUNCATE: {"after_bytes": 500},
    Fault.BLACK_HOLE: {},
    Fault.DELAY: {"delay_s": 0.2},
}


@dataclass
class Site:
    """A service, its way to the broker, and a device that has its own."""

    service: CloudService
    way: FaultProxy
    agent: AgentProcess
    rows: RowsClient

    def publish(self, built: BuiltModule) -> None:
        with httpx.Client(base_url=self.service.url, timeout=30) as http:
            for digest, file in built.blob_files.items():
                http.put(f"/v1/blobs/{digest}", content=Path(file).read_bytes()).raise_for_status()
            manifest = built.manifest_file.read_bytes()
            http.post("/v1/modules", content=manifest).raise_for_status()

    def deploy(self, version: int) -> None:
        wish = {"module": "probe", "version": version, "to": "line-1"}
        httpx.post(f"{self.service.url}/v1/deployments", json=wish, timeout=30).raise_for_status()

    def running(self) -> int:
        """The version that the service knows to run, 0 if none."""
        found = httpx.get(f"{self.service.url}/v1/devices/line-1", timeout=30)
        if found.status_code != 200:
            return 0
        slot = found.json()["summary"]["slots"].get("probe")
        return int(slot["running_version"]) if slot else 0

    def results(self) -> set[int]:
        """Ids of the results that the service has."""
        found = httpx.get(
            f"{self.service.url}/v1/results", params={"device": "line-1", "limit": 1000}, timeout=30
        )
        return {row["result"]["id"] for row in found.json()}

    def infer(self, number: int) -> None:
        """Send a row, and wait for its answer."""
        row = {"id": number, "a": 1, "b": 1, "c": 1}
        self.rows.send("data/line-1/sensors/a/rows", row)
        wait_for(lambda: self.rows.answers and self.rows.next_answer()["id"] == number, 30)


@pytest.fixture
def site(tmp_path: Path, nats_broker: EmbeddedBroker) -> Iterator[Site]:
    way = FaultProxy(nats_broker.port)
    service = CloudService(tmp_path / "cloud", broker=f"mqtt://127.0.0.1:{way.port}").start()
    agent = AgentProcess(tmp_path / "line-1", service.url, nats_broker.url)
    rows = RowsClient(nats_broker.host, nats_broker.port)
    rows.listen("data/line-1/results/#")
    yield Site(service, way, agent, rows)
    agent.stop()
    service.stop()
    rows.close()
    way.close()


def test_a_service_that_loses_its_broker_misses_no_result_and_its_orders_arrive(
    site: Site, tmp_path: Path
) -> None:
    site.agent.start()
    site.agent.await_status(30)
    wait_for(lambda: httpx.get(f"{site.service.url}/v1/devices/line-1").status_code == 200, 30)
    output = Output(topic="results/{1}/rows", uplink="all")
    for version in range(1, len(FAULTS) + 2):
        built = build_module(tmp_path / f"v{version}", bias=float(version), output=output)
        site.publish(built)
    site.deploy(1)
    wait_for(lambda: site.running() == 1, 60, lambda: site.agent.log[-3000:])
    sent = 0
    for version, (fault, figures) in enumerate(FAULTS.items(), start=2):
        site.way.set(fault, **figures)
        for _ in range(3):
            sent += 1
            site.infer(sent)
        site.deploy(version)
        site.way.heal()
        wait_for(
            lambda version=version: site.running() == version,
            60,
            lambda: site.service.log()[-3000:],
        )
    wait_for(
        lambda: site.results() == set(range(1, sent + 1)),
        60,
        lambda: f"{len(site.results())} of {sent} results",
    )
