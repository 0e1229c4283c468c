"""What does counting scores cost a message? `python -m benchmarks.scores`

The same rows through the same random forest, without a broker, with and without a profile of two
columns in its manifest; in turns. Processor time, least of the rounds. Keys of the result:

- `alone_us`, `batch8_us`, `batch64_us`: a message's whole way through the worker without the
  network, one by one and with others that share its run.
- `added_alone_us`, `added_batch8_us`, `added_batch64_us`: what a profile adds to it; medians of
  the rounds' differences.
- `count_alone_us`, `count_batch64_us`: the counting by itself.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from msgspec.structs import replace

from benchmarks.report import Figure, finish
from benchmarks.tabular import FIELDS, build
from cloud_sync.authoring.score_bins import profile_of
from edge_agent.contract.manifest import Manifest, canonical, manifest_digest, read_manifest
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.live import LiveSlot
from edge_agent.runtime.message import Incoming
from edge_agent.runtime.outputs import RunOutputs
from edge_agent.runtime.protocol import Measured, RunsOn
from edge_agent.runtime.scores import ScoreCounts

ROUNDS: Final = 25
MESSAGES: Final = 1600
"""Of a round."""

COMPANY: Final = {"alone": 1, "batch8": 8, "batch64": 64}


def main() -> int:
    """Measure, print and write the result."""
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        spec = build(Path(folder), "scores", ("in/+", "out/{1}"))
        manifest = read_manifest(Path(spec.manifest_file).read_bytes())
        model = Path(spec.blob_files[manifest.model.blob.digest]).read_bytes()
    rows = [[float(score), float(1 - score)] for score in rng.random(1000)]
    health = replace(manifest.health, profile=profile_of("probabilities", rows))
    counting = replace(manifest, health=health)
    plain, counted = _slot(manifest, model), _slot(counting, model)
    messages = [
        Incoming(
            topic="in/a",
            payload=json.dumps({f"f{at}": float(value) for at, value in enumerate(row)}).encode(),
            received_s=0.0,
        )
        for row in rng.normal(size=(64, FIELDS))
    ]
    figures: dict[str, Figure] = {}
    for name, count in COMPANY.items():
        without, differences = [], []
        for _ in range(ROUNDS):
            first = _cost_us(lambda: _answer(plain, messages[:count]), count)  # noqa: B023
            second = _cost_us(lambda: _answer(counted, messages[:count]), count)  # noqa: B023
            without.append(first)
            differences.append(second - first)
        figures[f"{name}_us"] = round(min(without), 2)
        figures[f"added_{name}_us"] = round(statistics.median(differences), 2)
    scores = ScoreCounts.of(counting)
    if scores is not None:
        for name in ("alone", "batch64"):
            count = COMPANY[name]
            table = rng.random((count, 2)).astype(np.float32)
            run = RunOutputs([np.zeros(count, np.int64), table])
            costs = [_cost_us(lambda: scores.add(run), count) for _ in range(ROUNDS)]  # noqa: B023
            figures[f"count_{name}_us"] = round(min(costs), 3)
    finish("scores", figures, ["onnxruntime", "numpy"])
    return 0


def _slot(manifest: Manifest, model: bytes) -> LiveSlot:
    runs_on = RunsOn(measured=Measured(threads=1, batch_rows=64, batch_gain=3.0))
    data, digest = canonical(manifest), manifest_digest(manifest)
    engine = Engine.load(data, digest, model, device="d", slot="s", runs_on=runs_on)
    engine.warm_up()
    return LiveSlot(engine, Counters(), lambda _: True)


def _answer(slot: LiveSlot, messages: list[Incoming]) -> None:
    slot.offer(messages)
    while slot.due(0.0) is not None:
        slot.run(0.0)
    slot.sent(0.0)


def _cost_us(work: Callable[[], None], count: int) -> float:
    """Processor time for each of `count` messages, microseconds."""
    times = MESSAGES // count
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times / count * 1e6


if __name__ == "__main__":
    raise SystemExit(main())
