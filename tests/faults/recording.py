"""A chapter without any fault: its fail points, and what must be on the disk after each write."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import msgspec
from msgspec import Struct

from edge_agent.reconcile import transition
from edge_agent.store.files import make_folder
from edge_agent.store.journal import JOURNAL_FILE, Journal
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_file import OUTBOX_FILE
from tests.faults import child
from tests.faults.point import FailPoint, agent_functions, named
from tests.faults.preload import Action
from tests.faults.stage import Stage, copy_state
from tests.faults.story import Chapter
from tests.faults.witness import Witness, content, read_notes


class Recording(Struct, frozen=True, kw_only=True):
    """What a chapter does.

    Attributes:
        points: every call that changes the disk, in order.
        functions: of the agent that were on the stack at any of them.
        steps: kinds of steps that were carried out.
        transitions: whose records were written.
        contents: of each database, by its file's name: before the chapter, and after each write.
    """

    points: tuple[FailPoint, ...]
    functions: frozenset[str]
    steps: frozenset[str]
    transitions: frozenset[str]
    contents: dict[str, tuple[str, ...]]


class _Points(Struct):
    """What the child tells of the calls it made."""

    points: list[FailPoint] = []
    functions: set[str] = set()
    steps: set[str] = set()
    transitions: set[str] = set()


def record(stage: Stage, chapter: Chapter, base: Path) -> tuple[Recording, Path]:
    """Play a chapter twice: once to see its calls, once to see what they leave.

    Args:
        stage: where.
        chapter: which.
        base: the state directory as the chapter finds it; it stays as it is.

    Returns:
        The recording, and the state directory as the chapter leaves it.
    """
    calls = _record_calls(stage, chapter, base)
    found = {name: [text] for name, text in _contents_at_start(stage, base).items()}
    after = copy_state(base, stage.folder / f"after-{chapter.__name__}")
    notes = stage.folder / "notes"

    def look() -> None:
        device = stage.device(after, Witness(notes, state=after), run=chapter.__name__)
        stage.play(chapter, device)

    _must_succeed(look, stage.words)
    for note in read_notes(notes):
        if note["kind"] in found:
            found[note["kind"]].append(note["content"])
    recording = Recording(
        points=tuple(calls.points),
        functions=frozenset(calls.functions),
        steps=frozenset(calls.steps),
        transitions=frozenset(calls.transitions),
        contents={name: tuple(texts) for name, texts in found.items()},
    )
    return recording, after


def _record_calls(stage: Stage, chapter: Chapter, base: Path) -> _Points:
    work = copy_state(base, stage.work)
    answer = stage.folder / "points"

    def look() -> None:
        device = stage.device(work, Witness(stage.folder / "notes"), run=chapter.__name__)
        found = _Points()
        pending: set[str] = set()

        def made(frame: FrameType, event: str, _argument: object) -> None:
            if event == "call" and frame.f_code.co_filename == transition.__file__:
                pending.add(frame.f_code.co_name)

        def met(call: str, path: str, _number: int) -> None:
            functions = list(agent_functions(sys._getframe(1)))
            found.points.append(named(call, path, functions, device.during))
            found.functions.update(functions)
            if path.startswith(JOURNAL_FILE):
                found.transitions.update(pending)
                pending.clear()

        stage.preload.watch(work)
        stage.preload.observe(met, is_for_all=True)
        stage.preload.arm(Action.NOTHING, 0)
        sys.setprofile(made)
        stage.play(chapter, device)
        sys.setprofile(None)
        found.steps = device.applied
        stage.preload.watch(Path("/nowhere"))
        answer.write_bytes(msgspec.json.encode(found))

    _must_succeed(look, stage.words)
    return msgspec.json.decode(answer.read_bytes(), type=_Points)


def _contents_at_start(stage: Stage, base: Path) -> dict[str, str]:
    """What the databases hold when they have just been opened."""
    work = copy_state(base, stage.work)
    answer = stage.folder / "contents"

    def look() -> None:
        make_folder(work)
        Journal(work)
        Outbox(work, "none").open()
        found = {name: content(work / name) for name in (JOURNAL_FILE, OUTBOX_FILE)}
        answer.write_bytes(msgspec.json.encode(found))

    _must_succeed(look, stage.words)
    return msgspec.json.decode(answer.read_bytes(), type=dict[str, str])


def _must_succeed(action: Callable[[], None], words: Path) -> None:
    code = child.run(action, words)
    assert code == 0, f"without a fault a chapter ended with {code}: {child.last_words(words)}"
