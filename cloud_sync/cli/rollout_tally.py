"""Where the devices of a stage stand, counted in the few kinds that people ask for. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from cloud_sync.cli.output import Cell, Strip
from cloud_sync.rollout_resources import AssignmentState as State
from cloud_sync.rollout_resources import StageSummary

_KINDS: Final[Mapping[str, frozenset[State]]] = {
    "running": frozenset({State.COMMITTED, State.ALREADY_PRESENT}),
    "shadow": frozenset({State.SHADOW}),
    "moving": frozenset(
        {State.OFFERED, State.DOWNLOADING, State.VERIFIED, State.TRIAL, State.REVERTING}
    ),
    "failed": frozenset({State.REJECTED, State.FAILED, State.TIMED_OUT}),
    "back": frozenset({State.ROLLED_BACK}),
    "taken": frozenset({State.SUPERSEDED}),
    "given_up": frozenset({State.EXPIRED, State.NOT_APPLICABLE}),
    "queued": frozenset({State.QUEUED}),
}


class Tally(Struct, frozen=True, kw_only=True):
    """Devices by kind.

    Attributes:
        running: run the version, also those that did before.
        shadow: run it beside the champion.
        moving: are on their way, there or back.
        failed: could not take it, and run what they ran, or nothing.
        back: run what they ran before again.
        taken: run what newer rollouts bring, whatever they ran of this one.
        given_up: are not asked any more: away for too long, or it fits them no more.
        queued: are not asked yet.
    """

    running: int = 0
    shadow: int = 0
    moving: int = 0
    failed: int = 0
    back: int = 0
    taken: int = 0
    given_up: int = 0
    queued: int = 0

    @property
    def kinds(self) -> dict[str, int]:
        """Kind to devices."""
        return {kind: getattr(self, kind) for kind in _KINDS}

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.kinds.values())

    def done(self, step: str) -> int:
        """Those that are where the stage's step wants them."""
        return self.running + (self.shadow if step == "shadow" else 0)


def tally(counts: Mapping[str, int]) -> Tally:
    """Count states by kind; a state of a newer service counts as not asked yet."""
    known = {state.value: kind for kind, states in _KINDS.items() for state in states}
    found = dict.fromkeys(_KINDS, 0)
    for state, number in counts.items():
        found[known.get(state, "queued")] += number
    return Tally(**found)


def tally_all(stages: Iterable[StageSummary]) -> Tally:
    """All devices of a rollout."""
    found: dict[str, int] = {}
    for stage in stages:
        for state, number in stage.counts.items():
            found[state] = found.get(state, 0) + number
    return tally(found)


_DRAWN: Final = (
    ("running", "█", "#", "green", "run it"),
    ("shadow", "▓", "=", "cyan", "as shadow"),
    ("moving", "▒", ">", "yellow", "on the way"),
    ("failed", "x", "x", "red", "failed"),
    ("back", "<", "<", "magenta", "went back"),
    ("taken", "/", "/", "blue", "taken by newer rollouts"),
    ("given_up", "-", "-", "dim", "given up"),
    ("queued", "·", ".", "dim", "to come"),
)
"""Kind, its character, the one where only ASCII can be written, its colour, its name."""


def bar(found: Tally, width: int, *, is_ascii: bool = False) -> Strip:
    """A bar of so many characters; each kind that has a device has a character at least.

    Args:
        found: what it shows.
        width: in characters, at least as many as there are kinds.
        is_ascii: whether the terminal can draw nothing else.
    """
    lengths = _lengths(found.kinds, width)
    return Strip(
        tuple(
            Cell((plain if is_ascii else character) * lengths[kind], style)
            for kind, character, plain, style, _ in _DRAWN
            if lengths[kind]
        )
    )


def style_of(state: State) -> str:
    """The colour of a state's kind."""
    return next(style for kind, _, _, style, _ in _DRAWN if state in _KINDS[kind])


def legend(found: Tally, *, is_ascii: bool = False) -> Strip:
    """Each kind that there is, in its colour: character, number, name."""
    parts: list[Cell] = []
    for kind, character, plain, style, name in _DRAWN:
        if number := found.kinds[kind]:
            parts.append(Cell(f"{plain if is_ascii else character} {number:,} {name}", style))
            parts.append(Cell("  "))
    return Strip(tuple(parts[:-1]))


def _lengths(numbers: Mapping[str, int], width: int) -> dict[str, int]:
    """Characters of each kind: by share, rounded down, the rest to the largest remainders."""
    total = sum(numbers.values())
    if not total:
        return {kind: width if kind == "queued" else 0 for kind in numbers}
    exact = {kind: number * width / total for kind, number in numbers.items()}
    lengths = {kind: max(int(share), 1 if numbers[kind] else 0) for kind, share in exact.items()}
    while (left := width - sum(lengths.values())) != 0:
        # Too many only because small kinds have a character of their own: the longest gives.
        if left < 0:
            lengths[max(lengths, key=lambda kind: lengths[kind])] -= 1
        else:
            lengths[max(exact, key=lambda kind: exact[kind] - lengths[kind])] += 1
    return lengths
