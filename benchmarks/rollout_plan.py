"""How long it takes to plan a rollout of 100,000 devices: `python -m benchmarks.rollout_plan`.

In a process of its own, whose largest resident memory is the other figure: the devices as they are
known, the cohort, its stages, and the first round with its offers. Then what a round costs while a
rollout of 10,000 devices is in the middle of its largest stage, with as much news as comes in a
second, and one without news.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from msgspec.structs import replace

from benchmarks.report import Figure, finish, say
from cloud_sync.rollout.attention import due, to_be_shown
from cloud_sync.rollout.cohort import Candidate, compose
from cloud_sync.rollout.evolve import evolve
from cloud_sync.rollout.observation import DeviceNow, World
from cloud_sync.rollout.orders import order
from cloud_sync.rollout.plan import plan
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState, RolloutOrder, RolloutState, RolloutWish
from tests.support.rollouts import NEW, OLD_SLOT, QUICK, Fleet, reported, rollout_of

MANY: Final = 100_000
USUAL: Final = 10_000
SITES: Final = 200
KINDS: Final = 6
NEWS: Final = 100
ROUNDS: Final = 50
SEED: Final = 7


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=MANY)
    parser.add_argument("--child", action="store_true", help="measure here, and print it as JSON")
    options = parser.parse_args()
    if options.child:
        print(json.dumps(plan_whole(options.devices)))
        return 0
    say(f"planning {options.devices} devices")
    command = [sys.executable, "-m", "benchmarks.rollout_plan", "--child"]
    command += ["--devices", str(options.devices)]
    child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, Figure] = json.loads(child.stdout)
    say(f"rounds of a rollout of {USUAL} devices")
    figures |= rounds(USUAL)
    finish("rollout_plan", figures)
    return 0


def plan_whole(count: int) -> dict[str, Figure]:
    """Seconds and megabytes from what is known of the devices to the first offers."""
    world = World(devices={f"device-{n}": known(f"device-{n}") for n in range(count)})
    began, cpu_began = time.perf_counter(), time.process_time()
    cohort = compose(
        (
            Candidate(
                device=f"device-{number}",
                module="pump",
                version=2,
                digest=NEW,
                site=f"site-{number % SITES}",
                hardware=f"kind-{number % KINDS}",
                previous=OLD_SLOT,
            )
            for number in range(count)
        ),
        Policy(),
        SEED,
        0.0,
    )
    composed = time.perf_counter()
    rollout = Rollout(
        id=1,
        wish=RolloutWish(module="pump", to="all"),
        slot="pump",
        module="pump",
        version=2,
        seed=SEED,
        created=0.0,
        created_by="anna",
        stages=cohort.stages,
        assignments=cohort.assignments,
    )
    start = RolloutOrder(action="start")
    rollout = evolve(rollout, order(rollout, start, "anna", 0.0), 0.0)
    decisions = plan(rollout, world, 0.0)
    rollout = evolve(rollout, decisions, 0.0)
    ended, cpu_ended = time.perf_counter(), time.process_time()
    if rollout.state is not RolloutState.RUNNING or len(decisions) < 2:
        raise RuntimeError(f"nothing was offered: {rollout.state}, {decisions}")
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "devices": count,
        "stages": len(rollout.stages),
        "plan_100k_s": round(ended - began, 3),
        "plan_100k_cpu_s": round(cpu_ended - cpu_began, 3),
        "compose_s": round(composed - began, 3),
        "first_round_s": round(ended - composed, 3),
        "plan_100k_mb": round(peak_kb / 1024, 1),
    }


def known(device: str) -> DeviceNow:
    """A device that runs the version before."""
    slot = reported(OLD_SLOT.digest)
    return DeviceNow(device=device, presence="online", reported_at=0.0, slot=slot)


def rounds(count: int) -> dict[str, Figure]:
    """Milliseconds of one round in the middle of the largest stage."""
    policy = replace(QUICK, stages=("1", "50%", "100%"), max_in_flight="10%")
    fleet = Fleet(rollout_of_sites(count, policy)).start()
    while fleet.rollout.stages[-1].state == "waiting":
        fleet.obey()
        fleet.drive()
    idle_ms, busy_ms, due_ms = [], [], []
    for _ in range(ROUNDS):
        shown = frozenset(to_be_shown(fleet.rollout))
        quiet = World(devices={device: fleet.devices[device] for device in shown})
        idle_ms.append(timed_ms(partial(plan, fleet.rollout, quiet, fleet.now)))
        due_ms.append(timed_ms(partial(due, fleet.rollout, quiet, fleet.now)))
        fleet.obey(*fleet.those(AssignmentState.OFFERED)[:NEWS])
        busy = World(devices={device: fleet.devices[device] for device in shown})
        busy_ms.append(timed_ms(partial(plan, fleet.rollout, busy, fleet.now)))
        fleet.drive()
    return {
        "rounds_devices": count,
        "rounds_news": NEWS,
        "round_idle_ms": round(statistics.median(idle_ms), 2),
        "round_busy_ms": round(statistics.median(busy_ms), 2),
        "round_due_ms": round(statistics.median(due_ms), 2),
    }


def rollout_of_sites(count: int, policy: Policy) -> Rollout:
    return rollout_of(
        (
            Candidate(
                device=f"d{number}",
                module="pump",
                version=2,
                digest=NEW,
                site=f"site-{number % SITES}",
                previous=OLD_SLOT,
            )
            for number in range(count)
        ),
        policy,
    )


def timed_ms(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    sys.exit(main())
