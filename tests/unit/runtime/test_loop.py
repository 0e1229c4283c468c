"""The worker's one thread: sockets, timers, calls from elsewhere, and work between them."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from edge_agent.runtime.loop import READ, WRITE, Loop, Work


@pytest.fixture
def loop() -> Iterator[Loop]:
    running = Loop()
    yield running
    running.close()


def test_a_socket_is_called_when_it_can_be_read_and_written(loop: Loop) -> None:
    here, there = socket.socketpair()
    seen: list[object] = []

    def ready(events: int) -> None:
        seen.append(events)
        if events & WRITE:
            loop.modify(here.fileno(), READ)
            there.send(b"x")
        else:
            seen.append(here.recv(10))
            loop.remove(here.fileno())
            loop.stop()

    with here, there:
        loop.add(here.fileno(), WRITE, ready)
        loop.run()
    assert seen == [WRITE, READ, b"x"]


def test_one_callback_may_remove_another_that_is_ready_too(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    called: list[int] = []

    def ready(mine: int) -> None:
        called.append(mine)
        for here, _ in pairs:
            loop.remove(here.fileno())
        loop.stop()

    for number, (here, there) in enumerate(pairs):
        there.send(b"x")
        loop.add(here.fileno(), READ, lambda _, number=number: ready(number))
    loop.run()
    for pair in pairs:
        for end in pair:
            end.close()
    assert len(called) == 1


def test_timers_run_in_their_order_and_cancelled_ones_never(loop: Loop) -> None:
    called: list[str] = []
    loop.after(0.02, lambda: called.append("second"))
    loop.after(0.01, lambda: called.append("first"))
    never = loop.after(0.005, lambda: called.append("never"))
    never.cancel()
    loop.after(0.03, loop.stop)
    loop.run()
    assert called == ["first", "second"]


def test_another_thread_can_call_into_a_loop_that_sleeps(loop: Loop) -> None:
    threads: list[threading.Thread] = []

    def note() -> None:
        threads.append(threading.current_thread())
        loop.stop()

    caller = threading.Timer(0.05, lambda: loop.call_soon(note))
    caller.start()
    loop.run()
    caller.join()
    assert threads == [threading.current_thread()]


def test_a_signal_handler_wakes_a_loop_that_sleeps(loop: Loop) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: loop.stop())
    try:
        sender = threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        sender.start()
        loop.run()
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_sockets_are_looked_at_between_two_pieces_of_work(loop: Loop) -> None:
    here, there = socket.socketpair()
    done: list[str] = []
    waiting = ["a", "b"]

    def work() -> None:
        done.append(waiting.pop(0))
        if done == ["a"]:
            there.send(b"x")

    def ready(_: int) -> None:
        done.append(here.recv(10).decode())
        loop.call_soon(lambda: loop.after(0, loop.stop))

    with here, there:
        loop.add(here.fileno(), READ, ready)
        loop.add_work(Work(lambda: 0.0 if waiting else None, work))
        loop.run()
    assert done == ["a", "x", "b"]


def test_work_is_run_when_it_is_due(loop: Loop) -> None:
    due_at = time.monotonic() + 0.05
    ran_at: list[float] = []

    def work() -> None:
        ran_at.append(time.monotonic())
        loop.stop()

    loop.add_work(Work(lambda: due_at - time.monotonic(), work))
    loop.run()
    assert ran_at[0] >= due_at


def test_a_loop_with_nothing_to_do_sleeps(loop: Loop) -> None:
    turns = 0

    def due() -> None:
        nonlocal turns
        turns += 1

    loop.add_work(Work(due, loop.stop))
    loop.after(0.2, loop.stop)
    loop.run()
    assert turns < 10, "it asked for work only when something woke it"
