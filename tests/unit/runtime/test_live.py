"""A slot at work: what waits, shares a run, is dropped and answered."""

import json

import pytest

from edge_agent.runtime.live import AT_ONCE
from edge_agent.runtime.message import Incoming
from tests.support.live_slot import (
    TOPIC,
    Slot,
    row,
    scores,
)


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
