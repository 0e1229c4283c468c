"""How long does a request over HTTP take, and what does the server weigh?

    python -m benchmarks.http [--peers] [--requests 2000] [--rounds 5]

A random forest of 50 trees on the Shuttle data, one row a request, one request at a time, on one
kept connection, the same JSON bytes for everybody. With `--peers`, KServe and MLServer answer
beside us in the same run, in turns with us; each is installed into an environment of its own
first (`python -m benchmarks.peers`); `python -m benchmarks` runs it with them where they are
installed. The latest result with peers stays in `http-peers.json`. Keys of the result:

- `http_p50_ms`, `http_p99_ms`: our JSON round trip; `http_binary_p50_ms`: with raw tensors.
- `raw_ort_p50_ms`: the call of onnxruntime alone, in this process: the floor.
- `http_pss_mb`: memory of our HTTP server and of the worker with the model together;
  `http_server_pss_mb` and `http_worker_pss_mb` are its parts.
- `peer_NAME_p50_ms`, `peer_NAME_p99_ms`, `peer_NAME_pss_mb`: a peer's.

Memory is PSS: pages that processes share are divided among them.
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import Any, Final

import msgspec
import numpy as np
import onnxruntime
import psutil

from benchmarks.peers.environment import make
from benchmarks.peers.serving import servers
from benchmarks.report import Figure, finish, say
from cloud_sync.authoring.build import Built, build
from cloud_sync.authoring.reference import load_training, reference_module
from cloud_sync.broker.embedded import EmbeddedBroker
from edge_agent.contract.manifest import canonical
from tests.support.agents import AgentProcess
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import BuiltModule
from tests.support.waiting import wait_for

TREES: Final = 50
ROWS: Final = 500
WARM: Final = 200
READY_S: Final = 90.0
PACKAGES: Final = ("onnxruntime", "numpy", "httptools")


class Subject(msgspec.Struct, frozen=True):
    """Something that answers requests.

    Attributes:
        port: on loopback.
        path: of the model.
        bodies: requests, sent in turns.
        headers: of each.
    """

    port: int
    path: str
    bodies: list[bytes]
    headers: dict[str, str]


def main() -> int:
    parser = argparse.ArgumentParser(description="Latency and memory over HTTP.")
    parser.add_argument("--peers", action="store_true", help="measure KServe and MLServer, too")
    parser.add_argument("--requests", type=int, default=2000, help="of each, in each round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shoal-http-")))
        built, rows, model = _module(folder)
        agent, port = stack.enter_context(_running_agent(folder, built))
        slot = built.manifest.name
        path = f"/v2/models/{slot}/infer"
        subjects = {
            "http": Subject(port, path, [_json(row) for row in rows], _JSON),
            "http_binary": Subject(port, path, *_binary(rows)),
        }
        processes: dict[str, int] = {}
        if options.peers:
            for name, start in servers(folder, folder / "model.onnx").items():
                say(f"starting {name}")
                make(name)
                peer = stack.enter_context(start())
                processes[name] = peer.pid
                bodies = [_json(row) for row in rows]
                subjects[f"peer_{name}"] = Subject(peer.port, peer.path, bodies, _JSON)
        for name, subject in subjects.items():
            _check(name, subject, rows, model)
        say("measuring")
        times = _measure(subjects, options.requests, options.rounds)
        figures: dict[str, Figure] = {}
        for name, rounds in times.items():
            figures[f"{name}_p50_ms"] = _median(rounds, 0.5)
            figures[f"{name}_p99_ms"] = _median(rounds, 0.99)
        raw = _raw(model, rows, options.requests, options.rounds)
        figures["raw_ort_p50_ms"] = _median(raw, 0.5)
        figures["raw_ort_p99_ms"] = _median(raw, 0.99)
        figures |= _memory(agent, slot)
        for name, pid in processes.items():
            figures[f"peer_{name}_pss_mb"] = round(_pss_mb(pid, is_family=True), 1)
        figures |= {"trees": TREES, "requests": options.requests, "rounds": options.rounds}
    finish("http", figures, PACKAGES, variant="peers" if options.peers else "")
    return 0


_JSON: Final = {"Content-Type": "application/json"}


def _module(folder: Path) -> tuple[Built, np.ndarray[Any, Any], onnxruntime.InferenceSession]:
    say(f"training a forest of {TREES} trees")
    training = load_training(reference_module("shuttle_anomaly"))
    training.train(folder / "module", trees=TREES)
    built = build(folder / "module")
    data = built.files[built.manifest.model.blob.digest].read_bytes()
    (folder / "model.onnx").write_bytes(data)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return built, training.held_out()[0][:ROWS], onnxruntime.InferenceSession(data, options)


@contextmanager
def _running_agent(folder: Path, built: Built) -> Iterator[tuple[AgentProcess, int]]:
    """A real agent with the module in a slot; the port of its HTTP server."""
    manifest_file = folder / "manifest.json"
    manifest_file.write_bytes(canonical(built.manifest))
    files = {digest: str(path) for digest, path in built.files.items()}
    module = BuiltModule(built.manifest, built.digest, manifest_file, files)
    broker, cloud = EmbeddedBroker(folder / "broker"), FakeCloud()
    broker.start()
    agent = AgentProcess(
        folder / "bench-1",
        cloud.url,
        broker.url,
        device="bench-1",
        environment={"EDGE_AGENT_HTTP_LISTEN": "127.0.0.1:0"},
    )
    try:
        cloud.connect(broker.host, broker.port)
        cloud.publish_module(module)
        agent.start()
        agent.await_status(READY_S)
        cloud.want("bench-1", {built.manifest.name: wanted(module)})
        cloud.await_slot(
            built.manifest.name, lambda slot: slot.running == built.digest, timeout_s=READY_S
        )

        def listening() -> str:
            found = agent.status().http
            return found.url if found is not None else ""

        url = wait_for(listening, READY_S)
        yield agent, int(url.rpartition(":")[2])
    finally:
        agent.stop()
        cloud.close()
        broker.stop()


def _json(row: np.ndarray[Any, Any]) -> bytes:
    tensor = {"name": "X", "shape": [1, len(row)], "datatype": "FP32", "data": row.tolist()}
    return json.dumps({"inputs": [tensor]}).encode()


def _binary(rows: np.ndarray[Any, Any]) -> tuple[list[bytes], dict[str, str]]:
    raw = [row.astype("<f4").tobytes() for row in rows]
    tensor = {
        "name": "X",
        "shape": [1, rows.shape[1]],
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(raw[0])},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return [head + data for data in raw], headers


def _connected(subject: Subject) -> http.client.HTTPConnection:
    client = http.client.HTTPConnection("127.0.0.1", subject.port, timeout=30)
    client.connect()
    client.sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    return client


def _ask(client: http.client.HTTPConnection, subject: Subject, number: int) -> bytes:
    body = subject.bodies[number % len(subject.bodies)]
    client.request("POST", subject.path, body, subject.headers)
    answer = client.getresponse()
    data = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{subject.path}: {answer.status} {data!r:.500}")
    return data


def _check(
    name: str,
    subject: Subject,
    rows: np.ndarray[Any, Any],
    model: onnxruntime.InferenceSession,
) -> None:
    """Nobody is measured who does not answer what the model says."""
    labels = model.run(["label"], {"X": rows})[0]
    with closing(_connected(subject)) as client:
        for number in range(WARM):
            data = _ask(client, subject, number)
            if subject.headers is _JSON:
                outputs = {item["name"]: item["data"] for item in json.loads(data)["outputs"]}
                if outputs["label"] != [labels[number % len(rows)]]:
                    raise RuntimeError(f"{name} answers {outputs} to row {number}")


def _measure(
    subjects: dict[str, Subject], requests: int, rounds: int
) -> dict[str, list[list[float]]]:
    """Milliseconds of each request, by round; everybody in turns."""
    times: dict[str, list[list[float]]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, subject in subjects.items():
            with closing(_connected(subject)) as client:
                for number in range(20):
                    _ask(client, subject, number)
                found: list[float] = []
                for number in range(requests):
                    began = time.perf_counter()
                    _ask(client, subject, number)
                    found.append((time.perf_counter() - began) * 1e3)
                times[name].append(found)
    return times


def _raw(
    model: onnxruntime.InferenceSession, rows: np.ndarray[Any, Any], requests: int, rounds: int
) -> list[list[float]]:
    times: list[list[float]] = []
    for _ in range(rounds):
        found: list[float] = []
        for number in range(requests):
            index = number % len(rows)
            feed = {"X": rows[index : index + 1]}
            began = time.perf_counter()
            model.run(["label", "probabilities"], feed)
            found.append((time.perf_counter() - began) * 1e3)
        times.append(found)
    return times


def _median(rounds: list[list[float]], share: float) -> float:
    return round(
        statistics.median(sorted(found)[int(share * (len(found) - 1))] for found in rounds), 4
    )


def _memory(agent: AgentProcess, slot: str) -> dict[str, Figure]:
    status = agent.status()
    worker = status.slots[slot].worker
    if status.http is None or worker is None:
        raise RuntimeError(f"the slot or the server is gone: {status}")
    server_mb, worker_mb = _pss_mb(status.http.pid), _pss_mb(worker.pid)
    return {
        "http_pss_mb": round(server_mb + worker_mb, 1),
        "http_server_pss_mb": round(server_mb, 1),
        "http_worker_pss_mb": round(worker_mb, 1),
    }


def _pss_mb(pid: int, *, is_family: bool = False) -> float:
    process = psutil.Process(pid)
    family = [process, *(process.children(recursive=True) if is_family else [])]
    return float(sum(one.memory_full_info().pss for one in family) / 1e6)


if __name__ == "__main__":
    sys.exit(main())
