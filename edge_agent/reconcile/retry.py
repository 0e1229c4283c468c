"""When an attempt is made, and made again. Pure: the random number and the time are given.

Full jitter: a fleet that failed together does not come back together. There is no last attempt:
what can still succeed is tried for ever, at most every few minutes.
"""

from typing import Final

FIRST_DELAY_S: Final = 2.0
LONGEST_DELAY_S: Final = 300.0
LONGEST_WAIT_S: Final = 3600.0 + LONGEST_DELAY_S
"""With what a server may ask for on top."""


def delay_s(attempts: int, chance: float, *, at_least_s: float = 0.0) -> float:
    """How long to wait before the next attempt.

    Args:
        attempts: failures so far, from 1.
        chance: a random number from 0 to 1.
        at_least_s: what the other side asked for, seconds.

    Returns:
        Seconds: anything up to 2, 4, 8 ... 300, on top of what was asked for.
    """
    # The exponent is bounded before the power, so that no count overflows a float.
    bound = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(max(attempts, 1) - 1, 16))
    return max(0.0, at_least_s) + chance * bound


def first_delay_s(spread_s: float, chance: float) -> float:
    """How long to wait before the first attempt at something that many devices were told to do.

    Args:
        spread_s: over how long they spread, seconds; 0 for one device alone.
        chance: a random number from 0 to 1.
    """
    return chance * max(0.0, spread_s)


def remaining_s(next_retry: float | None, since: float, now: float) -> float:
    """How much of a wait is left after a restart of the agent.

    Args:
        next_retry: when the attempt was due, seconds since 1970, or None.
        since: when the wait began, seconds since 1970, by the same clock.
        now: seconds since 1970, by a clock that may have been set in between.

    Returns:
        Seconds, never more than the whole wait was: a clock that jumped back cannot stop retries.
    """
    if next_retry is None:
        return 0.0
    whole_s = max(0.0, next_retry - since)
    return min(max(0.0, next_retry - now), whole_s, LONGEST_WAIT_S)
