"""What do a hundred changes of version under load lose, double, and leave behind in memory?

    python -m benchmarks.swap [--swaps 100] [--broker mosquitto|nats] [--seconds 480]

One agent, one slot, a numbered row every 5 ms at QoS 1, and two versions that take turns. Memory
is what is resident of the agent with all its processes, between two swaps: the median of the first
ten against that of the last ten.
"""

import statistics
import sys
import time

import psutil

from benchmarks.device import Device, NumberedLoad
from benchmarks.endurance import EVERY_S, LAST_WAIT_S, LONGEST_S, repeat
from benchmarks.report import Figure, say
from edge_agent.contract.state import Phase

SLOT = "swapped"
SOME = 10


def main() -> int:
    return repeat("swap", "swaps", 100, _measure, __doc__)


def _measure(device: Device, swaps: int, seconds: float) -> dict[str, Figure]:
    built = {version: device.build(SLOT, version) for version in (1, 2)}
    device.install(SLOT, 1, built[1])
    load = NumberedLoad(device.broker, SLOT, EVERY_S)
    load.next_answer_s(time.monotonic(), LONGEST_S)
    memory: list[float] = []
    took: list[float] = []
    ends = time.monotonic() + seconds
    while len(took) < swaps and time.monotonic() < ends:
        begun = time.monotonic()
        version = len(took) % 2 + 1
        # Kept, and not only running: going back from a trial is not what is measured.
        device.install(SLOT, 3 - version, built[3 - version], Phase.ACTIVE)
        took.append(time.monotonic() - begun)
        load.next_answer_s(time.monotonic(), LONGEST_S)
        memory.append(_rss_mb(device.pid))
        if len(took) % SOME == 0:
            say(f"{len(took)} swaps, {memory[-1]:.1f} MB")
    sent, lost, doubled = load.finish(LAST_WAIT_S)
    some = min(SOME, max(1, len(memory) // 2))
    first, last = statistics.median(memory[:some]), statistics.median(memory[-some:])
    return {
        "swaps": len(took),
        "swap_p50_s": round(statistics.median(took), 3),
        "sent": sent,
        "lost": lost,
        "duplicated": doubled,
        "first_rss_mb": round(first, 1),
        "last_rss_mb": round(last, 1),
        "rss_growth_percent": round(100 * (last - first) / first, 2),
    }


def _rss_mb(pid: int) -> float:
    """Resident memory of a process and all below it; one that ends meanwhile counts for nothing.

    Not PSS, which grows when another program that shares a library ends.
    """
    top = psutil.Process(pid)
    total = 0.0
    for process in (top, *top.children(recursive=True)):
        try:
            total += process.memory_info().rss / 1e6
        except psutil.NoSuchProcess:
            continue
    return total


if __name__ == "__main__":
    sys.exit(main())
