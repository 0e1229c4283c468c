"""The faults of one device, as a campaign: `python -m tests.faults.campaign` prints its figures.

The whole form has every fault at every call; the short one is what the tests make. Benchmarks
call `campaign`; it asserts nothing: who reads the figures judges them.
"""

import argparse
import json
import sys

from msgspec import Struct, to_builtins

from tests.faults.image import can_mount
from tests.faults.power import cut_power
from tests.faults.walk import walk
from tests.faults.walker import Form


class Figures(Struct, frozen=True, kw_only=True):
    """What a campaign found.

    Attributes:
        fail_points: calls that change the disk, in the whole story.
        fail_point_names: of these, those that differ by more than their number.
        kills: processes that were killed.
        failures: calls that failed, for want of space or by an error of the disk.
        torn: faults after which something was neither old nor new.
        complaints: faults after which anything was wrong.
        max_recovery_s: longest start after a fault, seconds.
        power_cuts: disks that lost their power; None where no disk can be mounted.
        power_cuts_torn: those on which something was neither old nor new.
        first_complaints: some of what was wrong, for people.
    """

    fail_points: int
    fail_point_names: int
    kills: int
    failures: int
    torn: int
    complaints: int
    max_recovery_s: float
    power_cuts: int | None
    power_cuts_torn: int | None
    first_complaints: tuple[str, ...] = ()


def campaign(form: Form) -> Figures:
    """Make every fault of a form, and count."""
    walked = walk(form)
    points = [point for recording in walked.recordings for point in recording.points]
    complaints = walked.complaints()
    cuts = cut_power(form) if can_mount() else None
    if cuts is not None:
        complaints += cuts.complaints()
    hit = [outcome for outcome in walked.outcomes if outcome.point]
    longest = [walked.max_recovery_s, cuts.max_recovery_s if cuts is not None else 0.0]
    return Figures(
        fail_points=len(points),
        fail_point_names=len(set(points)),
        kills=walked.kills,
        failures=sum(not outcome.scenario.action.is_deadly for outcome in hit),
        torn=sum(outcome.is_torn for outcome in walked.outcomes),
        complaints=len(complaints),
        max_recovery_s=round(max(longest), 3),
        power_cuts=None if cuts is None else len(cuts.outcomes),
        power_cuts_torn=None if cuts is None else cuts.torn,
        first_complaints=tuple(complaints[:10]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--whole", action="store_true", help="every fault at every call")
    parser.add_argument("--json", action="store_true", help="on one line")
    asked = parser.parse_args()
    figures = campaign("whole" if asked.whole else "short")
    print(json.dumps(to_builtins(figures), indent=None if asked.json else 2))
    sys.exit(1 if figures.complaints else 0)


if __name__ == "__main__":
    main()
