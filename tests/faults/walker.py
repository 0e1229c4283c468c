"""The process that is loaded with the library: plays its share of the scenarios, one line each.

It has no threads and everything imported, so that the children it forks cost milliseconds. Started
by the walk, never by a person.
"""

import gc
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import httpx  # noqa: F401  # imported late by the downloader: once here, not in every child
import msgspec
from msgspec import Struct

from tests.faults.outcome import Outcome, Scenario
from tests.faults.point import FailPoint
from tests.faults.preload import Action, Preload
from tests.faults.recording import Recording, record
from tests.faults.scenario import Player
from tests.faults.stage import Stage
from tests.faults.story import CHAPTERS, Modules

Form = Literal["short", "whole"]


class Orders(Struct, frozen=True, kw_only=True):
    """What a walker is told.

    Attributes:
        library: that it was started with.
        folder: to work in.
        cloud_url: where blobs come from.
        modules: that are published there.
        share: which scenarios are its own: every `shares`-th, from this one on.
        shares: walkers in all.
        form: how many faults there are.
    """

    library: str
    folder: str
    cloud_url: str
    modules: Modules
    share: int
    shares: int
    form: Form


ATTEMPTS: Final = 3
SHORT_STRIDE: Final = 8
"""In the short form, every so many calls are killed at besides those that have a new name."""


def scenarios(
    chapter: int, recording: Recording, form: Form, met: set[tuple[Action, FailPoint]]
) -> Iterator[Scenario]:
    """The faults of a chapter: every one at every call; in the short form, one for each name.

    Args:
        chapter: its number.
        recording: of it.
        form: how many faults there are.
        met: which names had which faults before; what is new is added.
    """
    for number, point in enumerate(recording.points, 1):
        has_bytes = point.call in ("write", "pwrite")
        kinds = [Action.KILL, Action.FULL, Action.FAIL]
        kinds += [Action.TORN, Action.SHORT] if has_bytes else []
        for action in kinds:
            is_new = (action, point) not in met
            met.add((action, point))
            is_extra = action is Action.KILL and number % SHORT_STRIDE == 0
            if form == "whole" or is_new or is_extra:
                yield Scenario(chapter, action, number)


def walk(orders: Orders) -> Iterator[bytes]:
    """Record every chapter, and play what is this walker's share. Lines of JSON."""
    folder = Path(orders.folder)
    stage = Stage(
        folder,
        preload=Preload(Path(orders.library)),
        cloud_url=orders.cloud_url,
        modules=orders.modules,
    )
    gc.collect()
    gc.freeze()  # a child that collects garbage would copy every page
    base = folder / "nothing"
    met: set[tuple[Action, FailPoint]] = set()
    count = 0
    for number, chapter in enumerate(CHAPTERS):
        recording, after = record(stage, chapter, base)
        if orders.share == 0:
            yield b"R" + msgspec.json.encode(recording)
        player = Player(stage, number, base=base, after=after, recording=recording)
        for scenario in scenarios(number, recording, orders.form, met):
            count += 1
            if count % orders.shares == orders.share:
                yield b"O" + msgspec.json.encode(_played(player, scenario))
        base = after


def _played(player: Player, scenario: Scenario) -> Outcome:
    """Play a scenario; once more if it came by another call than it was meant for.

    How many writes a download makes can hang on how its bytes arrive.
    """
    for _ in range(ATTEMPTS - 1):
        outcome = player.play(scenario)
        if outcome.complaints or outcome.point == player.point(scenario):
            return outcome
    return player.play(scenario)


def main() -> None:
    logging.disable(logging.CRITICAL)
    orders = msgspec.json.decode(sys.argv[1], type=Orders)
    for line in walk(orders):
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
