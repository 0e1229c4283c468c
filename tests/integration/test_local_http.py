"""The local HTTP server of a real agent, asked by the real clients of others."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from benchmarks.peers.environment import python_of
from cloud_sync.broker.embedded import EmbeddedBroker
from tests.support.agents import AgentProcess
from tests.support.http_device import ANY_PORT, HttpDevice, http_device, tensor
from tests.support.rows import RowsClient
from tests.support.waiting import wait_for

CLIENTS = Path(__file__).parents[1] / "clients"
SCORES = [[6.5], [1.5]]


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpDevice]:
    folder = tmp_path_factory.mktemp("http")
    with http_device(folder) as running:
        running.install(folder / "v1")
        yield running


def run_client(python: str, script: str, *arguments: str) -> Any:
    done = subprocess.run(
        [python, str(CLIENTS / script), *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_tritons_client_works_unchanged(device: HttpDevice) -> None:
    found = run_client(sys.executable, "triton.py", device.address, "probe")
    version = found["metadata"]["versions"][0]
    assert found["metadata"] == {
        "name": "probe",
        "versions": [version],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "score", "datatype": "FP32", "shape": [-1, 1]}],
    }
    yes = ("live", "ready", "model_ready", "model_ready_by_version")
    assert [found[name] for name in yes] == [True] * 4
    assert not found["other_version_ready"]
    assert not found["other_model_ready"]
    assert "binary_tensor_data" in found["server"]["extensions"]
    assert [(entry["name"], entry["state"]) for entry in found["index"]] == [("probe", "READY")]
    for way in ("json", "binary", "binary_in", "binary_out", "gzip", "deflate"):
        assert found[way] == {"score": SCORES, "id": way}
    assert found["defaults"] == SCORES
    assert found["async"] == [SCORES] * 10
    shape, missing, load, unload = found["errors"]
    assert shape[0] == "400"
    assert "X" in shape[1]
    assert missing[0] == "404"
    for status, text in (load, unload):
        assert status == "403"
        assert "desired state" in text


@pytest.mark.needs("kserve")
def test_kserves_client_works_unchanged(device: HttpDevice) -> None:
    found = run_client(str(python_of("kserve")), "kserve_rest.py", device.url, "probe")
    assert [found[name] for name in ("live", "ready", "model_ready")] == [True] * 3
    assert not found["other_model_ready"]
    for way in ("json", "binary", "binary_in", "binary_out"):
        assert found[way] == {"score": SCORES, "id": way}
    assert found["dict"] == [[6.5]]
    status, text = found["error"]
    assert status == 400
    assert "X" in text


def test_prometheus_reads_what_happened(device: HttpDevice) -> None:
    prefix = "data/line-1"
    rows = RowsClient(device.broker.host, device.broker.port)
    rows.listen(f"{prefix}/results/#")
    rows.send(f"{prefix}/sensors/a/rows", {"a": 1, "b": 1, "c": 1})
    assert rows.next_answer()["outputs"]["score"] == [6.5]
    rows.close()
    device.infer([[1, 1, 1]])

    def counted() -> str:
        text = device.get("/metrics")
        labels = 'module="probe",slot="probe",version="1"'
        given = f"shoal_slot_answered_messages_total{{{labels}}} "
        counts = [line for line in text.splitlines() if line.startswith(given)]
        # One over MQTT, and at least one over HTTP.
        return text if counts and float(counts[0].rpartition(" ")[2]) >= 2 else ""

    text = wait_for(counted, 30, lambda: device.get("/metrics"))
    assert 'shoal_http_requests_total{asks="infer",status="200"}' in text
    assert 'shoal_slot_phase{phase="' in text
    assert "shoal_slot_run_seconds_bucket" in text


def test_people_are_shown_where_it_listens(device: HttpDevice) -> None:
    def said(command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "edge_agent.cli", command, "-c", str(device.agent.config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, **device.agent.environment},
        )
        return done.stdout

    assert f"http      {device.url}\n" in said("status")
    assert "local HTTP" in said("check")


def test_only_the_agents_user_may_enter_a_workers_door(device: HttpDevice) -> None:
    folder = device.agent.state_dir / "run"
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "probe.door").stat().st_mode & 0o777 == 0o600


def test_the_server_needs_neither_numpy_nor_onnxruntime(device: HttpDevice) -> None:
    http = device.agent.status().http
    assert http is not None
    device.infer([[1, 1, 1]])
    maps = Path(f"/proc/{http.pid}/maps").read_text()
    assert "numpy" not in maps
    assert "onnxruntime" not in maps


def test_a_server_that_is_killed_is_started_again_and_costs_the_workers_nothing(
    device: HttpDevice,
) -> None:
    before = device.agent.status()
    assert before.http is not None
    os.kill(before.http.pid, signal.SIGKILL)

    def is_back() -> bool:
        http = device.agent.status().http
        assert before.http is not None
        return http is not None and http.restarts > before.http.restarts and bool(http.url)

    wait_for(is_back, 30, lambda: device.agent.log)
    assert device.infer([[1, 1, 1]]) == [6.5]
    worker, old = device.agent.status().slots["probe"].worker, before.slots["probe"].worker
    assert worker is not None
    assert old is not None
    assert worker.pid == old.pid


def test_a_worker_that_is_killed_is_asked_again_when_it_is_back(device: HttpDevice) -> None:
    worker = device.agent.status().slots["probe"].worker
    assert worker is not None
    assert device.infer([[1, 1, 1]]) == [6.5]
    os.kill(worker.pid, signal.SIGKILL)

    told: list[httpx.Response] = []

    def answers() -> bool:
        told.append(device.ask([[1, 1, 1]]))
        return told[-1].status_code == 200

    wait_for(answers, 60, lambda: device.agent.log)
    assert {answer.status_code for answer in told} <= {200, 503}


def test_a_new_version_takes_over_without_a_request_lost(
    device: HttpDevice, tmp_path: Path
) -> None:
    told: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask() -> None:
        client = http.client.HTTPConnection(device.address, timeout=60)
        body = json.dumps({"inputs": [tensor([[1, 1, 1]])]})
        while not stop.is_set():
            client.request("POST", "/v2/models/probe/infer", body)
            answer = client.getresponse()
            text = answer.read()
            version = json.loads(text).get("model_version", text.decode())
            told.append((answer.status, version))
        client.close()

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(told) > 20, 30)
        device.install(tmp_path / "v2", bias=1.5, version=2)
        wait_for(lambda: (200, "2") in told, 60, lambda: str(told[-1]))
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert {status for status, _ in told} == {200}, [t for t in told if t[0] != 200][:3]
    assert {version for _, version in told} == {"1", "2"}


def test_the_server_ends_with_its_agent(tmp_path: Path, nats_broker: EmbeddedBroker) -> None:
    agent = AgentProcess(
        tmp_path / "line-2",
        "http://127.0.0.1:9",
        nats_broker.url,
        device="line-2",
        environment=ANY_PORT,
    )
    for end in (agent.stop, agent.kill):
        agent.start()
        agent.await_status(30)

        def pid() -> int:
            http = agent.status().http
            return http.pid if http is not None and http.url else 0

        server = psutil.Process(wait_for(pid, 30, lambda: agent.log))
        end()
        wait_for(lambda process=server: not process.is_running(), 30)
