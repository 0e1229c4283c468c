"""A slot at work: what it counts and measures, what it sends home, and what it does at rest."""

import json
import socket
from pathlib import Path

import pytest

from edge_agent.contract.manifest import (
    Output,
)
from edge_agent.contract.wire import MAX_ROW_BYTES
from edge_agent.runtime.mirror import Mirror
from edge_agent.runtime.mirrored import decode_packet
from edge_agent.runtime.protocol import WorkerUplink
from tests.support.live_slot import (
    BOOTED,
    Slot,
    row,
    scoring_engine,
    windowed_engine,
)


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

    slot = Slot(scoring_engine(output=Output(topic="results/{1}", uplink="all")), offer)
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

    slot = Slot(scoring_engine(output=Output(topic="results/{1}", uplink="all")), offer)
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

    slot = Slot(scoring_engine(output=Output(topic="results/{1}", uplink="all")), offer)
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
