"""Windows and states that outlive their worker: restarts, swaps, repeats, kills."""

import errno
import json
import mmap
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from edge_agent.contract.kept import Kept, KeptRows
from edge_agent.contract.manifest import Input, Tensor, Window
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.binding.store import MAX_SOURCES, SourceStore
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.message import Incoming
from edge_agent.runtime.region import Region, key_of
from tests.support.engines import TOPIC, load, of_array, of_fields, outputs, row, windowed
from tests.support.models import fields, identity_model, manifest_of
from tests.support.recurrent import Cell, rows_of
from tests.support.regions import contents, region_copy, region_file, snapshots

KEPT = Kept(
    Window(size=3, step=1),
    (KeptRows("x", "int64", 1),),
    (TensorSpec("h", "int64", (1, 1)),),
)
START = [np.zeros((1, 1), np.int64)]


def store_on(fd: int, kept: Kept = KEPT) -> SourceStore:
    store = SourceStore(kept, START)
    assert store.attach(fd) == ""
    return store


def recurrent(fd: int, cell: Cell) -> Engine:
    engine = load(cell.manifest(), cell.model())
    engine.attach(fd)
    return engine


def again(engine: Engine, payload: dict[str, Any], topic: str = TOPIC) -> Any:
    """The outputs of a message that the broker says it may have sent before."""
    message = Incoming(
        topic=topic, payload=json.dumps(payload).encode(), received_s=1.0, is_repeat=True
    )
    answer = engine.answer_all([message])[0]
    if answer is None:
        return None
    assert answer.ok, answer
    return json.loads(answer.outputs)


def test_a_successor_goes_on_with_half_full_windows() -> None:
    with region_file() as fd:
        first = windowed((-1, 3, 2), 3, 2)
        first.attach(fd)
        assert [outputs(first, row(n)) for n in (1, 2)] == [None, None]
        assert outputs(first, row(7), "sensors/other/rows") is None
        second = windowed((-1, 3, 2), 3, 2)
        second.attach(fd)
        assert outputs(second, row(3)) == [[1, -1], [2, -2], [3, -3]]
        assert outputs(second, row(8), "sensors/other/rows") is None
        assert outputs(second, row(9), "sensors/other/rows") == [[7, -7], [8, -8], [9, -9]]
        assert second.notes == ()


def test_a_successor_goes_on_with_states() -> None:
    cell = Cell()
    values = rows_of(1, 6)
    with region_file() as fd:
        found = []
        for value in values:
            engine = recurrent(fd, cell)
            found.append(outputs(engine, {"a": value[0], "b": value[1]})["score"][0])
    assert found == pytest.approx(cell.scores(values), abs=1e-5)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: windowed((-1, 4, 2), 4, 3), id="size"),
        pytest.param(lambda: windowed((-1, 3, 2), 3, 3), id="step"),
        pytest.param(
            lambda: of_fields(
                "float32",
                (-1, 3, 2),
                *fields("b", "a"),
                source=Input(topic="sensors/+/rows", window=Window(size=3, step=2)),
            ),
            id="fields",
        ),
        pytest.param(
            lambda: of_fields(
                "float64",
                (-1, 3, 2),
                *fields("a", "b"),
                source=Input(topic="sensors/+/rows", window=Window(size=3, step=2)),
            ),
            id="type",
        ),
    ],
)
def test_another_layout_begins_empty_and_says_so(other: Any) -> None:
    with region_file() as fd:
        first = windowed((-1, 3, 2), 3, 2)
        assert first.attach(fd) == ""
        outputs(first, row(1))
        outputs(first, row(2))
        second = other()
        assert "began empty" in second.attach(fd)
        [note] = second.notes
        assert "began empty" in note
        assert outputs(second, row(3)) is None
        # And back again: what the first one knew is gone, and nothing else is there.
        third = windowed((-1, 3, 2), 3, 2)
        third.attach(fd)
        assert "began empty" in third.notes[0]
        assert outputs(third, row(3)) is None


def test_rows_without_a_fixed_size_are_kept_in_the_worker_and_it_says_so() -> None:
    source = Input(topic="sensors/+/rows", window=Window(size=2, step=2))
    with region_file() as fd:
        engine = of_array("float32", (-1, 2, -1), "v", source=source)
        engine.attach(fd)
        assert "begin anew at each restart" in engine.notes[0]
        assert outputs(engine, {"v": [1, 2]}) is None
        assert outputs(engine, {"v": [3, 4]}) == [[1, 2], [3, 4]]


