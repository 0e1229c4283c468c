"""The process that cuts power: plays the story on an image, and looks at copies of the image.

The player is stopped before each call; at the chosen ones the image is copied, mounted elsewhere,
and what is on it is checked as after a crash. Started by `power`, never by a person.
"""

import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import httpx  # noqa: F401  # imported late by the downloader: once here, not in every child
import msgspec
from msgspec import Struct

from edge_agent.store.outbox_file import OUTBOX_FILE
from tests.faults import child, image
from tests.faults.outcome import Outcome, Scenario
from tests.faults.point import FailPoint
from tests.faults.preload import Action, Preload
from tests.faults.recording import Recording, record
from tests.faults.scenario import Player
from tests.faults.stage import Stage
from tests.faults.story import CHAPTERS
from tests.faults.walker import Form, Orders
from tests.faults.witness import Note, Witness, read_notes

SHORT_STRIDE: Final = 60
WHOLE_STRIDE: Final = 4
CHAPTER_S: Final = 1800


class CutOrders(Struct, frozen=True, kw_only=True):
    """What a cutter is told.

    Attributes:
        orders: as a walker; its share is of the fail points.
        options: of ext4.
    """

    orders: Orders
    options: tuple[str, ...]


def chosen(
    recording: Recording, form: Form, share: int, shares: int, met: set[FailPoint]
) -> frozenset[int]:
    """Numbers of the calls at which power is cut: each new name for one cutter, and then some."""
    numbers = set()
    for number, point in enumerate(recording.points, 1):
        if point not in met:
            met.add(point)
            if form == "whole" or len(met) % shares == share:
                numbers.add(number)
        stride = WHOLE_STRIDE if form == "whole" else SHORT_STRIDE
        if number % stride == share:
            numbers.add(number)
    return frozenset(numbers)


def durable_contents(recording: Recording, notes: Sequence[Note]) -> dict[str, frozenset[str]]:
    """What the databases may hold after a cut.

    The journal is flushed with every write. The outbox is flushed now and then: what it holds may
    be as old as that, and no older.
    """
    allowed = {}
    for name, contents in recording.contents.items():
        first, returned = _durable(name, notes[:-1])  # the last call has not been made
        if name != OUTBOX_FILE:
            first = returned
        allowed[name] = frozenset(contents[first : returned + 2])
    return allowed


def _durable(name: str, notes: Sequence[Note]) -> tuple[int, int]:
    """How many writes to a database were flushed, and how many returned."""
    returned = durable = 0
    is_flushed = False
    for note in notes:
        if note["kind"] == name:
            returned += 1
            durable = returned if is_flushed else durable
        elif note["kind"] == "call" and note["file"] == f"{name}-wal":
            # A new log has its head flushed before anything is written to it.
            is_flushed = note["is_flush"]
            durable = returned if is_flushed else durable
    return durable, returned


class Cutter:
    """Plays chapters on one image.

    Args:
        stage: where; its folder is not on the image.
        options: of ext4.
    """

    def __init__(self, stage: Stage, options: tuple[str, ...]) -> None:
        self._stage = stage
        self._options = options
        self._image = stage.folder / "image"
        self._copy = stage.folder / "copy"
        image.make(self._image)
        self._disk = image.mount(self._image, stage.folder / "disk", *options)

    def play(
        self, chapter: int, player: Player, recording: Recording, numbers: frozenset[int]
    ) -> Iterator[Outcome]:
        """Play a chapter, and cut power at some of its calls."""
        notes = self._stage.folder / "cut-notes"
        pid = child.start(lambda: self._run(chapter, notes), self._stage.words, longest_s=CHAPTER_S)
        number = 0
        try:
            while True:
                _, status = os.waitpid(pid, os.WUNTRACED)
                if not os.WIFSTOPPED(status):
                    break
                number += 1
                if number in numbers:
                    yield self._cut(chapter, number, player, recording, read_notes(notes))
                os.kill(pid, signal.SIGCONT)
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        code = os.waitstatus_to_exitcode(status)
        assert code == 0, f"the chapter ended with {code}: {child.last_words(self._stage.words)}"

    def _run(self, chapter: int, notes: Path) -> None:
        """In a child: the chapter, stopping before each call."""
        preload = self._stage.preload
        state = self._disk / "state"
        witness = Witness(notes)
        device = self._stage.device(state, witness, run=CHAPTERS[chapter].__name__)

        def met(call: str, path: str, _number: int) -> None:
            witness.note("call", call=call, file=path, is_flush=call in ("fsync", "fdatasync"))

        preload.watch(state)
        preload.observe(met, is_for_all=True)
        preload.arm(Action.STOP, 1, every=1)
        self._stage.play(CHAPTERS[chapter], device)

    def _cut(
        self, chapter: int, number: int, player: Player, recording: Recording, notes: list[Note]
    ) -> Outcome:
        image.cut(self._image, self._copy)
        disk = image.mount(self._copy, self._stage.folder / "cut", *self._options)
        try:
            expected = player.expected(notes, durable_contents(recording, notes))
            found = player.look(disk / "state", expected, notes)
        finally:
            image.unmount(disk)
        call = notes[-1]
        return Outcome(
            scenario=Scenario(chapter, Action.STOP, number),
            point=f"{call['call']} {call['file']}",
            is_torn=found.is_torn,
            complaints=tuple(found.complaints),
            recovery_s=found.recovery_s,
        )


def cut(told: CutOrders) -> Iterator[bytes]:
    """Play the whole story. Lines of JSON."""
    orders = told.orders
    folder = Path(orders.folder)
    stage = Stage(
        folder,
        preload=Preload(Path(orders.library)),
        cloud_url=orders.cloud_url,
        modules=orders.modules,
    )
    gc.collect()
    gc.freeze()
    cutter = Cutter(stage, told.options)
    base = folder / "nothing"
    met: set[FailPoint] = set()
    for number, chapter in enumerate(CHAPTERS):
        recording, after = record(stage, chapter, base)
        player = Player(stage, number, base=base, after=after, recording=recording)
        numbers = chosen(recording, orders.form, orders.share, orders.shares, met)
        for outcome in cutter.play(number, player, recording, numbers):
            yield msgspec.json.encode(outcome)
        base = after


def main() -> None:
    logging.disable(logging.CRITICAL)
    for line in cut(msgspec.json.decode(sys.argv[1], type=CutOrders)):
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
