"""Does anything break a device: its power, its disk, the broker, time? The whole campaign.

    python -m benchmarks.faults [--short] [--soak-seconds 1800]

1. Every call that changes the disk, in a story of everything a device does: killed at, out of
   space, failing; and the power cut at each (`fail_points` to `power_cuts_torn`). Needs a C
   compiler, and root for the power cuts: without it `power_cuts` is null.
2. `messages` numbered results, while device and broker are killed: `acknowledged_lost`,
   `duplicate_rows`, `resent_percent`. As `python -m benchmarks.kills`.
3. A soak of `soak_s`: `soak_rss_mb_per_day` of the agent with all its processes, give or take
   `soak_rss_mb_error`; `soak_grows` names what certainly grows. As `python -m benchmarks.soak`.

`--short` is what the tests make: every fail point by name instead of every call, fewer messages, a
soak of a minute. Ends with status 1, and says why, if a promise was not kept.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Final

from benchmarks.kills import kills
from benchmarks.report import Figure, finish, say
from benchmarks.soak import soak
from tests.faults.campaign import campaign

MUST_BE_0: Final = (
    *("torn", "complaints", "power_cuts_torn", "acknowledged_lost", "duplicate_rows"),
    *("soak_lost", "soak_doubled"),
)
AT_MOST: Final = {"max_recovery_s": 5.0, "resent_percent": 1.0}
AT_LEAST: Final = {"kills": 1000, "power_cuts": 200}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="as the tests make it")
    parser.add_argument("--soak-seconds", type=float, default=1800.0)
    options = parser.parse_args()
    figures = {
        "form": "short" if options.short else "whole",
        **_disk(is_short=options.short),
        **_flow(is_short=options.short),
        **_soak(60.0 if options.short else options.soak_seconds),
    }
    finish("faults", figures, ("msgspec", "paho-mqtt"), variant="short" if options.short else "")
    broken = list(_broken(figures))
    for text in broken:
        say(f"not kept: {text}")
    return 1 if broken else 0


def _broken(figures: dict[str, Figure]) -> Iterator[str]:
    """What was promised and is not so, a line each. Growth is said, and judged by people."""
    for key in MUST_BE_0:
        if figures[key]:
            yield f"{key} is {figures[key]}"
    for bounds, is_kept in ((AT_MOST, float.__le__), (AT_LEAST, float.__ge__)):
        for key, bound in bounds.items():
            found = figures[key]
            # None: no disk can be mounted here, which is said above.
            if found is not None and not is_kept(float(found), float(bound)):
                yield f"{key} is {found}, the bound is {bound:g}"


def _disk(*, is_short: bool) -> dict[str, Figure]:
    say("faults of the disk, and power cuts")
    began = time.monotonic()
    found = campaign("short" if is_short else "whole")
    for complaint in found.first_complaints:
        say(f"wrong: {complaint}")
    return {
        "fail_points": found.fail_points,
        "fail_point_names": found.fail_point_names,
        "kills": found.kills,
        "failures": found.failures,
        "torn": found.torn,
        "complaints": found.complaints,
        "max_recovery_s": found.max_recovery_s,
        "power_cuts": found.power_cuts,
        "power_cuts_torn": found.power_cuts_torn,
        "disk_s": round(time.monotonic() - began, 1),
    }


def _flow(*, is_short: bool) -> dict[str, Figure]:
    say("device and broker are killed under messages")
    return kills(3_000, 5) if is_short else kills(100_000, 100)


def _soak(seconds: float) -> dict[str, Figure]:
    say(f"a soak of {seconds:.0f} s")
    found = soak(seconds)
    return {
        "soak_s": found["seconds"],
        "soak_rss_mb_per_day": found["agent_rss_mb_per_day"],
        "soak_rss_mb_error": found["agent_rss_mb_error"],
        "soak_cloud_rss_mb_per_day": found["cloud_rss_mb_per_day"],
        "soak_cloud_rss_mb_error": found["cloud_rss_mb_error"],
        "soak_fds_per_day": found["agent_fds_per_day"],
        "soak_fds_error": found["agent_fds_error"],
        "soak_threads_per_day": found["agent_threads_per_day"],
        "soak_grows": found["grows"],
        "soak_lost": found["lost"],
        "soak_doubled": found["doubled"],
    }


if __name__ == "__main__":
    sys.exit(main())
