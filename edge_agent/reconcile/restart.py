"""When a worker whose process ended is started again. Pure.

Two wishes are at odds: who is without answers wants the next process at once, and a module that
cannot run must not keep a device busy with starting it. What decides is whether the process that
ended had proved itself: it had run a message, or answered its broker for a while.

- It had: it is started again at once, however often it happens. Each start buys answers.
- It had not: 0.5 s, doubling to a minute, up to half of it left off at random. The doubling is
  forgotten after ten healthy minutes, not by a start that looked good.

Nothing is ever given up for good.
"""

from typing import Final

from msgspec import Struct

FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 60.0
HEALTHY_S: Final = 600.0
PROVED_S: Final = 10.0
"""A process that was connected for this long has proved itself without a message."""
LEAST_S: Final = 0.1
"""From one start to the next, at least."""


class Life(Struct, frozen=True, kw_only=True):
    """A process that ended by itself.

    Attributes:
        lived_s: from its start.
        connected_s: from its first connection; None if it had none.
        runs: of the model on messages that came to an end.
    """

    lived_s: float
    connected_s: float | None = None
    runs: int = 0


class Restart(Struct, frozen=True):
    """What to do.

    Attributes:
        delay_s: until the next start.
        failures: starts in a row that came to nothing; goes into the next decision.
    """

    delay_s: float
    failures: int


def restart(life: Life, failures: int, chance: float) -> Restart:
    """Decide about the next start.

    Args:
        life: of the process that ended.
        failures: as of the last decision; 0 at first.
        chance: a random number from 0 to 1.
    """
    if life.lived_s >= HEALTHY_S and life.connected_s is not None:
        failures = 0
    has_proved_itself = life.runs > 0 or (life.connected_s or 0.0) >= PROVED_S
    if has_proved_itself:
        return Restart(max(0.0, LEAST_S - life.lived_s), failures)
    bound = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures, 16))
    return Restart(bound * (1.0 - chance / 2), failures + 1)