def test_a_repeated_message_is_answered_again_and_its_row_not_added_again() -> None:
    with region_file() as fd:
        first = windowed((-1, 2, 2), 2, 1)
        first.attach(fd)
        answers = [outputs(first, row(n)) for n in (1, 2, 3)]
        second = windowed((-1, 2, 2), 2, 1)
        second.attach(fd)
        repeated = [again(second, row(n)) for n in (1, 2, 3)]
        assert [one and one["x_out"] for one in repeated] == answers
        assert again(second, row(4)) == {"x_out": [[3, -3], [4, -4]]}
        assert outputs(second, row(4)) == [[4, -4], [4, -4]]


def test_a_repeated_message_begins_with_the_state_that_it_began_with() -> None:
    cell = Cell()
    values = rows_of(1, 6)
    expected = cell.scores(values)
    messages = [{"a": a, "b": b} for a, b in values]
    with region_file() as fd:
        first = recurrent(fd, cell)
        for message in messages[:4]:
            outputs(first, message)
        second = recurrent(fd, cell)
        # The broker never heard that the second to the fourth were answered.
        found = [again(second, message)["score"][0] for message in messages[1:5]]
        found.append(outputs(second, messages[5])["score"][0])
        assert found == pytest.approx(expected[1:], abs=1e-5)


def test_what_is_too_old_to_be_answered_again_is_an_error_and_changes_nothing() -> None:
    width = 8192  # the wider a state, the fewer of them are remembered
    specs = [TensorSpec(name, "float32", (1, width)) for name in ("x", "h")]
    model = identity_model(*specs)
    manifest = manifest_of(
        model,
        specs,
        [TensorSpec("h_out", "float32", (1, width))],
        [
            Tensor(name="x", source="array", path="v"),
            Tensor(name="h", source="state", output="x_out"),
        ],
    )
    fed_back = TensorSpec("x_out", "float32", (1, width))
    manifest = replace(manifest, model=replace(manifest.model, state_outputs=(fed_back,)))
    with region_file() as fd:
        engine = load(manifest, model)
        engine.attach(fd)
        for number in range(8):
            outputs(engine, {"v": [number] * width})
        payload = json.dumps({"v": [1] * width}).encode()
        old = Incoming(topic=TOPIC, payload=payload, received_s=1.0, is_repeat=True)
        answer = engine.answer_all([old])[0]
        assert answer is not None
        assert answer.code == "repeat_too_old"
        assert outputs(engine, {"v": [8] * width})["h_out"][0] == 7


def test_as_many_repeats_of_one_payload_are_known_as_there_were_messages() -> None:
    with region_file() as fd:
        first = windowed((-1, 2, 2), 2, 1)
        first.attach(fd)
        for _ in range(3):
            outputs(first, row(1))
        second = windowed((-1, 2, 2), 2, 1)
        second.attach(fd)
        assert [again(second, row(1)) is None for _ in range(4)] == [True, False, False, False]
        assert outputs(second, row(2)) == [[1, -1], [2, -2]]


def test_more_sources_than_there_is_room_for_forget_the_most_silent() -> None:
    with region_file() as fd:
        first = windowed((-1, 2, 2), 2, 2)
        first.attach(fd)
        for number in range(MAX_SOURCES):
            outputs(first, row(number), f"sensors/{number}/rows")
        second = windowed((-1, 2, 2), 2, 2)
        second.attach(fd)
        assert outputs(second, row(0), "sensors/new/rows") is None
        assert second.losses == {"window_forgotten": 1}
        # The first one was silent for longest.
        assert outputs(second, row(1), "sensors/0/rows") is None
        assert outputs(second, row(9), "sensors/9/rows") == [[9, -9], [9, -9]]
        assert outputs(second, row(3), "sensors/new/rows") == [[0, 0], [3, -3]]


def push(store: SourceStore, number: int, topic: str = "t") -> list[int] | None:
    """A row and a state of that number; the window that became full, and the state before."""
    source = store.of(topic, [])
    windows = source.push([np.array([[number]])])
    before = int(source.state()[0][0, 0])
    source.keep(number + 1, [np.array([[number]])])
    return [*windows[0][0][:, 0].tolist(), before] if windows else None


