"""A slot at work: what is counted, dropped and sent home."""

import json
import time
from typing import Any

from edge_agent.contract.manifest import (
    Input,
    Manifest,
    Output,
    Runtime,
    Tensor,
    Window,
    canonical,
    manifest_digest,
)
from edge_agent.contract.signature import TensorSpec
from edge_agent.contract.wire import MAX_ROW_BYTES
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.live import LiveSlot
from edge_agent.runtime.protocol import WorkerUplink
from tests.support.models import fields, identity_model, linear_model, manifest_of

TOPIC = "sensors/x/rows"
ROW = b'{"a": 1, "b": 1, "c": 1}'


def engine(**options: Any) -> Engine:
    model = linear_model()
    manifest: Manifest = manifest_of(
        model,
        [TensorSpec("X", "float32", (-1, 3))],
        [TensorSpec("score", "float32", (-1, 1))],
        [Tensor(name="X", source="fields", fields=fields("a", "b", "c"))],
        **options,
    )
    return Engine.load(canonical(manifest), manifest_digest(manifest), model, device="d", slot="s")


def windowed_engine() -> Engine:
    """Waits for two rows of a source before it answers."""
    spec = TensorSpec("X", "float32", (-1, 2, 3))
    model = identity_model(spec)
    manifest = manifest_of(
        model,
        [spec],
        [TensorSpec("X_out", "float32", (-1, 2, 3))],
        [Tensor(name="X", source="fields", fields=fields("a", "b", "c"))],
        source=Input(topic="sensors/+/rows", window=Window(size=2, step=2)),
    )
    return Engine.load(canonical(manifest), manifest_digest(manifest), model, device="d", slot="s")


def test_answers_and_failures_are_counted() -> None:
    counters = Counters()
    slot = LiveSlot(engine(), counters, lambda _: True)
    good = slot.handle(TOPIC, ROW, time.time())
    bad = slot.handle(TOPIC, b"nonsense", time.time())
    assert good is not None
    assert bad is not None
    assert (good.topic, bad.topic) == ("results/x/rows", "results/x/rows/error")
    health = counters.health(module="m", version=1, digest="", pid=7)
    assert (health.messages_in, health.messages_out) == (2, 1)
    assert health.failed == {"not_json": 1}
    assert health.total.p50_ms > 0
    assert health.rss_mb > 10


def test_a_message_that_waited_too_long_is_dropped_before_the_run() -> None:
    counters = Counters()
    slot = LiveSlot(engine(runtime=Runtime(deadline_ms=100)), counters, lambda _: True)
    assert slot.handle(TOPIC, ROW, time.time() - 1) is None
    assert counters.dropped == {"deadline": 1}
    assert slot.handle(TOPIC, ROW, time.time()) is not None


def test_a_topic_that_does_not_belong_here_is_dropped() -> None:
    counters = Counters()
    assert LiveSlot(engine(), counters, lambda _: True).handle("other", ROW, 0.0) is None
    assert counters.dropped == {"topic_mismatch": 1}


def test_windows_that_were_forgotten_are_counted() -> None:
    counters = Counters()
    slot = LiveSlot(windowed_engine(), counters, lambda _: True)
    for number in range(1030):
        slot.handle(f"sensors/{number}/rows", ROW, time.time())
    assert counters.dropped == {"window_forgotten": 6}


def test_results_for_the_cloud_are_dropped_and_counted_when_there_is_no_room() -> None:
    counters = Counters()
    home: list[WorkerUplink] = []

    def offer(event: WorkerUplink) -> bool:
        home.append(event)
        return len(home) == 1

    output = Output(topic="results/{1}", uplink="all")
    slot = LiveSlot(engine(output=output), counters, offer)
    for _ in range(3):
        assert slot.handle(TOPIC, ROW, 5.0) is not None
    assert counters.dropped == {"uplink_full": 2}
    assert home[0].time == 5.0
    assert json.loads(bytes(home[0].result))["outputs"] == {"score": [6.5]}


def test_a_result_that_no_message_can_carry_is_not_sent_home() -> None:
    counters = Counters()
    home: list[WorkerUplink] = []
    output = Output(topic="results/{1}", uplink="all")
    slot = LiveSlot(engine(output=output), counters, lambda event: home.append(event) or True)
    # The id is copied to the result.
    row = json.dumps({"id": "x" * MAX_ROW_BYTES, "a": 1, "b": 1, "c": 1}).encode()
    answer = slot.handle(TOPIC, row, 5.0)
    assert answer is not None
    assert len(answer.payload) > MAX_ROW_BYTES
    assert (counters.messages_out, counters.dropped, home) == (1, {"uplink_too_large": 1}, [])
