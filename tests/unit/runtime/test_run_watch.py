"""The deadline of a run: asked to end, and the last resort."""

import threading

import numpy as np
import pytest

from edge_agent.errors import ModelError
from edge_agent.runtime.run_watch import RunWatch, deadline
from edge_agent.runtime.session import Feed, ModelSession
from tests.support.models import endless_model

LOOPS: Feed = {"X": np.ones((1, 3), np.float32)}
ENDS: Feed = {"X": np.zeros((1, 3), np.float32)}


class Run:
    """A run that began at some time, and may not listen."""

    def __init__(self, began_s: float) -> None:
        self.began_s = began_s
        self.asked: list[float] = []

    def terminate(self, began_s: float) -> None:
        self.asked.append(began_s)


def nothing() -> None:
    raise AssertionError("nobody was stuck")


def test_a_run_without_end_is_ended_and_the_next_one_runs() -> None:
    session = ModelSession(endless_model())
    for _ in range(2):
        with deadline(session, 0.05), pytest.raises(ModelError) as caught:
            session.run(["out"], LOOPS)
        assert caught.value.code == "run_timeout"
        assert session.began_s == 0.0
        # Outside of the deadline, which a busy machine could miss.
        assert session.run(["out"], ENDS)[0].tolist() == [[0, 0, 0]]


def test_only_the_run_that_was_meant_is_ended() -> None:
    session = ModelSession(endless_model())
    session.terminate(0.0)
    session.terminate(12.5)
    assert session.run(["out"], ENDS)[0].tolist() == [[0, 0, 0]]


def test_a_run_is_asked_once_and_given_up_after_its_grace() -> None:
    run = Run(began_s=100.0)
    watch = RunWatch(run, 1.0, nothing, grace_s=2.0)
    assert not watch.look(101.0)
    assert run.asked == []
    assert not watch.look(101.1)
    assert run.asked == [100.0]
    assert not watch.look(103.0)
    assert watch.look(103.1)
    assert run.asked == [100.0]


def test_between_two_runs_and_with_a_new_one_nobody_is_late() -> None:
    run = Run(began_s=100.0)
    watch = RunWatch(run, 1.0, nothing, grace_s=2.0)
    watch.look(102.0)
    run.began_s = 0.0
    assert not watch.look(200.0)
    run.began_s = 199.5
    assert not watch.look(200.0)
    assert not watch.look(201.0)
    assert run.asked == [100.0, 199.5]


def test_who_is_stuck_is_told_of_once() -> None:
    told = threading.Event()
    watch = RunWatch(Run(began_s=0.001), 0.02, told.set, grace_s=0.0)
    watch.start()
    assert told.wait(30)
