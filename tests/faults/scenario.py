"""One fault, played out: the chapter up to it, what it left, the start after it, and so on."""

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from signal import SIGKILL
from typing import Final

import msgspec
from msgspec import Struct

from edge_agent.store.files import make_folder
from edge_agent.store.journal import Journal
from tests.faults import child
from tests.faults.check import (
    Expected,
    after_crash,
    goes_on,
    opened,
    recovered,
    settled_slots,
)
from tests.faults.outcome import Outcome, Scenario
from tests.faults.point import agent_functions, named
from tests.faults.preload import Action
from tests.faults.recording import Recording
from tests.faults.stage import Stage, copy_state
from tests.faults.story import CHAPTERS
from tests.faults.witness import Note, Witness, read_notes

_RECOVERY_CALLS: Final = 40
"""A start after a crash makes about so many; it is killed at each of them in turn."""


class Found(Struct):
    """What a child that checks has to say."""

    complaints: list[str] = []
    recovery_s: float = 0.0
    is_torn: bool = False


class Player:
    """Plays scenarios of one chapter.

    Args:
        stage: where.
        chapter: its number.
        base: the state directory as the chapter finds it.
        after: as it leaves it.
        recording: of the chapter without a fault.
    """

    def __init__(
        self, stage: Stage, chapter: int, *, base: Path, after: Path, recording: Recording
    ) -> None:
        self._stage = stage
        self._chapter = CHAPTERS[chapter]
        self._base = base
        self._recording = recording
        self._notes = stage.folder / "notes"
        self._found = stage.folder / "found"
        # None may stay open: the children would have SQLite's locks and connections twice.
        with closing(Journal(make_folder(copy_state(base, stage.work)))) as journal:
            known = journal.desired()
        self._revision = known.revision if known is not None else 0
        with closing(Journal(copy_state(after, stage.work))) as journal:
            desired = journal.desired()
            assert desired is not None
            self._desired = desired
            self._slots = settled_slots(journal.slots())

    def point(self, scenario: Scenario) -> str:
        """Where a fault is meant to happen."""
        return str(self._recording.points[scenario.number - 1])

    def play(self, scenario: Scenario) -> Outcome:
        """Play a scenario and check what it leaves."""
        work = copy_state(self._base, self._stage.work)
        code = child.run(lambda: self._run(scenario, work), self._stage.words)
        notes = read_notes(self._notes)
        point = next((note for note in notes if note["kind"] == "fault"), None)
        is_killed = code == -SIGKILL
        outcome = Outcome(
            scenario=scenario,
            point="" if point is None else point["point"],
            kills=int(is_killed),
            functions=frozenset(
                name for note in notes if note["kind"] == "later" for name in note["functions"]
            ),
        )
        if code != 0 and not is_killed:
            text = f"ended with {code}: {child.last_words(self._stage.words)}"
            return msgspec.structs.replace(outcome, complaints=(text,))
        allowed = after_crash(self._recording, notes) if is_killed else {}
        expected = self.expected(notes, allowed)
        again = copy_state(work, self._stage.folder / "again")
        found = self.look(work, expected, notes)
        if is_killed:
            twice = msgspec.structs.replace(expected, contents={})
            second, kills = self._look_again(scenario.number, again, twice)
            outcome = msgspec.structs.replace(outcome, kills=outcome.kills + kills)
            found = Found(
                complaints=found.complaints + second.complaints,
                recovery_s=max(found.recovery_s, second.recovery_s),
                is_torn=found.is_torn or second.is_torn,
            )
        return msgspec.structs.replace(
            outcome,
            is_torn=found.is_torn,
            complaints=tuple(found.complaints),
            recovery_s=found.recovery_s,
        )

    def _run(self, scenario: Scenario, work: Path) -> None:
        """In a child: the chapter with its fault."""
        witness = Witness(self._notes)
        device = self._stage.device(work, witness, run=self._chapter.__name__)
        preload = self._stage.preload
        is_over = False

        def met(call: str, path: str, number: int) -> None:
            nonlocal is_over
            if number < scenario.number:
                return
            functions = list(agent_functions(sys._getframe(1)))
            if is_over:
                witness.note("later", functions=functions)
                return
            is_over = True
            witness.note("fault", point=str(named(call, path, functions, device.during)))

        preload.watch(work)
        # What cleans up after a failure is only reached after one.
        preload.observe(met, is_for_all=not scenario.action.is_deadly)
        preload.arm(scenario.action, scenario.number)
        self._stage.play(self._chapter, device)

    def expected(self, notes: list[Note], contents: dict[str, frozenset[str]]) -> Expected:
        """What must be found after a run.

        Args:
            notes: of the run.
            contents: what each database may hold.
        """
        return Expected(
            contents=contents,
            slots=self._slots,
            desired=self._desired,
            damaged=frozenset(note["file"] for note in notes if note["kind"] == "damaged"),
            revision=max(
                (note["revision"] for note in notes if note["kind"] == "accepted"),
                default=self._revision,
            ),
        )

    def look(self, state: Path, expected: Expected, notes: list[Note]) -> Found:
        """Check what a run has left, in a child, and go on from it."""
        stage = self._stage

        def check() -> None:
            found = Found()
            found.complaints, found.recovery_s = opened(state, expected)
            found.is_torn = bool(found.complaints)
            self._found.write_bytes(msgspec.json.encode(found))
            device = stage.device(state, Witness(stage.folder / "checked"), run="after")
            device.committed = {
                (note["boot_id"], note["seq"]) for note in notes if note["kind"] == "committed"
            }
            found.complaints += goes_on(device, expected)
            self._found.write_bytes(msgspec.json.encode(found))

        return self._looked(check)

    def _look_again(self, number: int, state: Path, expected: Expected) -> tuple[Found, int]:
        """Kill the start after a crash, too, and check what that leaves.

        Returns:
            What was found, and how many processes were killed.
        """
        stage = self._stage
        kills = self._kill_again(number, state)

        def check() -> None:
            found = Found()
            found.complaints, _ = opened(state, expected)
            found.is_torn = bool(found.complaints)
            self._found.write_bytes(msgspec.json.encode(found))
            device = stage.device(state, Witness(stage.folder / "checked"), run="again")
            more, found.recovery_s = recovered(device, state)
            found.complaints += more
            self._found.write_bytes(msgspec.json.encode(found))

        return self._looked(check), kills

    def _looked(self, check: Callable[[], None]) -> Found:
        self._found.unlink(missing_ok=True)
        code = child.run(check, self._stage.words)
        data = self._found.read_bytes() if self._found.exists() else b"{}"
        found = msgspec.json.decode(data, type=Found)
        if code != 0:
            words = child.last_words(self._stage.words)
            found.complaints.append(f"the start after it ended with {code}: {words}")
        return found

    def _kill_again(self, number: int, state: Path) -> int:
        """Kill the start after the crash as well. Returns how many processes were killed."""
        stage = self._stage

        def start() -> None:
            device = stage.device(state, Witness(stage.folder / "checked"), run="killed")
            stage.preload.watch(state)
            stage.preload.arm(Action.KILL, 1 + number % _RECOVERY_CALLS)
            device.boot()
            device.stop()

        return int(child.run(start, stage.words) == -SIGKILL)
