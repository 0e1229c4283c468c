"""Tell new stories of rollouts for as long as it is let, and print figures as JSON.

python -m tests.rollouts --seconds 600 --seed 1000
python -m tests.rollouts --seed 1003 --chapters 1     # those of one seed again, as it was printed
"""

import argparse
import json
import sys
import time
import traceback
from collections import Counter

from tests.rollouts.story import Story, tell
from tests.rollouts.telling import CHAPTER, explore


def main() -> int:
    """Run. Returns the exit status: 1 if something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.rollouts", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.0, help="how long; 0: by --chapters")
    parser.add_argument("--chapters", type=int, default=1, help=f"of {CHAPTER} stories each")
    parser.add_argument("--seed", type=int, default=0, help="of the first chapter, counted up")
    parser.add_argument("--keep-going", action="store_true", help="count failures by kind")
    found = parser.parse_args()
    began = time.monotonic()
    ended: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    stories = transactions = 0
    used, telling_s = time.process_time(), 0.0

    def listen(story: Story) -> None:
        nonlocal stories, transactions, telling_s
        stories += 1
        begun = time.process_time()
        try:
            fleet = tell(story)
        except Exception as error:
            failures[_kind(error)] += 1
            if not found.keep_going:
                raise
            return
        finally:
            telling_s += time.process_time() - begun
        transactions += len({event.time for _rollout, event in fleet.cloud.events})
        ended.update(rollout.state for rollout in fleet.cloud.rollouts.values())

    seed = found.seed
    while (
        time.monotonic() - began < found.seconds
        if found.seconds
        else seed < found.seed + found.chapters
    ):
        try:
            explore(seed, listen)
        except Exception as error:  # noqa: BLE001 - whatever a story ends with is the finding
            sys.stderr.write(f"seed {seed}:\n{''.join(traceback.format_exception(error))}\n")
            break
        seed += 1
    figures = {
        "seconds": round(time.monotonic() - began, 1),
        "stories": stories,
        "processor_ms_each": round((time.process_time() - used) / max(1, stories) * 1e3, 2),
        "of_it_drawing_ms": round(
            (time.process_time() - used - telling_s) / max(1, stories) * 1e3, 2
        ),
        "transactions": transactions,
        "ended": dict(sorted(ended.items())),
        "failures": dict(failures),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 1 if failures else 0


def _kind(error: Exception) -> str:
    """What sort of failure it is: its first words."""
    return f"{type(error).__name__}: {str(error).partition(':')[0][:60]}"


if __name__ == "__main__":
    sys.exit(main())
