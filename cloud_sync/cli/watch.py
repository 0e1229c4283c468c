"""Looking at the service again and again, also across its restarts.

The first look must succeed: an address that is wrong will not get right. After that a service that
is away is waited for, for as long as somebody watches.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from cloud_sync.errors import Unavailable

T = TypeVar("T")

LONGEST_PAUSE_S: Final = 5.0
"""Somebody looks at the screen: a service that is back must soon be seen there."""


def pause_s(every_s: float, failures: int) -> float:
    """Seconds until the next look, after so many failures in a row: longer and longer."""
    # The exponent is bounded, too: a service may be away for days.
    return min(every_s * 2.0 ** min(failures, 16), max(every_s, LONGEST_PAUSE_S))


def count_down(
    seconds: float, tell: Callable[[float], None], *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Wait, and tell before every second of it how many are left.

    Args:
        seconds: to wait.
        tell: is told the seconds that are left.
        sleep: waits, seconds.
    """
    left_s = seconds
    while left_s > 0:
        tell(left_s)
        sleep(min(left_s, 1.0))
        left_s -= 1.0


def look_again(
    look: Callable[[], T],
    every_s: float,
    *,
    on_lost: Callable[[Unavailable, float], None],
    is_over: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[T]:
    """What is seen, for ever or until it is over.

    Args:
        look: one look.
        every_s: how often, seconds.
        on_lost: told why a look failed, and how many seconds later the next one is taken.
        is_over: asked after every look, also after one that failed.
        sleep: waits, seconds.

    Raises:
        ShoalError: the first look failed, or a later one for a reason that waiting cannot end.
    """
    yield look()
    failures = 0
    while not is_over():
        sleep(pause_s(every_s, failures))
        try:
            found = look()
        except Unavailable as error:
            failures += 1
            on_lost(error, pause_s(every_s, failures))
            continue
        failures = 0
        yield found
