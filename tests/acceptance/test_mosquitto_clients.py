"""Debian's mosquitto_pub as the sensor and mosquitto_sub as the reader, as a user would try it."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.agents import AgentProcess
from tests.support.brokers import MosquittoBroker
from tests.support.models import linear_model
from tests.support.service import CloudService
from tests.support.shoal_command import Shoal

pytestmark = pytest.mark.needs("mosquitto-clients")


@dataclass
class Bench:
    """A service and a device with one module, on one broker."""

    port: int

    def ask(self, payload: str, *, topic: str, protocol: str) -> list[tuple[str, dict[str, Any]]]:
        """Publish one message; everything that came back, by topic."""
        with subprocess.Popen(
            [
                *(
                    "stdbuf",
                    "-oL",
                    "mosquitto_sub",
                    "-d",
                    "-v",
                    "-V",
                    protocol,
                    "-p",
                    str(self.port),
                    "-q",
                    "1",
                ),
                *("-t", "data/line-1/#", "-C", "2", "-W", "30"),
            ],
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        ) as reader:
            assert reader.stdout is not None  # stdbuf: or the pipe would hold back its lines
            for line in reader.stdout:
                if "received SUBACK" in line:
                    break
            self.publish(payload, topic=topic, protocol=protocol).check_returncode()
            said = reader.stdout.read()
        found = []
        for line in said.splitlines():
            name, _, text = line.partition(" ")
            if name.startswith("data/line-1/out"):
                found.append((name, json.loads(text)))
        assert found, said
        return found

    def publish(
        self, payload: str, *, topic: str, protocol: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *("mosquitto_pub", "-V", protocol, "-p", str(self.port), "-q", "1"),
                *("-t", topic, "-m", payload),
            ],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )


@pytest.fixture(
    params=["embedded", pytest.param("mosquitto", marks=pytest.mark.needs("mosquitto"))]
)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    broker = MosquittoBroker(tmp_path / "mosquitto")
    if request.param == "mosquitto":
        broker.start()
    service = CloudService(
        tmp_path / "cloud", broker=broker.url if request.param == "mosquitto" else ""
    ).start()
    agent = AgentProcess(tmp_path / "agent", service.url, service.broker_url)
    agent.start()
    try:
        shoal = Shoal(service.url)
        model, folder = tmp_path / "lin.onnx", tmp_path / "lin"
        model.write_bytes(linear_model())
        shoal.ok("module", "init", str(folder), "--model", str(model))
        text = (folder / "module.toml").read_text()
        text = _set(text, "input", "topic", "in/+")
        text = _set(text, "output", "topic", "out/{1}")
        (folder / "module.toml").write_text(text + "trial = { seconds = 0.5 }\n")
        shoal.ok("module", "publish", str(folder))
        shoal.ok("device", "add", "line-1")
        shoal.ok("deploy", "lin", "--to", "line-1", "--wait", "60")
        yield Bench(urlsplit(service.broker_url).port or 0)
    finally:
        agent.stop()
        service.stop()
        broker.stop()


def _set(text: str, table: str, key: str, value: str) -> str:
    """Change one key of a module.toml, in its table."""
    head, _, rest = text.partition(f"[{table}]\n")
    lines = rest.splitlines(keepends=True)
    where = next(i for i, line in enumerate(lines) if line.startswith(f"{key} ="))
    lines[where] = f'{key} = "{value}"\n'
    return f"{head}[{table}]\n{''.join(lines)}"


def test_a_row_is_answered_and_a_bad_one_is_explained(bench: Bench, request: pytest.FixtureRequest):
    protocols = ["mqttv311"]
    if "mosquitto" in request.node.callspec.params.values():
        protocols.append("mqttv5")
    for protocol in protocols:
        row = '{"id": "a1", "f1": 1, "f2": 2, "f3": 3}'
        ((topic, answer),) = bench.ask(row, topic="data/line-1/in/x", protocol=protocol)
        assert topic == "data/line-1/out/x"
        assert answer["id"] == "a1"
        assert answer["outputs"]["score"] == [14.5]
        assert answer["version"] == 1

        bad = '{"id": "a2", "f1": "one", "f2": 2, "f3": 3}'
        ((topic, error),) = bench.ask(bad, topic="data/line-1/in/y", protocol=protocol)
        assert topic == "data/line-1/out/y/error"
        assert error["id"] == "a2"
        assert error["error"]["code"] == "wrong_type"
        assert error["error"]["field"] == "f1"


@pytest.mark.parametrize("bench", ["embedded"], indirect=True)
def test_the_embedded_broker_refuses_mqtt_5_in_words(bench: Bench):
    refused = bench.publish("{}", topic="data/line-1/in/x", protocol="mqttv5")
    assert refused.returncode != 0
    assert "Unsupported Protocol Version" in refused.stderr
