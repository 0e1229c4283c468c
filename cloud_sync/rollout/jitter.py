"""How long an assignment waits before it is offered again. Pure.

Full jitter, so that devices that failed together do not come back together; and seeded, so that
the same rollout waits as long when it is planned again after a restart.
"""

from hashlib import blake2b
from typing import Final

LONGEST_S: Final = 86_400.0
_CHANCES: Final = 2**64


def delay_s(seed: int, device: str, attempts: int, retry_s: float) -> float:
    """How long to wait before the next offer.

    Args:
        seed: the rollout's.
        device: that missed its deadline.
        attempts: offers that did so far, from 1.
        retry_s: longest wait before the first retry, seconds.

    Returns:
        Seconds: anything up to `longest_delay_s`.
    """
    return chance(seed, f"{device}/{attempts}") * longest_delay_s(attempts, retry_s)


def longest_delay_s(attempts: int, retry_s: float) -> float:
    """How long the wait after so many offers may be.

    Args:
        attempts: offers that missed their deadline so far, from 1.
        retry_s: longest wait before the first retry, seconds.

    Returns:
        Seconds: `retry_s`, twice, four times ... of it, and at most a day.
    """
    # The exponent is bounded before the power, so that no count overflows a float.
    return min(LONGEST_S, retry_s * 2.0 ** min(max(attempts, 1) - 1, 32))


def chance(seed: int, what: str) -> float:
    """A number from 0 up to 1 that looks like chance and is the same every time."""
    digest = blake2b(f"{seed}/{what}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _CHANCES
