"""A slot at work without a broker: offered messages by hand, run by hand, by a clock of its own."""

import json
from collections.abc import Callable
from typing import Any

from edge_agent.contract.manifest import (
    Input,
    Manifest,
    Runtime,
    Tensor,
    Window,
    canonical,
    manifest_digest,
)
from edge_agent.contract.messages import SlotHealth
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.live import LiveSlot
from edge_agent.runtime.message import Incoming, Outgoing, Settled
from edge_agent.runtime.mirror import Mirror
from edge_agent.runtime.protocol import WorkerUplink
from tests.support.models import fields, identity_model, linear_model, manifest_of

TOPIC = "sensors/x/rows"
ROW = b'{"a": 1, "b": 1, "c": 1}'


BOOTED = 1_700_000_000.0
"""When the machine started that these clocks are of, seconds since 1970."""


class Clock:
    """A clock that stands still unless it is set."""

    def __init__(self, now: float = 5000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def scoring_engine(**options: Any) -> Engine:
    model = linear_model()
    manifest: Manifest = manifest_of(
        model,
        [TensorSpec("X", "float32", (-1, 3))],
        [TensorSpec("score", "float32", (-1, 1))],
        [Tensor(name="X", source="fields", fields=fields("a", "b", "c"))],
        **options,
    )
    return load(manifest, model)


def load(manifest: Manifest, model: bytes) -> Engine:
    engine = Engine.load(
        canonical(manifest), manifest_digest(manifest), model, device="d", slot="s"
    )
    engine.warm_up()
    return engine


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
    return load(manifest, model)


class Slot:
    """A live slot with its counters, and a clock that is set by hand."""

    def __init__(
        self,
        engine: Engine | None = None,
        offer_uplink: Callable[[WorkerUplink], bool] = lambda _: True,
        mirror: Mirror | None = None,
        **runtime: Any,
    ) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.live = LiveSlot(
            engine or scoring_engine(runtime=Runtime(**runtime)),
            self.counters,
            offer_uplink,
            mirror,
        )
        self._token = 0

    def message(self, payload: bytes = ROW, topic: str = TOPIC, **options: Any) -> Incoming:
        self._token += 1
        arrived_s = options.pop("arrived_s", self.clock.now)
        times = {"arrived_s": arrived_s, "received_s": arrived_s + BOOTED, **options}
        return Incoming(topic=topic, payload=payload, token=self._token, **times)

    def offer(self, *messages: Incoming) -> list[Settled]:
        return self.live.offer(messages)

    def run(self) -> list[Settled]:
        settled = self.live.run(self.clock.now)
        self.live.sent(self.clock.now)
        return settled

    def ask(self, payload: bytes = ROW, topic: str = TOPIC, **options: Any) -> Outgoing | None:
        """Offer one message and run it."""
        message = self.message(payload, topic, **options)
        settled = self.offer(message) or self.run()
        assert [item.token for item in settled] == [message.token]
        return settled[0].answer

    def health(self) -> SlotHealth:
        return self.counters.health(module="m", version=1, digest="", pid=7)


def scores(settled: list[Settled]) -> list[object]:
    found: list[object] = []
    for item in settled:
        body = json.loads(item.answer.payload) if item.answer else {}
        found.append(body["outputs"]["score"][0] if "outputs" in body else body.get("error"))
    return found


def row(a: float) -> bytes:
    return json.dumps({"a": a, "b": 0, "c": 0}).encode()
