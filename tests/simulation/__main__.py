"""Simulate with new examples for as long as it is let, and print figures as JSON.

python -m tests.simulation --seconds 600
python -m tests.simulation --seed 1003 --examples 10     # one seed again, as it was printed

A failure prints the rules that led to it and its seed; `--shrink` looks for the shortest way there,
which takes minutes.
"""

import argparse
import json
import logging
import sys
import time
from collections import Counter
from typing import Final

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation.machine import Simulation

EXAMPLES: Final = 10
RULES: Final = 30
FIRST_SEED: Final = 1


def main() -> int:
    """Run. Returns the exit status: 1 if an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.0, help="how long; 0: one seed")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="the first, counted up")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="of each seed")
    parser.add_argument("--shrink", action="store_true", help="look for the shortest failure")
    found = parser.parse_args()
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    counts: Counter[str] = Counter()
    number = found.seed
    status = 0
    while status == 0:
        status = _run(number, found.examples, counts, shrinks=found.shrink)
        number += 1
        if time.monotonic() - began >= found.seconds:
            break
    figures = {
        "seconds": round(time.monotonic() - began, 1),
        "seeds": number - found.seed,
        "last_seed": number - 1,
        "failed": status,
        **dict(sorted(counts.items())),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return status


def _run(number: int, examples: int, counts: Counter[str], *, shrinks: bool) -> int:
    class Counted(Simulation):
        """The simulation, counted."""

        def teardown(self) -> None:
            try:
                super().teardown()
            finally:
                counts["worlds"] += 1
                counts["deaths"] += self.fate.deaths
                counts["boots"] += self.world.boots
                counts["simulated_s"] += round(self.world.simulated_s)

    phases = (Phase.generate, Phase.shrink) if shrinks else (Phase.generate,)
    try:
        run_state_machine_as_test(
            seed(number)(Counted),
            settings=settings(
                database=None,
                deadline=None,
                max_examples=examples,
                stateful_step_count=RULES,
                phases=phases,
                suppress_health_check=list(HealthCheck),
            ),
        )
    # Whatever an invariant, the agent or the service raised: it is told with the way to it.
    except Exception as error:  # noqa: BLE001
        sys.stderr.write(f"seed {number}: {type(error).__name__}: {error}\n")
        sys.stderr.write("\n".join(getattr(error, "__notes__", [])) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
