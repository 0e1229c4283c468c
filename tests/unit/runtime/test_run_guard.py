"""What is left behind by a process that ends during a run, and what the next one makes of it."""

import os
import time
from collections.abc import Iterator

import pytest

from edge_agent.contract.manifest import Runtime
from edge_agent.errors import ModelError
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.live import LiveSlot
from edge_agent.runtime.message import Incoming
from edge_agent.runtime.protocol import WorkerPoison
from edge_agent.runtime.run_guard import MOST_DEATHS, WARY_S, RunGuard, fingerprint
from edge_agent.runtime.run_mark import MOST_RUNNING, MOST_SUSPECTS, RunMark, make_run_mark
from edge_agent.runtime.session import Array, Feed
from tests.support.engines import TOPIC, of_fields
from tests.support.models import fields


@pytest.fixture
def page() -> Iterator[int]:
    handle = make_run_mark()
    yield handle
    os.close(handle)


def message(number: int) -> Incoming:
    return Incoming(topic="t", payload=b"%06d" % number, received_s=0.0)


class Process:
    """As much of a worker as there is to its page."""

    def __init__(self, page: int) -> None:
        self.poison: list[WorkerPoison] = []
        self.guard = RunGuard(RunMark(page), 5.0, self.poison.append, now=0.0)

    def answers(self, messages: list[Incoming]) -> None:
        self.guard.begin(messages)
        self.guard.end()

    def dies_of(self, messages: list[Incoming]) -> None:
        self.guard.begin(messages)


def test_the_agent_sees_what_a_worker_is_at(page: int) -> None:
    agent = RunMark(page)
    worker = Process(page)
    assert agent.running().since is None
    assert agent.running().limit_s == 5.0
    before = time.monotonic()
    worker.guard.begin([message(1)])
    since = agent.running().since
    assert since is not None
    assert before <= since <= time.monotonic()
    worker.guard.end()
    assert (agent.running().since, agent.running().ended) == (None, 1)
    Process(page)
    assert agent.running().ended == 0


def test_each_run_of_a_turn_has_its_own_time(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = of_fields("float32", (-1, 1), *fields("a"), runtime=Runtime(max_batch=1))
    slot = LiveSlot(engine, Counters(), lambda _: True, guard=Process(page).guard)
    agent, session = RunMark(page), engine.opened.session
    usual, begun = session.run, list[float | None]()

    def run(names: list[str], feed: Feed) -> list[Array]:
        begun.append(agent.running().since)
        if len(begun) == 3:
            raise ModelError("the run was ended", code="run_timeout")
        return usual(names, feed)

    monkeypatch.setattr(session, "run", run)
    rows = [Incoming(topic=TOPIC, payload=b'{"a": 1}', received_s=0.0)] * 4
    slot.offer(rows)
    while slot.due(0.0) is not None:
        slot.run(0.0)
        slot.sent(0.0)
    found = [since for since in begun if since is not None]
    assert len(found) == len(rows)
    assert found == sorted(set(found)), "no run has the time of the one before"
    assert agent.running().since is None
    assert agent.running().ended == 2, "turns: one message first, to see how long it takes"


def test_a_message_that_ends_every_process_is_refused_after_three(page: int) -> None:
    culprit, others = message(0), [message(n) for n in range(1, 5)]
    Process(page).dies_of([*others, culprit])
    for _ in range(MOST_DEATHS - 1):
        process = Process(page)
        assert process.guard.most(64, now=1.0) == 1, "one by one, to see which it is"
        assert not process.guard.has_poison
        for other in others:
            process.answers([other])
        process.dies_of([culprit])
    last = Process(page)
    assert last.guard.has_poison
    assert last.guard.is_poison(culprit)
    assert last.guard.is_poison(culprit)
    assert [p.topic for p in last.poison] == ["t"], "said once"
    assert not any(last.guard.is_poison(other) for other in others)
    assert last.guard.most(64, now=1.0) == 64


def test_it_stays_refused_however_the_process_ends_later(page: int) -> None:
    for _ in range(MOST_DEATHS):
        Process(page).dies_of([message(0)])
    for number in range(1, 4):
        process = Process(page)
        assert process.guard.is_poison(message(0))
        process.dies_of([message(number)])


def test_a_process_that_is_killed_from_outside_makes_no_message_poison(page: int) -> None:
    for _ in range(50):
        process = Process(page)
        assert not process.guard.has_poison
        process.answers([message(0)])
        process.dies_of([message(0)])


def test_suspicion_ends_when_nobody_comes(page: int) -> None:
    Process(page).dies_of([message(0)])
    guard = Process(page).guard
    assert guard.most(64, now=1.0) == 1
    assert guard.most(64, now=WARY_S + 1) == 64


def test_a_slot_is_wary_for_as_long_as_a_message_is_suspected(page: int) -> None:
    engine = of_fields("float32", (-1, 1), *fields("a"))
    row = Incoming(topic=TOPIC, payload=b'{"a": 1}', received_s=0.0)
    assert not LiveSlot(engine, Counters(), lambda _: True, guard=Process(page).guard).is_wary
    Process(page).dies_of([row])
    slot = LiveSlot(engine, Counters(), lambda _: True, guard=Process(page).guard)
    assert slot.is_wary
    for _ in range(2):
        slot.offer([row])
        slot.run(0.0)
        slot.sent(0.0)
    assert not slot.is_wary, "it was run, and the process lives"


def test_an_answer_that_ends_the_process_while_it_is_sent_is_suspected_too(page: int) -> None:
    engine = of_fields("float32", (-1, 1), *fields("a"))
    row = Incoming(topic=TOPIC, payload=b'{"a": 1}', received_s=0.0)
    slot = LiveSlot(engine, Counters(), lambda _: True, guard=Process(page).guard)
    slot.offer([row])
    slot.run(0.0)
    assert RunMark(page).take_over() == {fingerprint(row): 1}


def test_more_messages_than_there_is_room_for_do_no_harm(page: int) -> None:
    for start in range(0, 4 * MOST_RUNNING, MOST_RUNNING):
        Process(page).dies_of([message(start + n) for n in range(2 * MOST_RUNNING)])
    assert len(RunMark(page).take_over()) == MOST_SUSPECTS


def test_fingerprints_tell_topics_and_payloads_apart() -> None:
    messages = [
        Incoming(topic=topic, payload=payload, received_s=0.0)
        for topic in ("a", "b")
        for payload in (b"", b"1", b"2")
    ]
    assert len({fingerprint(m) for m in messages}) == len(messages)
