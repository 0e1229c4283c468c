"""The small parts of a worker: histogram, uplink rule, pending messages, retries, broker URLs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract.messages import BATCH_BOUNDS, TIME_BOUNDS_MS, BatchSizes
from edge_agent.errors import ConfigError
from edge_agent.runtime.broker_url import BrokerEndpoint, parse_broker_url
from edge_agent.runtime.histogram import BatchHistogram, Histogram
from edge_agent.runtime.leaving import ANSWER_S, LONGEST_S, Step, next_step
from edge_agent.runtime.pending import REMEMBERED, Pending, Receipt
from edge_agent.runtime.uplink import UplinkRule


@given(st.lists(st.floats(0.5, 1e9), min_size=1, max_size=200), st.sampled_from([0.5, 0.99, 1.0]))
def test_quantiles_are_within_a_few_percent(durations_us: list[float], share: float) -> None:
    histogram = Histogram()
    for duration in durations_us:
        histogram.record(duration)
    exact = sorted(durations_us)[max(0, int(np.ceil(share * len(durations_us))) - 1)]
    assert histogram.quantile_us(share) == pytest.approx(exact, rel=0.07, abs=0.07)
    assert histogram.count == len(durations_us)


def test_histogram_takes_what_a_clock_step_makes_of_a_duration() -> None:
    histogram = Histogram()
    for duration in (-5.0, 0.0, 1e15):
        histogram.record(duration)
    assert histogram.count == 3
    assert histogram.quantile_us(0.5) < 1
    assert Histogram().timing().p99_ms == 0


@given(st.lists(st.tuples(st.floats(0, 4e6), st.integers(1, 9)), min_size=1, max_size=50))
def test_buckets_are_exact_and_add_up(durations: list[tuple[float, int]]) -> None:
    histogram = Histogram()
    for duration_us, times in durations:
        histogram.record(duration_us, times)
    timing = histogram.timing()
    assert timing.count == sum(timing.buckets) == sum(times for _, times in durations)
    assert timing.sum_ms == pytest.approx(sum(d * n for d, n in durations) / 1e3, abs=1e-3)
    bounds_us = [bound * 1e3 for bound in TIME_BOUNDS_MS]
    for place, bound_us in enumerate(bounds_us):
        expected = sum(times for duration_us, times in durations if duration_us <= bound_us)
        assert sum(timing.buckets[: place + 1]) == expected
    assert len(timing.buckets) == len(bounds_us) + 1


def test_batch_sizes_are_counted_by_run_and_by_row() -> None:
    sizes = BatchHistogram()
    assert sizes.sizes() == BatchSizes()
    for rows in (1, 1, 3, 4, 5000):
        sizes.record(rows)
    found = sizes.sizes()
    assert (found.runs, found.rows, found.largest) == (5, 5009, 5000)
    assert dict(zip((*BATCH_BOUNDS, "more"), found.buckets, strict=True)) == dict.fromkeys(
        (*BATCH_BOUNDS, "more"), 0
    ) | {1: 2, 4: 2, "more": 1}


def test_uplink_takes_all_none_a_share_or_changes() -> None:
    def taken(rule: str, values: list[object]) -> int:
        uplink = UplinkRule(rule)
        return sum(uplink.wants("t", np.array(value)) for value in values)

    assert taken("all", [1] * 10) == 10
    assert taken("none", [1] * 10) == 0
    assert taken("sample:0.1", [1] * 1000) == pytest.approx(100, abs=3)
    assert taken("sample:1", [1] * 10) == 10
    assert taken("sample:0", [1] * 10) == 0
    assert taken("changes", [1, 1, 2, 2, 1]) == 3
    assert taken("changes", [["a"], ["a"], ["b"]]) == 2
    # Only samples stand for others, and may be the first to be left out.
    assert [UplinkRule(rule).is_sample for rule in ("all", "changes", "sample:0.5")] == [
        False,
        False,
        True,
    ]


def test_changes_are_of_each_source_topic() -> None:
    uplink = UplinkRule("changes")
    assert uplink.wants("a", np.array(1))
    assert uplink.wants("b", np.array(1))
    assert not uplink.wants("a", np.array(1))


def test_an_input_is_acknowledged_when_its_result_was() -> None:
    pending = Pending()
    assert pending.received(7, 1, is_dup=False) is Receipt.NEW
    assert len(pending) == 1
    assert pending.received(7, 1, is_dup=True) is Receipt.OPEN, "it waits for its turn"
    pending.answered(7, result_id=100)
    assert pending.received(7, 1, is_dup=True) is Receipt.OPEN, "its result is on its way"
    assert pending.is_result(100)
    assert pending.acknowledged(999) is None
    assert pending.acknowledged(100) == 7
    assert len(pending) == 0
    assert pending.unconfirmed == 0


def test_a_copy_that_crossed_our_acknowledgement_is_known() -> None:
    pending = Pending()
    pending.received(7, 1, is_dup=False)
    pending.settled(7)
    assert pending.received(7, 1, is_dup=True) is Receipt.SETTLED
    assert pending.received(7, 2, is_dup=True) is Receipt.NEW, "another message was given the id"


def test_a_message_that_was_left_to_a_successor_is_not_open() -> None:
    pending = Pending()
    pending.received(7, 1, is_dup=False)
    pending.forget(7)
    assert len(pending) == 0
    assert pending.received(7, 1, is_dup=True) is Receipt.NEW


def test_only_so_many_settled_messages_are_remembered() -> None:
    pending = Pending()
    for packet_id in range(1, REMEMBERED + 2):
        pending.received(packet_id, packet_id, is_dup=False)
        pending.settled(packet_id)
    assert pending.received(2, 2, is_dup=True) is Receipt.SETTLED
    assert pending.received(1, 1, is_dup=True) is Receipt.NEW


def test_broker_urls_are_taken_apart() -> None:
    assert parse_broker_url("mqtt://h") == BrokerEndpoint("h", 1883, False, "", "")
    assert parse_broker_url("mqtts://u:p%40ss@h:1/") == BrokerEndpoint("h", 1, True, "u", "p@ss")


@pytest.mark.parametrize(
    "url", ["", "h:1883", "http://h", "mqtt://", "mqtt://h:99999", "mqtt://h/x"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_broker_url(url)
    assert caught.value.code == "broker_url_invalid"


@pytest.mark.parametrize("url", ["mqtt://user:secret@host:x", "mqtt://user:secret/more@host"])
def test_a_refused_url_does_not_show_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_broker_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("step", "elapsed_s", "is_quiet", "unsettled", "is_confirmed", "expected"),
    [
        (Step.ANSWER, 0.0, True, 0, False, Step.CONFIRM),
        (Step.ANSWER, 0.0, False, 0, False, Step.ANSWER),
        (Step.ANSWER, 0.0, True, 3, False, Step.ANSWER),
        (Step.ANSWER, ANSWER_S + 0.1, False, 3, False, Step.DRAIN),
        (Step.DRAIN, ANSWER_S + 0.2, False, 1, False, Step.DRAIN),
        (Step.DRAIN, ANSWER_S + 0.2, False, 0, False, Step.CONFIRM),
        (Step.CONFIRM, ANSWER_S + 0.3, False, 0, False, Step.CONFIRM),
        (Step.CONFIRM, ANSWER_S + 0.3, False, 0, True, Step.LEAVE),
        (Step.ANSWER, LONGEST_S + 0.1, False, 9, False, Step.LEAVE),
    ],
)
def test_a_worker_leaves_when_the_broker_has_read_everything(
    step: Step,
    elapsed_s: float,
    is_quiet: bool,
    unsettled: int,
    is_confirmed: bool,
    expected: Step,
) -> None:
    found = next_step(
        step,
        elapsed_s=elapsed_s,
        is_quiet=is_quiet,
        unsettled=unsettled,
        is_confirmed=is_confirmed,
    )
    assert found is expected
