"""A slot at work: what waits, shares a run, is counted, dropped, sent home and answered."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
from edge_agent.contract.messages import SlotHealth
from edge_agent.contract.signature import TensorSpec
from edge_agent.contract.wire import MAX_ROW_BYTES
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.live import AT_ONCE, LiveSlot
from edge_agent.runtime.message import Incoming, Outgoing, Settled
from edge_agent.runtime.mirror import Mirror
from edge_agent.runtime.mirrored import decode_packet
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


def engine(**options: Any) -> Engine:
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
            engine or globals()["engine"](runtime=Runtime(**runtime)),
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


def test_answers_and_failures_are_counted() -> None:
    slot = Slot()
    good, bad = slot.ask(), slot.ask(b"nonsense")
    assert good is not None
    assert bad is not None
    assert (good.topic, bad.topic) == ("results/x/rows", "results/x/rows/error")
    health = slot.health()
    assert (health.messages_in, health.messages_out) == (2, 1)
    assert health.failed == {"not_json": 1}
    assert list(slot.counters.failures) == ["not_json"]
    assert slot.counters.failures["not_json"] in bad.payload.decode()
    assert health.rss_mb > 10
    assert health.runs_on == ("CPUExecutionProvider",)
    assert health.threads >= 1


def test_what_the_connection_cannot_carry_is_counted_and_no_result_that_was_published() -> None:
    slot = Slot()
    good, other, bad = slot.ask(), slot.ask(), slot.ask(b"nonsense")
    assert slot.health().messages_out == 2
    for answer in (good, bad):
        slot.live.left_out("answer_too_large", answer)
    slot.live.left_out("unreadable", None)
    assert slot.counters.messages_out == 1
    assert slot.health().messages_out == 2, "what was reported is never taken back"
    assert slot.health().dropped == {"answer_too_large": 2, "unreadable": 1}
    assert slot.ask() is not None
    assert slot.ask() is not None
    assert slot.health().messages_out == 3
    assert other is not None


def test_messages_that_wait_together_share_a_run_and_keep_their_answers() -> None:
    slot = Slot()
    messages = [slot.message(row(n)) for n in range(40)]
    assert slot.offer(*messages) == []
    assert slot.health().waiting == 40
    settled = slot.run()
    assert [item.token for item in settled] == [message.token for message in messages]
    assert scores(settled) == [n + 0.5 for n in range(40)]
    batches = slot.health().batches
    assert (batches.runs, batches.rows, batches.largest) == (1, 40, 40)
    assert slot.health().waiting == 0
    assert slot.run() == []


def test_a_turn_is_bounded_and_the_rest_waits_for_the_next() -> None:
    slot = Slot()
    slot.offer(*(slot.message(row(n)) for n in range(AT_ONCE + 5)))
    assert len(slot.run()) == AT_ONCE
    assert slot.health().waiting == 5
    assert scores(slot.run()) == [n + 0.5 for n in range(AT_ONCE, AT_ONCE + 5)]


def test_no_run_has_more_rows_than_the_module_allows() -> None:
    slot = Slot(max_batch=4)
    slot.offer(*(slot.message(row(n)) for n in range(10)))
    assert len(slot.run() + slot.run() + slot.run()) == 10
    assert slot.health().batches.largest == 4


def test_a_bad_message_costs_its_batch_nothing() -> None:
    slot = Slot()
    slot.offer(slot.message(row(1)), slot.message(b"nonsense"), slot.message(row(2)))
    first, bad, second = scores(slot.run())
    assert (first, second) == (1.5, 2.5)
    assert isinstance(bad, dict)
    assert bad["code"] == "not_json"
    assert slot.health().batches.runs == 1


@pytest.mark.parametrize(("ago_s", "is_late"), [(0.05, False), (1.0, True)])
def test_a_message_that_waited_too_long_is_dropped_before_the_run(
    ago_s: float, is_late: bool
) -> None:
    slot = Slot(deadline_ms=100)
    answer = slot.ask(arrived_s=slot.clock.now - ago_s)
    assert (answer is None) == is_late
    assert slot.health().dropped == ({"deadline": 1} if is_late else {})
    assert slot.health().batches.runs == (not is_late)


def test_an_expired_message_is_dropped_before_the_run() -> None:
    slot = Slot()
    assert slot.ask(expires_s=slot.clock.now) is None
    assert slot.ask(expires_s=slot.clock.now + 1) is not None
    assert slot.health().dropped == {"expired": 1}


def test_a_full_queue_drops_the_oldest() -> None:
    slot = Slot(max_queue=2)
    settled = slot.offer(*(slot.message(row(n)) for n in range(3)))
    assert [(item.token, item.answer) for item in settled] == [(1, None)]
    assert slot.health().dropped == {"overload": 1}
    assert scores(slot.run()) == [1.5, 2.5]


def test_a_full_queue_refuses_the_newest_with_an_error_where_the_answer_would_be() -> None:
    slot = Slot(max_queue=1, overload="reject")
    (refused,) = slot.offer(
        slot.message(row(1)),
        slot.message(row(2), reply_to="replies/me", correlation=b"7"),
    )
    assert refused.answer is not None
    assert refused.answer.topic == "replies/me"
    assert refused.answer.correlation == b"7"
    body = json.loads(refused.answer.payload)
    assert (body["error"]["code"], body["correlation"]) == ("overloaded", "7")
    assert slot.health().failed == {"overloaded": 1}
    assert scores(slot.run()) == [1.5]


def test_only_the_latest_of_a_topic_is_answered() -> None:
    slot = Slot(latest_only=True)
    settled = slot.offer(*(slot.message(row(n)) for n in range(3)))
    assert [item.answer for item in settled] == [None, None]
    assert scores(slot.run()) == [2.5]
    assert slot.health().dropped == {"superseded": 2}


def test_what_comes_again_after_a_lost_connection_does_not_wait_twice() -> None:
    slot = Slot()
    qos_0 = Incoming(topic=TOPIC, payload=row(9), received_s=slot.clock.now)
    slot.offer(slot.message(), qos_0, slot.message())
    slot.live.withdraw()
    assert scores(slot.run()) == [9.5]
    assert slot.health().dropped == {"withdrawn": 2}


def test_nothing_waits_by_default() -> None:
    slot = Slot()
    assert slot.live.due(slot.clock.now) is None
    slot.offer(slot.message())
    assert slot.live.due(slot.clock.now) == 0.0


def test_a_batch_waits_for_company_as_long_as_the_module_says() -> None:
    slot = Slot(max_delay_ms=20, max_batch=3)
    slot.offer(slot.message())
    now = slot.clock.now
    assert slot.live.due(now) == pytest.approx(0.02)
    assert slot.live.due(now + 0.015) == pytest.approx(0.005, abs=1e-6)
    assert slot.live.due(now + 1) == 0.0
    slot.offer(slot.message(), slot.message())
    assert slot.live.due(now) == 0.0, "the batch is full"


def test_nobody_waits_for_company_that_shares_no_run() -> None:
    slot = Slot(max_delay_ms=20, max_batch=1)
    slot.offer(slot.message())
    assert slot.live.due(slot.clock.now) == 0.0


def test_a_topic_that_does_not_belong_here_is_dropped() -> None:
    slot = Slot()
    assert slot.ask(topic="other") is None
    assert slot.health().dropped == {"topic_mismatch": 1}


def test_windows_that_were_forgotten_are_counted() -> None:
    slot = Slot(windowed_engine())
    for number in range(1030):
        slot.ask(topic=f"sensors/{number}/rows")
    assert slot.health().dropped == {"window_forgotten": 6}


def test_every_stage_is_measured_in_the_contracts_buckets() -> None:
    slot = Slot()
    now = slot.clock.now
    slot.offer(
        *(slot.message(arrived_s=now - 0.02) for _ in range(2)),
        slot.message(arrived_s=now - 0.004),
        slot.message(b"nonsense"),
    )
    slot.run()
    health = slot.health()
    assert (health.queue.count, health.total.count) == (4, 4)
    assert health.queue.max_ms == pytest.approx(20, abs=0.1)
    assert (health.decode.count, health.encode.count, health.run.count) == (3, 3, 1)
    assert sum(health.queue.buckets) == 4
    assert health.run.sum_ms > 0


@pytest.mark.parametrize(
    ("said", "expected"),
    [(-0.5, 500), (-0.5e3, 500), (None, None), ("noon", None), (12.5, None)],
)
def test_the_age_of_a_message_is_counted_if_it_says_when_it_was_measured(
    said: float | str | None, expected: float | None
) -> None:
    slot = Slot()
    if said == -0.5:
        said = BOOTED + slot.clock.now - 0.5
    elif said == -0.5e3:  # milliseconds
        said = (BOOTED + slot.clock.now) * 1e3 - 500
    slot.ask(json.dumps({"a": 1, "b": 1, "c": 1, "time": said}).encode())
    age = slot.health().age
    assert age.count == (expected is not None)
    assert age.max_ms == pytest.approx(expected or 0.0, abs=0.1)


def test_the_age_is_that_of_the_clock_that_the_message_arrived_by() -> None:
    slot = Slot()
    arrived_s = slot.clock.now - 0.25  # it waited for a quarter of a second
    received_s = BOOTED + 3600.0  # the clock was set just before it came
    said = received_s - 0.5
    payload = json.dumps({"a": 1, "b": 1, "c": 1, "time": said}).encode()
    slot.ask(payload, arrived_s=arrived_s, received_s=received_s)
    assert slot.health().age.max_ms == pytest.approx(750, abs=0.1)


def test_a_clock_that_is_set_ends_no_deadline_and_delays_no_batch() -> None:
    slot = Slot(max_delay_ms=20, max_batch=3, deadline_ms=100)
    for wall in (BOOTED - 3600, BOOTED + 3600, 0.0, BOOTED + 10 * 365 * 86_400):
        slot.offer(slot.message(received_s=wall))
    assert len(slot.run()) == 3
    assert slot.live.due(slot.clock.now) == pytest.approx(0.02)
    slot.run()
    assert slot.health().dropped == {}


def test_results_for_the_cloud_are_dropped_and_counted_when_there_is_no_room() -> None:
    home: list[WorkerUplink] = []

    def offer(event: WorkerUplink) -> bool:
        home.append(event)
        return len(home) == 1

    slot = Slot(engine(output=Output(topic="results/{1}", uplink="all")), offer)
    for _ in range(3):
        assert slot.ask(arrived_s=5.0) is not None
    assert slot.health().dropped == {"uplink_full": 2}
    assert home[0].arrived_s == 5.0
    assert json.loads(bytes(home[0].result))["outputs"] == {"score": [6.5]}


def test_a_result_that_no_message_can_carry_is_not_sent_home() -> None:
    home: list[WorkerUplink] = []

    def offer(event: WorkerUplink) -> bool:
        home.append(event)
        return True

    slot = Slot(engine(output=Output(topic="results/{1}", uplink="all")), offer)
    # The id is copied to the result.
    answer = slot.ask(json.dumps({"id": "x" * MAX_ROW_BYTES, "a": 1, "b": 1, "c": 1}).encode())
    assert answer is not None
    assert len(answer.payload) > MAX_ROW_BYTES
    assert slot.health().messages_out == 1
    assert (slot.health().dropped, home) == ({"uplink_too_large": 1}, [])


def test_a_shadow_is_told_how_many_messages_were_not_run_and_why(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(path))
        ear.settimeout(30)
        mirror = Mirror(version=1, digest="sha256:x")
        mirror.aim(str(path))
        slot = Slot(mirror=mirror, max_queue=1)
        slot.ask()
        mirror.send()
        slot.offer(*(slot.message(row(n)) for n in range(3)))
        slot.run()
        mirror.send()
        packets = [decode_packet(ear.recv(1 << 20)) for _ in range(2)]
        mirror.close()
    assert [len(messages) for _, messages in packets] == [1, 1]
    assert packets[-1][0].shed == {"overload": 2}


def test_what_nobody_waits_for_is_done_when_the_answers_have_left() -> None:
    home: list[WorkerUplink] = []

    def offer(event: WorkerUplink) -> bool:
        home.append(event)
        return True

    slot = Slot(engine(output=Output(topic="results/{1}", uplink="all")), offer)
    now = slot.clock.now
    slot.offer(slot.message(), slot.message(b"nonsense"))
    assert len(slot.live.run(now)) == 2
    before = slot.health()
    assert (before.messages_out, before.failed, before.run.count, home) == (0, {}, 0, [])
    slot.live.sent(now + 0.25)
    health = slot.health()
    assert (health.messages_out, health.failed, len(home)) == (1, {"not_json": 1}, 1)
    assert (health.run.count, health.batches.rows) == (1, 1)
    assert health.total.max_ms == 250.0, "until the answer had left"
    assert health.queue.max_ms == 0.0
    slot.live.sent(now + 1)
    assert slot.health().messages_out == 1, "once"


def test_a_batch_is_written_down_although_nobody_said_that_it_left() -> None:
    slot = Slot()
    for _ in range(2):
        slot.offer(slot.message())
        slot.live.run(slot.clock.now)
    assert slot.health().messages_out == 1
