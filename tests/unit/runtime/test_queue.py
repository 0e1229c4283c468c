"""The queue: a table of behaviours, and a model that it must agree with whatever happens."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_agent.contract.manifest import Runtime
from edge_agent.runtime.message import Incoming
from edge_agent.runtime.queue import Left, MessageQueue


def message(token: int, topic: str = "t", **options: Any) -> Incoming:
    return Incoming(
        token=token, topic=topic, payload=b"", received_s=0.0, arrived_s=100.0, **options
    )


def tokens(messages: list[Incoming]) -> list[int]:
    return [m.token for m in messages]


def reasons(left: list[Left]) -> list[tuple[int, str]]:
    return [(item.message.token, item.reason.value) for item in left]


REQUEST = {"reply_to": "replies/x"}

OFFERS: list[tuple[str, dict[str, Any], list[Incoming], list[int], list[tuple[int, str]]]] = [
    ("order is kept", {}, [message(1), message(2, "u"), message(3)], [1, 2, 3], []),
    (
        "the oldest gives way",
        {"max_queue": 2},
        [message(n) for n in (1, 2, 3, 4)],
        [3, 4],
        [(1, "overload"), (2, "overload")],
    ),
    (
        "the newest is refused",
        {"max_queue": 2, "overload": "reject"},
        [message(n) for n in (1, 2, 3, 4)],
        [1, 2],
        [(3, "overloaded"), (4, "overloaded")],
    ),
    (
        "the newest of a topic takes the place of the older one",
        {"latest_only": True},
        [message(1, "a"), message(2, "b"), message(3, "a"), message(4, "a")],
        [4, 2],
        [(1, "superseded"), (3, "superseded")],
    ),
    (
        "the newest of a topic needs no room of its own",
        {"latest_only": True, "max_queue": 1, "overload": "reject"},
        [message(1, "a"), message(2, "a"), message(3, "b")],
        [2],
        [(1, "superseded"), (3, "overloaded")],
    ),
    (
        "requests are not superseded",
        {"latest_only": True},
        [message(1, **REQUEST), message(2, **REQUEST), message(3), message(4)],
        [1, 2, 4],
        [(3, "superseded")],
    ),
]


@pytest.mark.parametrize(("_what", "rules", "offered", "kept", "left"), OFFERS)
def test_who_waits_and_who_gives_way(
    _what: str,
    rules: dict[str, Any],
    offered: list[Incoming],
    kept: list[int],
    left: list[tuple[int, str]],
) -> None:
    queue = MessageQueue(Runtime(**rules))
    assert reasons(queue.offer(offered)) == left
    assert len(queue) == len(kept)
    taken, late = queue.take(100, now=100.0)
    assert (tokens(taken), late, len(queue)) == (kept, [], 0)


@pytest.mark.parametrize(
    ("rules", "options", "now", "expected"),
    [
        ({}, {}, 1e12, ""),
        ({"deadline_ms": 200}, {}, 100.2 - 1e-9, ""),
        ({"deadline_ms": 200}, {}, 100.3, "deadline"),
        ({}, {"expires_s": 101.0}, 100.9, ""),
        ({}, {"expires_s": 101.0}, 101.0, "expired"),
        ({"deadline_ms": 200}, {"expires_s": 101.0}, 102.0, "expired"),
    ],
)
def test_what_is_too_late_is_left_out_with_its_reason(
    rules: dict[str, Any], options: dict[str, Any], now: float, expected: str
) -> None:
    queue = MessageQueue(Runtime(**rules))
    queue.offer([message(1, **options)])
    taken, late = queue.take(1, now)
    assert reasons(late) == ([(1, expected)] if expected else [])
    assert tokens(taken) == ([] if expected else [1])


def test_late_messages_take_no_place_in_a_batch() -> None:
    queue = MessageQueue(Runtime())
    queue.offer([message(1, expires_s=1.0), message(2), message(3, expires_s=1.0), message(4)])
    taken, late = queue.take(2, 100.0)
    assert (tokens(taken), len(late)) == ([2, 4], 2)


def test_the_oldest_says_since_when_it_waits() -> None:
    queue = MessageQueue(Runtime())
    assert queue.oldest_s is None
    queue.offer([message(1)])
    assert queue.oldest_s == 100.0


class QueueModel(RuleBasedStateMachine):
    """The queue beside a plain list that follows the same rules slowly."""

    bounds = Runtime()

    def __init__(self) -> None:
        super().__init__()
        self.queue = MessageQueue(self.bounds)
        self.waiting: list[Incoming] = []
        self.token = 0

    @rule(
        topics=st.lists(
            st.tuples(st.sampled_from("abc"), st.booleans(), st.sampled_from([0.0, 5.0, 50.0])),
            max_size=6,
        )
    )
    def offer(self, topics: list[tuple[str, bool, float]]) -> None:
        messages = []
        for topic, is_request, expires_s in topics:
            self.token += 1
            reply_to = "replies/x" if is_request else ""
            messages.append(message(self.token, topic, reply_to=reply_to, expires_s=expires_s))
        expected = [found for m in messages for found in self.add(m)]
        assert reasons(self.queue.offer(messages)) == expected

    def add(self, new: Incoming) -> list[tuple[int, str]]:
        bounds = self.bounds
        if bounds.latest_only and not new.reply_to:
            for index, old in enumerate(self.waiting):
                if old.topic == new.topic and not old.reply_to:
                    self.waiting[index] = new
                    return [(old.token, "superseded")]
        if len(self.waiting) < bounds.max_queue:
            self.waiting.append(new)
            return []
        if bounds.overload == "reject":
            return [(new.token, "overloaded")]
        self.waiting.append(new)
        return [(self.waiting.pop(0).token, "overload")]

    @rule(most=st.integers(1, 5), now=st.sampled_from([1.0, 10.0, 100.0, 100.15, 200.0]))
    def take(self, most: int, now: float) -> None:
        taken: list[int] = []
        late: list[tuple[int, str]] = []
        while self.waiting and len(taken) < most:
            first = self.waiting.pop(0)
            if first.expires_s and now >= first.expires_s:
                late.append((first.token, "expired"))
            elif self.bounds.deadline_ms and now - first.arrived_s > self.bounds.deadline_ms / 1e3:
                late.append((first.token, "deadline"))
            else:
                taken.append(first.token)
        found, found_late = self.queue.take(most, now)
        assert (tokens(found), reasons(found_late)) == (taken, late)

    @invariant()
    def bounded_and_equal(self) -> None:
        assert len(self.queue) == len(self.waiting) <= self.bounds.max_queue


class DropOldest(QueueModel):
    bounds = Runtime(max_queue=3, deadline_ms=100)


class RejectNewest(QueueModel):
    bounds = Runtime(max_queue=3, overload="reject")


class LatestOnly(QueueModel):
    bounds = Runtime(max_queue=2, latest_only=True, deadline_ms=100)


class LatestOnlyReject(QueueModel):
    bounds = Runtime(max_queue=2, latest_only=True, overload="reject")


for _model in (DropOldest, RejectNewest, LatestOnly, LatestOnlyReject):
    _model.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)

TestDropOldest = DropOldest.TestCase
TestRejectNewest = RejectNewest.TestCase
TestLatestOnly = LatestOnly.TestCase
TestLatestOnlyReject = LatestOnlyReject.TestCase
