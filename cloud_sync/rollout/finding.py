"""What a gate answers, and the same in words for people. Pure.

The words name what was measured, what it was compared with, and, while a gate waits, what would
decide it. Must never judge: that is done when it comes here.
"""

import math
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from cloud_sync.rollout.prospect import Prospect
from cloud_sync.rollout.weighing import Outcome
from cloud_sync.rollout_resources import GateFinding

SHARES: Final = frozenset({"error_rate", "slow", "old", "disagreement", "wrong"})
"""Gates whose limits are parts of all messages."""

_WHAT: Final[Mapping[str, str]] = {
    "error_rate": "messages that failed",
    "disagreement": "answers that differ from the champion's",
    "slow": "messages that took too long",
    "old": "messages that were answered too late",
    "memory": "times the memory that it may take",
    "psi": "index of how its scores drifted",
    "wrong": "answers that a label proved wrong",
}
_LEAST_PERCENT: Final = 0.001
_DIGITS: Final = 2


class Answer(Struct, frozen=True, kw_only=True):
    """What one gate makes of its evidence, before it is put into words.

    Attributes:
        value: as measured; None if nothing was.
        good, bad: what it was compared with.
        samples: messages or devices.
        devices: that it was measured on.
        champion: the same value of what ran before; None if that was not measured.
        prospect: what would decide it; None if it is decided, or nothing was measured.
    """

    outcome: Outcome
    value: float | None
    good: float
    bad: float
    samples: int
    devices: int = 0
    champion: float | None = None
    prospect: Prospect | None = None


def in_words(gate: str, answer: Answer) -> GateFinding:
    """What a gate found, for people and programs."""
    need = answer.prospect.need if answer.prospect is not None else ""
    if answer.value is None:
        need = "messages"
        text = f"{_WHAT[gate]}: not measured yet"
    else:
        text = f"{_WHAT[gate]}: {_measured(gate, answer, answer.value)}, {_meaning(gate, answer)}"
    return GateFinding(
        gate=gate,
        outcome=answer.outcome,
        value=answer.value,
        limit=answer.good if answer.outcome == "failed" else answer.bad,
        samples=answer.samples,
        text=text,
        champion=answer.champion,
        need=need,
    )


def _measured(gate: str, answer: Answer, value: float) -> str:
    unit = "message" if gate in SHARES else "device"
    many = "" if answer.samples == 1 else "s"
    text = f"{_number(gate, value)} of {answer.samples:,} {unit}{many}"
    if answer.champion is None:
        return text
    return f"{text}, {_number(gate, answer.champion)} before"


def _meaning(gate: str, answer: Answer) -> str:
    good, bad = _number(gate, answer.good), _number(gate, answer.bad)
    if answer.outcome == "failed":
        return f"surely above {good}"
    if answer.outcome == "passed":
        return f"surely below {bad}"
    prospect = answer.prospect
    match prospect.need if prospect is not None else "judgement":
        case "messages" if gate in SHARES and prospect is not None:
            enough = _rounded(answer.samples * prospect.times)
            return f"too few messages to tell it from {bad}, about {enough:,} would"
        case "messages":
            return f"too few messages to tell it from {bad}"
        case "devices" if prospect is not None:
            enough = math.ceil(answer.devices * prospect.times)
            return f"too few devices to tell it from {bad}, about {enough:,} would"
    return f"neither surely good, up to {good}, nor surely bad, from {bad}"


def _number(gate: str, value: float) -> str:
    return _percent(value) if gate in SHARES else f"{value:.2f}"


def _percent(share: float) -> str:
    """In the digits that say something: `31 %`, `3.1 %`, `0.04 %`; only all is `100 %`."""
    value = share * 100
    if 0 < value < _LEAST_PERCENT:
        return f"< {_LEAST_PERCENT} %"
    if value >= 100:
        return f"{value:.0f} %"
    if value > 99:
        return f"{min(value, 99.9):.1f} %".replace(".0 ", " ")
    return f"{value:.{_DIGITS}g} %"


def _rounded(count: float) -> int:
    """A count of which nobody should believe more than two digits."""
    if count < 1:
        return 1
    unit = int(10 ** max(0, math.floor(math.log10(count)) - _DIGITS + 1))
    return math.ceil(count / unit) * unit
