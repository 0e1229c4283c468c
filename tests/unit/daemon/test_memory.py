"""The shares of memory of the agent's processes, looked up rarely."""

from edge_agent.contract.messages import SlotHealth
from edge_agent.daemon.memory import KEPT_S, MemoryShares, with_memory


class Kernel:
    """Tells shares from a table, and counts how often it was asked."""

    def __init__(self, shares: dict[int, float]) -> None:
        self.shares = shares
        self.asked: list[int] = []

    def __call__(self, pid: int) -> float | None:
        self.asked.append(pid)
        return self.shares.get(pid)


def shares(kernel: Kernel, now: list[float]) -> MemoryShares:
    return MemoryShares(lambda: now[-1], kernel)


def test_a_share_is_looked_up_once_in_a_while() -> None:
    kernel, now = Kernel({1: 10.0, 2: 20.0}), [0.0]
    memory = shares(kernel, now)
    assert memory.of([1, 2]) == {1: 10.0, 2: 20.0}
    kernel.shares = {1: 11.0, 2: 21.0}
    now.append(KEPT_S - 0.1)
    assert memory.of([1, 2]) == {1: 10.0, 2: 20.0}
    assert kernel.asked == [1, 2]
    now.append(KEPT_S)
    assert memory.of([1, 2]) == {1: 11.0, 2: 21.0}
    assert kernel.asked == [1, 2, 1, 2]


def test_a_new_process_is_looked_up_at_once() -> None:
    kernel = Kernel({1: 10.0, 3: 30.0})
    memory = shares(kernel, [0.0])
    memory.of([1])
    assert memory.of([1, 3]) == {1: 10.0, 3: 30.0}
    assert kernel.asked == [1, 3]


def test_what_is_not_known_is_left_out_and_not_asked_for_again_at_once() -> None:
    kernel = Kernel({})
    memory = shares(kernel, [0.0])
    assert memory.of([7]) == {}
    assert memory.of([7]) == {}
    assert kernel.asked == [7]


def test_a_process_that_ended_is_forgotten() -> None:
    kernel = Kernel({1: 10.0})
    memory = shares(kernel, [0.0])
    memory.of([1])
    memory.of([])
    kernel.shares = {1: 12.0}  # another process with its number
    assert memory.of([1]) == {1: 12.0}


def test_a_slots_memory_is_its_share_and_else_what_is_resident() -> None:
    running = SlotHealth(module="m", version=1, digest="d", state="running", pid=5, rss_mb=900.0)
    crashed = SlotHealth(module="m", version=1, digest="d", state="crashed", rss_mb=61.5)
    slots = with_memory({"here": running, "gone": crashed}, {5: 40.0})
    assert slots["here"].pss_mb == slots["here"].memory_mb == 40.0
    assert slots["here"].rss_mb == 900.0
    assert slots["gone"].pss_mb is None
    assert slots["gone"].memory_mb == 61.5
