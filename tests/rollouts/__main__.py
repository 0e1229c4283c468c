"""Tell stories of rollouts by chance for as long as it is let, and print figures as JSON.

python -m tests.rollouts --seconds 600
python -m tests.rollouts --seed 1003 --stories 1 --shrink     # one seed again, as it was printed
"""

import argparse
import json
import sys
import time
import traceback
from collections import Counter

from tests.rollouts.story import STEPS, Story, shortest, story_of, tell


def main() -> int:
    """Run. Returns the exit status: 1 if an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.rollouts", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.0, help="how long; 0: by --stories")
    parser.add_argument("--stories", type=int, default=1_000, help="how many, without --seconds")
    parser.add_argument("--seed", type=int, default=0, help="the first, counted up")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each story")
    parser.add_argument("--shrink", action="store_true", help="look for the shortest failure")
    parser.add_argument("--keep-going", action="store_true", help="count failures by kind")
    found = parser.parse_args()
    began = time.monotonic()
    seed = found.seed
    failures: Counter[str] = Counter()
    states: Counter[str] = Counter()
    transactions = 0
    while (
        time.monotonic() - began < found.seconds
        if found.seconds
        else seed < found.seed + found.stories
    ):
        story = story_of(seed, found.steps)
        try:
            fleet = tell(story)
            transactions += len({event.time for _rollout, event in fleet.cloud.events})
            states.update(rollout.state for rollout in fleet.cloud.rollouts.values())
        except Exception as error:  # noqa: BLE001 - whatever a story ends with is the finding
            kind = _kind(error)
            failures[kind] += 1
            if failures[kind] == 1:
                _show(seed, story, error, shrinks=found.shrink)
            if not found.keep_going:
                break
        seed += 1
    figures = {
        "seconds": round(time.monotonic() - began, 1),
        "stories": seed - found.seed,
        "transactions": transactions,
        "ended": dict(sorted(states.items())),
        "failures": dict(failures),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 1 if failures else 0


def _show(seed: int, story: Story, error: Exception, *, shrinks: bool) -> None:
    sys.stderr.write(f"seed {seed}:\n{''.join(traceback.format_exception(error))}\n")
    if shrinks:
        kind = _kind(error)
        size, calls = shortest(story, lambda shorter: _outcome(shorter) == kind)
        sys.stderr.write(f"{size} devices\n")
        for name, arguments in calls:
            sys.stderr.write(f"  {name}{arguments}\n")


def _outcome(story: Story) -> str:
    try:
        tell(story)
    except Exception as error:  # noqa: BLE001 - as above
        return _kind(error)
    return ""


def _kind(error: Exception) -> str:
    """What sort of failure it is: its first words."""
    return f"{type(error).__name__}: {str(error).partition(':')[0][:60]}"


if __name__ == "__main__":
    sys.exit(main())
