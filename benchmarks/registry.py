"""A registry with a module for each device: `python -m benchmarks.registry`.

Thousands of modules that differ by their file alone, published one after the other; then lists by
a pattern, and a rollout that gives each device its own. The service's own parts on a real SQLite
file, without network. Seconds on the clock for what a person waits for, with the disk's part of
publishing (each is flushed), and processor seconds of the transaction in which others wait.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.report import Figure, finish, say
from benchmarks.transactions import Holds
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutWish
from edge_agent.contract.manifest import canonical
from tests.support.cloud import Cloud, change, cloud, manifest_of
from tests.support.crowd import crowd
from tests.support.puppets import Clock

PART: Final = "model-for-device-1*"
PAGE: Final = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", type=int, default=5_000)
    count = parser.parse_args().modules
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, cloud(Path(folder), clock=clock) as made:
        finish("registry", {"modules": count, **measured(made, clock, count)}, ["sqlalchemy"])
    return 0


def measured(made: Cloud, clock: Clock, count: int) -> dict[str, Figure]:
    """Every figure."""
    crowd(made, (f"device-{number}" for number in range(count)))
    took = publish(made, count)
    part = max(1, count // 10)
    modules, rollouts = made.parts.modules, made.parts.rollouts
    wish = RolloutWish(
        module="model-for-{device}",
        per_device=True,
        slot="own",
        to="all",
        policy=Policy(stages=("100%",), shadow_stages=0, gates=None, max_in_flight="100%"),
        seed=1,
    )
    holds = Holds(made.parts.database)
    say("lists")
    figures: dict[str, Figure] = {
        "publish_first_ms": statistics.median(took[:part]) * 1e3,
        "publish_last_ms": statistics.median(took[-part:]) * 1e3,
        "list_page_ms": seconds(lambda: modules.search(limit=PAGE, offset=count // 2)) * 1e3,
        "list_all_s": seconds(
            lambda: [modules.search(limit=PAGE, offset=at) for at in range(0, count, PAGE)]
        ),
        "list_pattern_ms": seconds(lambda: modules.search(name=PART, limit=PAGE)) * 1e3,
        "versions_of_one_ms": seconds(lambda: modules.versions("model-for-device-7")) * 1e3,
    }
    say("planning and starting a version for each device")
    figures["plan_s"] = seconds(lambda: rollouts.plan(wish, change()))
    figures["start_s"] = seconds(lambda: rollouts.create(wish, change(clock.now), start=True))
    figures["offer_longest_transaction_s"] = holds.during(made.driver.look)
    return {name: round(value, 3) for name, value in figures.items() if isinstance(value, float)}


def publish(made: Cloud, count: int) -> list[float]:
    """Publish a module for each device; seconds that each took."""
    took: list[float] = []
    for number in range(count):
        blob = made.store(b"model %d" % number)
        data = canonical(manifest_of(blob, f"model-for-device-{number}"))
        began = time.perf_counter()
        made.parts.modules.publish(data, change())
        took.append(time.perf_counter() - began)
        if number % 1_000 == 999:
            say(f"{number + 1} published")
    return took


def seconds(job: Callable[[], object]) -> float:
    """Seconds on the clock that something takes."""
    began = time.perf_counter()
    job()
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
