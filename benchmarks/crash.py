"""How soon does a killed worker answer again, and what do its neighbours lose?

    python -m benchmarks.crash [--kills 500] [--broker mosquitto|nats] [--seconds 480]

One agent, three slots, each with a numbered row every 5 ms at QoS 1. The worker of the first is
ended by SIGSEGV, again and again, as soon as it answers. `recover_*` is from the signal to the
first answer to a row that was sent after it. `other_slots_lost` counts rows of the other slots
that were never answered.
"""

import os
import random
import signal
import sys
import time

from benchmarks.device import Device, NumberedLoad
from benchmarks.endurance import EVERY_S, LAST_WAIT_S, LONGEST_S, repeat
from benchmarks.report import Figure, say

VICTIM = "victim"
OTHERS = ("other-a", "other-b")


def main() -> int:
    return repeat("crash", "kills", 500, _measure, __doc__)


def _measure(device: Device, kills: int, seconds: float) -> dict[str, Figure]:
    for slot in (VICTIM, *OTHERS):
        say(f"installing {slot}")
        device.install(slot, 1, device.build(slot))
    load = NumberedLoad(device.broker, VICTIM, EVERY_S)
    others = {slot: NumberedLoad(device.broker, slot, EVERY_S) for slot in OTHERS}
    for slot_load in (load, *others.values()):
        slot_load.next_answer_s(time.monotonic(), LONGEST_S)
    # A first version that crashes on trial is installed anew; that is another figure.
    say("waiting for the trials to end")
    time.sleep(5)
    ends = time.monotonic() + seconds
    recovered: list[float] = []
    while len(recovered) < kills and time.monotonic() < ends:
        pid = device.worker_pid(VICTIM)
        if not pid:
            time.sleep(0.01)
            continue
        killed = time.monotonic()
        os.kill(pid, signal.SIGSEGV)
        recovered.append(load.next_answer_s(killed, LONGEST_S))
        if len(recovered) % 50 == 0:
            say(f"{len(recovered)} kills, the last took {recovered[-1]:.3f} s")
        time.sleep(random.uniform(0.0, 0.1))
    _, victim_lost, victim_doubled = load.finish(LAST_WAIT_S)
    lost = doubled = sent = 0
    for other in others.values():
        slot_sent, slot_lost, slot_doubled = other.finish(LAST_WAIT_S)
        sent, lost, doubled = sent + slot_sent, lost + slot_lost, doubled + slot_doubled
    times = sorted(recovered)
    return {
        "kills": len(times),
        "recover_p50_s": round(times[len(times) // 2], 3),
        "recover_p99_s": round(times[min(len(times) - 1, int(len(times) * 0.99))], 3),
        "recover_max_s": round(times[-1], 3),
        "other_slots_sent": sent,
        "other_slots_lost": lost,
        "other_slots_duplicated": doubled,
        "lost": victim_lost,
        "duplicated": victim_doubled,
    }


if __name__ == "__main__":
    sys.exit(main())
