"""A real agent with its local HTTP server on a free port, a broker and a cloud by script."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cloud_sync.broker.embedded import EmbeddedBroker
from tests.support.agents import AgentProcess
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import build_module
from tests.support.waiting import wait_for

ANY_PORT = {"EDGE_AGENT_HTTP_LISTEN": "127.0.0.1:0"}


@dataclass
class HttpDevice:
    """The agent, and where its HTTP server listens."""

    agent: AgentProcess
    cloud: FakeCloud
    broker: EmbeddedBroker

    @property
    def url(self) -> str:
        def listening() -> str:
            http = self.agent.status().http
            return http.url if http is not None else ""

        return wait_for(listening, 30, lambda: self.agent.log)

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    def install(
        self, folder: Path, *, name: str = "probe", bias: float = 0.5, version: int = 1
    ) -> None:
        """Install a module in the slot of its name, and wait until it runs."""
        built = build_module(folder, name=name, bias=bias)
        self.cloud.publish_module(built)
        self.cloud.want("line-1", {name: wanted(built, version)})
        self.cloud.await_slot(name, lambda slot: slot.running == built.digest)

    def get(self, path: str) -> str:
        return httpx.get(self.url + path, timeout=30, trust_env=False).raise_for_status().text

    def ask(self, rows: list[list[float]]) -> httpx.Response:
        """Have rows answered by the slot `probe`."""
        url = f"{self.url}/v2/models/probe/infer"
        return httpx.post(url, json={"inputs": [tensor(rows)]}, timeout=30, trust_env=False)

    def infer(self, rows: list[list[float]]) -> Any:
        return self.ask(rows).raise_for_status().json()["outputs"][0]["data"]


def tensor(rows: list[list[float]]) -> dict[str, Any]:
    return {"name": "X", "shape": [len(rows), 3], "datatype": "FP32", "data": rows}


@contextmanager
def http_device(folder: Path) -> Iterator[HttpDevice]:
    """A device `line-1` without a module."""
    broker = EmbeddedBroker(folder / "broker")
    broker.start()
    cloud = FakeCloud()
    cloud.connect(broker.host, broker.port)
    agent = AgentProcess(folder / "line-1", cloud.url, broker.url, environment=ANY_PORT)
    agent.start()
    try:
        agent.await_status(30)
        yield HttpDevice(agent, cloud, broker)
    finally:
        agent.stop()
        cloud.close()
        broker.stop()
