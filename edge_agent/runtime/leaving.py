"""How a worker leaves its broker so that nothing is lost and nothing answered twice. Pure.

1. Answer: go on until, at one instant, nothing is unread, unwritten or unsettled. Under load such
   an instant may not come by itself, so this has an end.
2. Drain: leave QoS 1 messages that are new, or wait for their turn, to the successor; await what
   is unsettled.
3. Confirm: ask the broker something that it answers in order, so that it must have read our last
   acknowledgements first. Closing a connection with unread data resets it, and a broker may then
   throw away what it has not read; it would give messages that we answered to the successor.
4. Leave.
"""

from enum import StrEnum
from typing import Final

ANSWER_S: Final = 1.0
"""Longest time for step 1, after the order to stop."""
LONGEST_S: Final = 4.0
"""Longest time for everything; the agent ends a worker a second later."""


class Step(StrEnum):
    """What to do next."""

    ANSWER = "answer"
    DRAIN = "drain"
    CONFIRM = "confirm"
    LEAVE = "leave"


def next_step(
    step: Step, *, elapsed_s: float, is_quiet: bool, unsettled: int, is_confirmed: bool
) -> Step:
    """The step that follows.

    Args:
        step: the current one; ANSWER at first.
        elapsed_s: since the order to stop.
        is_quiet: nothing is unread or unwritten at this instant.
        unsettled: answered messages whose result the broker has not acknowledged.
        is_confirmed: the broker has answered the question of step 3.
    """
    if elapsed_s > LONGEST_S:
        return Step.LEAVE
    match step:
        case Step.ANSWER if is_quiet and unsettled == 0:
            return Step.CONFIRM
        case Step.ANSWER if elapsed_s > ANSWER_S:
            return Step.DRAIN
        case Step.DRAIN if unsettled == 0:
            return Step.CONFIRM
        case Step.CONFIRM if is_confirmed:
            return Step.LEAVE
    return step