def test_a_kill_between_any_two_lines_leaves_what_was_there_or_what_was_written() -> None:
    """The next row goes on from the last one that is valid, whenever the process was killed."""
    rows = 400  # more than a ring holds, and more messages than are remembered
    with region_file() as fd:
        store = store_on(fd)
        for number in range(1, rows):
            push(store, number)
        names = ("memory.py", "slab.py", "window.py", "store.py", "region.py")
        found = snapshots(fd, lambda: push(store, rows), *names)
        assert len(found) > 4
        outcomes = []
        for data in found:
            with region_copy(data) as copy:
                outcomes.append(push(store_on(copy), 1000))
    before, after = [rows - 2, rows - 1, 1000, rows - 1], [rows - 1, rows, 1000, rows]
    assert [one for one in outcomes if one not in (before, after)] == []
    assert outcomes[0] == before
    assert outcomes[-1] == after
    changed = outcomes.index(after)
    assert outcomes[changed:] == [after] * (len(outcomes) - changed)


def test_a_slab_that_was_written_over_begins_empty() -> None:
    with region_file() as fd:
        store = store_on(fd)
        for number in range(5):
            push(store, number)
        junk = bytearray(contents(fd))
        at = bytes(junk).rindex((5).to_bytes(8, "little") + bytes(56))
        junk[at : at + 4096] = b"\xff" * 4096
        with region_copy(bytes(junk)) as copy:
            after = store_on(copy)
            assert [push(after, number) for number in (7, 8, 9)] == [None, None, [7, 8, 9, 8]]


def without_room(*_: object, **__: object) -> mmap.mmap:
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


def test_a_slab_that_cannot_be_mapped_is_there_for_the_next_who_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b, new = (key_of(topic) for topic in ("a", "b", "new"))
    layout = {"fingerprint": bytes(32), "slab_bytes": 4096, "slabs": 2}
    with region_file() as fd:
        region = Region(fd, **layout)
        for free in (2, 1):
            with monkeypatch.context() as patch:
                patch.setattr(mmap, "mmap", without_room)
                with pytest.raises(MemoryError):
                    region.take(b)
            assert region.take(a if free == 2 else b) is not None
        successor = Region(fd, **layout)
        with monkeypatch.context() as patch:
            patch.setattr(mmap, "mmap", without_room)
            for key in (a, new, b):
                with pytest.raises(MemoryError):
                    successor.take(key)
        assert successor.forgotten == 0
        known = successor.take(b)
        assert known is not None
        assert known[1], "nobody has taken it meanwhile"
        assert successor.take(new) is not None
        assert successor.forgotten == 1


def test_a_kill_while_a_slab_changes_hands_mixes_no_two_sources() -> None:
    with region_file() as fd:
        store = store_on(fd)
        for number in range(MAX_SOURCES):
            for value in (1, 2, 3):
                push(store, value, f"{number}")
        found = snapshots(fd, lambda: push(store, 77, "new"), "memory.py", "slab.py", "region.py")
        for data in found:
            with region_copy(data) as copy:
                after = store_on(copy)
                assert push(after, 9, "1") == [2, 3, 9, 3]
            with region_copy(data) as copy:
                after = store_on(copy)
                # The first source's slab was taken: all of it is there, or nothing.
                assert push(after, 9, "0") in ([2, 3, 9, 3], None)
            with region_copy(data) as copy:
                after = store_on(copy)
                assert push(after, 78, "new") is None
                assert push(after, 79, "new") in (None, [77, 78, 79, 78])


def test_a_kill_while_a_region_is_made_anew_leaves_an_empty_one() -> None:
    other = replace(KEPT, window=Window(size=4, step=4))
    with region_file() as fd:
        store = store_on(fd, other)
        push(store, 5)
        fresh = SourceStore(KEPT, START)
        found = snapshots(fd, lambda: fresh.attach(fd), "region.py")
        for data in found[1:]:
            with region_copy(data) as copy:
                store = SourceStore(KEPT, START)
                store.attach(copy)
                assert push(store, 1) is None
        assert contents(fd) == found[-1]
