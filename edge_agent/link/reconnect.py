"""When the agent comes back to a broker, and what it then says at once. Pure.

Everybody on a broker loses it at the same moment and finds it again at the same moment. So nobody
comes straight back: each draws its moment, over a window that the cloud has told it and that
grows with the fleet.
"""

from typing import Final

FIRST_DELAY_S: Final = 1.0
LONGEST_DELAY_S: Final = 60.0


def reconnect_delay_s(
    attempt: int, chance: float, *, spread_s: float = 0.0, was_ready: bool = False
) -> float:
    """Full jitter: anything up to 1 s, 2 s, 4 s ... 60 s, and over the fleet's window at least.

    Args:
        attempt: failures in a row, from 1; a connection that was ready and is lost is the first.
        chance: a random number from 0 to 1.
        spread_s: the fleet's window, seconds.
        was_ready: whether a connection was lost, as all others will have lost theirs, and not one
            refused.
    """
    backoff = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(max(attempt, 1) - 1, 10))
    return chance * max(backoff, spread_s if was_ready else min(spread_s, LONGEST_DELAY_S))


def health_delay_s(interval_s: float, chance: float, *, spread_s: float) -> float:
    """How long the first health report waits after a connection was made.

    It says nothing urgent, and the next ones keep the distance that the first ones had.

    Args:
        interval_s: between two health reports.
        chance: a random number from 0 to 1.
        spread_s: the fleet's window, seconds; 0 for a device alone, which waits for nobody.
    """
    return chance * min(max(0.0, spread_s), interval_s)
