"""A manifest's whole binding: the value of a message to what the model is fed, run by run.

Rows are stacked into one run where every input of the model leaves its first dimension free;
otherwise each row, or each message, is a run of its own.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Raw, UnsetType

from edge_agent.contract.kept import kept
from edge_agent.contract.manifest import Manifest
from edge_agent.errors import MessageError
from edge_agent.runtime.binding.bound import Bound, Turn
from edge_agent.runtime.binding.compiled import compile_tensors
from edge_agent.runtime.binding.fields import Scalar
from edge_agent.runtime.binding.identity import Identity
from edge_agent.runtime.binding.memory import SourceMemory, States, fingerprint_of
from edge_agent.runtime.binding.named import NamedSource
from edge_agent.runtime.binding.source import RowSource, Source
from edge_agent.runtime.binding.state import StateSource
from edge_agent.runtime.binding.store import SourceStore
from edge_agent.runtime.binding.tensors import TensorInputs, Tensors
from edge_agent.runtime.binding.typed_rows import typed_message
from edge_agent.runtime.binding.window_feeds import WindowFeeds
from edge_agent.runtime.session import Array, Feed


class Binding:
    """A compiled binding.

    Args:
        manifest: must have passed `check_fit`.

    Raises:
        Unsupported: a tensor and its model input cannot be brought together.
        MessageError: a constant or an initial state is not of its tensor's type.

    Attributes:
        notes: what a person should know about windows and states, one sentence each.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._dtypes = {
            spec.name: np.dtype(object if spec.dtype == "string" else spec.dtype)
            for spec in manifest.model.inputs
        }
        self._max_batch = manifest.runtime.max_batch
        compiled = compile_tensors(manifest)
        self._sources = compiled.sources
        self._row_sources = compiled.row_sources
        self._constants = compiled.constants
        self._states = compiled.states
        self._filled: list[Source | RowSource | StateSource] = [
            *self._sources,
            *self._row_sources,
            *self._states,
        ]
        self.notes: tuple[str, ...] = ()
        found = kept(manifest)
        self._store = (
            SourceStore(found, [state.initial for state in self._states]) if found else None
        )
        self._is_stacked = all(source.layout.stackable for source in self._filled)
        self._windows = (
            WindowFeeds(
                self._row_sources,
                self._constants,
                is_stacked=self._is_stacked,
                is_sequential=bool(self._states),
            )
            if manifest.input.window is not None
            else None
        )
        # A list is many messages, unless the message itself is the nested list.
        self._splits_lists = any(
            tensor.source == "fields" or (tensor.source == "array" and tensor.path)
            for tensor in manifest.tensors
        )
        # The usual table: rows stay plain lists until all of a batch become one array at once.
        only = self._sources[0] if len(self._filled) == 1 and self._sources else None
        is_table = isinstance(only, NamedSource) and only.is_plain and self._store is None
        self._table = only if is_table and isinstance(only, NamedSource) else None
        self._tensor_inputs = TensorInputs(manifest)
        self._identity = Identity(manifest.input, splits_lists=self._splits_lists)

    @property
    def has_state(self) -> bool:
        """Whether a message must not be bound before the one before it of its topic is done."""
        return bool(self._states)

    @property
    def forgotten_windows(self) -> int:
        """Source topics whose rows or states were dropped to stay within bounds."""
        return self._store.forgotten if self._store is not None else 0

    def forget(self) -> None:
        """Drop all rows and states of a binding that nothing is attached to."""
        if self._store is not None:
            self._store.clear()

    def attach(self, fd: int) -> None:
        """Go on with the windows and states of a region, and keep them there from now on.

        Args:
            fd: of the region's memory file; stays the caller's.
        """
        if self._store is not None:
            note = self._store.attach(fd)
            self.notes = (note,) if note else ()

    def bind(
        self, value: object, topic: str, payload: bytes = b"", *, is_repeat: bool = False
    ) -> Bound | None:
        """What the model is to be asked.

        Args:
            value: of the message, from the codec.
            topic: of the message; windows and states are kept for each topic.
            payload: of the message; by it a message is known that comes again.
            is_repeat: whether the message may have come before.

        Returns:
            The runs, or None if the rows went into a window that is not full yet.

        Raises:
            MessageError: the message does not fit; nothing of it was kept.
        """
        if self._table is not None and type(value) is dict:
            return Bound((), 1, False, True, True, None, self._table.read(value))
        if isinstance(value, Tensors):
            return self._bind_tensors(value)
        if isinstance(value, np.ndarray) and self._splits_lists:
            sources = len(self._sources) + len(self._row_sources)
            one_by_one = not self._is_stacked and not self._row_sources
            value = typed_message(value, sources, one_by_one=one_by_one)
        is_list = self._splits_lists and type(value) is list
        messages: list[object] = value if is_list else [value]  # type: ignore[assignment]
        if is_list:
            self._check_rows(len(messages))
        if self._store is not None:
            known = fingerprint_of(payload) if payload else 0
            if self._windows is not None:
                return self._bind_windows(
                    messages,
                    topic,
                    self._windows,
                    self._store,
                    known,
                    is_list=is_list,
                    is_repeat=is_repeat,
                )
            bound = self._row_by_row(self._bind_plain(messages, is_list=is_list))
            source = self._store.of(topic, [])
            index = source.find(known) if is_repeat else None
            return self._with_state(bound, source, known, index)
        return self._bind_plain(messages, is_list=is_list)

    def _bind_tensors(self, tensors: Tensors) -> Bound:
        feed, rows = self._tensor_inputs.feed(tensors)
        # Joined messages share the module's constants; this one may have brought its own.
        is_plain = len(tensors.arrays) + len(self._constants) == len(feed) and not self._store
        may_join = self.can_join and is_plain
        return Bound((feed,), rows, is_list=False, adds_rows=False, may_join=may_join)

    def check_states(self, arrays: list[Array], messages: int) -> None:
        """Check the states that a run leaves behind.

        Args:
            arrays: all outputs that were computed.
            messages: that shared the run.

        Raises:
            ModelError: one of them cannot be fed to the model again.
        """
        for state in self._states:
            state.check(arrays, messages)

    def keep(self, bound: Bound, index: int, arrays: list[Array]) -> None:
        """A run on a message was done: its state goes into the next run, or is remembered.

        Args:
            bound: of the message.
            index: of the run among the message's own.
            arrays: the message's part of all outputs that were computed, first dimension kept;
                `check_states` had no objection.
        """
        turn = bound.turn
        if turn is None:
            return
        states = [state.next_state(arrays) for state in self._states]
        if index + 1 < len(bound.runs):
            self._feed_states(bound.runs[index + 1], states)
        elif not turn.is_repeat:
            turn.source.keep(turn.fingerprint, states)

    @property
    def can_join(self) -> bool:
        """Whether messages can share a run at all, as far as their inputs go."""
        return self._is_stacked and bool(self._filled)

    def join(self, bounds: Sequence[Bound]) -> Feed:
        """One feed for several messages, their rows one behind the other.

        Args:
            bounds: those that may join.

        Raises:
            ValueError: inner dimensions that the model leaves free differ.
        """
        table = [bound.row for bound in bounds if bound.row is not None]
        if self._table is not None and len(table) == len(bounds):
            return self._table_feed(self._table, table)
        feeds = [self.feeds(bound)[0] for bound in bounds]
        feed: Feed = {
            source.name: np.concatenate([feed[source.name] for feed in feeds])
            for source in self._filled
        }
        rows = sum(bound.rows for bound in bounds)
        for constant in self._constants:
            feed[constant.name] = constant.fill(rows)
        return feed

    def feeds(self, bound: Bound) -> tuple[Feed, ...]:
        """What the model is fed for one message, run by run."""
        if self._table is None or bound.row is None:
            return bound.runs
        return (self._table_feed(self._table, [bound.row]),)

    def _table_feed(self, table: NamedSource, rows: list[list[Scalar]]) -> Feed:
        feed: Feed = {table.name: table.pack(rows)}
        for constant in self._constants:
            feed[constant.name] = constant.fill(len(rows))
        return feed

    def sample(self, rows: int) -> tuple[Feed, ...]:
        """Feeds of one made-up row each, all different, for a binding that can join.

        Free inner dimensions are 1; constants are what they always are.
        """
        noise = np.random.default_rng(rows)
        feeds: list[Feed] = []
        for _ in range(rows):
            feed: Feed = {}
            for source in self._filled:
                dtype = self._dtypes[source.name]
                shape = (1, *(max(1, size) for size in source.layout.row))
                values = noise.random(shape) if dtype.kind == "f" else noise.integers(0, 2, shape)
                feed[source.name] = values.astype(str if dtype.kind == "O" else dtype)
                if dtype.kind == "O":
                    feed[source.name] = feed[source.name].astype(object)
            for constant in self._constants:
                feed[constant.name] = constant.fill(1)
            feeds.append(feed)
        return tuple(feeds)

    def identify(self, value: object) -> tuple[Raw | UnsetType, Raw | UnsetType]:
        """The message's id and time, as JSON; see `Identity`."""
        return self._identity.of(value)

    def _bind_plain(self, messages: list[object], *, is_list: bool) -> Bound:
        if self._is_stacked:
            return self._bind_stacked(messages, is_list=is_list)
        return self._bind_one_by_one(messages, is_list=is_list)

    def _bind_stacked(self, messages: list[object], *, is_list: bool) -> Bound:
        feed: Feed = {}
        rows = -1
        adds_rows = False
        for source in self._sources:
            array, is_added = source.stack(messages, is_list=is_list)
            found = len(array)
            if rows not in (-1, found):
                raise MessageError(
                    f"tensor {source.name!r} expected {rows} rows as the others have, "
                    f"found {found}",
                    code="wrong_shape",
                    hint="send as many rows for each tensor of a message",
                )
            rows = found
            adds_rows = adds_rows or is_added
            feed[source.name] = array
        self._check_rows(rows)
        for constant in self._constants:
            feed[constant.name] = constant.fill(rows)
        return Bound((feed,), rows, False, adds_rows, may_join=True)

    def _bind_one_by_one(self, messages: list[object], *, is_list: bool) -> Bound:
        adds_rows = False
        runs: list[Feed] = []
        for message in messages:
            feed: Feed = {}
            for source in self._sources:
                feed[source.name], is_added = source.whole(message)
                adds_rows = adds_rows or is_added
            for constant in self._constants:
                feed[constant.name] = constant.fill(1)
            runs.append(feed)
        return Bound(tuple(runs), len(runs), is_list, adds_rows)

    def _bind_windows(
        self,
        messages: list[object],
        topic: str,
        windows: WindowFeeds,
        store: SourceStore,
        known: int,
        *,
        is_list: bool,
        is_repeat: bool,
    ) -> Bound | None:
        rows, is_single = windows.rows(messages, is_list=is_list)
        self._check_rows(len(rows[0]))
        memory = store.of(topic, rows)
        index = memory.find(known) if is_repeat else None
        full = memory.push(rows) if index is None else memory.windows_again(index)
        if full is None:
            raise _not_again()
        if not full or not self._states:
            if index is None:
                memory.keep(known)
            return windows.bound(full, is_single=is_single) if full else None
        bound = windows.bound(full, is_single=is_single)
        return self._with_state(bound, memory, known, index)

    def _row_by_row(self, bound: Bound) -> Bound:
        """A run for each row: each needs the state that the one before it left."""
        runs: list[Feed] = []
        for feed in bound.runs:
            stacked = [s.name for s in self._sources if s.layout.stackable]
            counts = {len(feed[name]) for name in stacked}
            if len(counts) > 1:
                raise MessageError(
                    f"tensors expected the same number of rows, found {sorted(counts)}",
                    code="wrong_shape",
                    hint="send as many rows for each tensor of a message",
                )
            count = counts.pop() if counts else 1
            if count == 1:
                runs.append(feed)
                continue
            self._check_rows(count)
            ones = {constant.name: constant.fill(1) for constant in self._constants}
            runs += [
                {name: feed[name][row : row + 1] for name in stacked} | ones for row in range(count)
            ]
        if len(runs) == len(bound.runs):
            return bound
        return Bound(tuple(runs), len(runs), is_list=True, adds_rows=True)

    def _with_state(
        self, bound: Bound, source: SourceMemory, known: int, index: int | None
    ) -> Bound:
        """A message's runs, the first with the state that the message begins with."""
        states = source.state() if index is None else source.state_before(index)
        if states is None:
            raise _not_again()
        self._feed_states(bound.runs[0], states)
        return Bound(
            bound.runs,
            bound.rows,
            bound.is_list,
            bound.adds_rows,
            bound.may_join,
            Turn(source, known, index is not None),
        )

    def _feed_states(self, feed: Feed, states: States) -> None:
        for source, state in zip(self._states, states, strict=True):
            feed[source.name] = state

    def _check_rows(self, rows: int) -> None:
        if rows == 0:
            raise MessageError(
                "message expected at least one row, found none",
                code="wrong_shape",
                hint="send a row, or leave the message out",
            )
        if rows > self._max_batch:
            raise MessageError(
                f"message expected at most {self._max_batch} rows, found {rows}",
                code="too_many_rows",
                hint="runtime.max_batch of the module sets the limit",
            )


def _not_again() -> MessageError:
    return MessageError(
        "the message came again after it was answered or its answer was lost, and what it was "
        "answered from is not there any more",
        code="repeat_too_old",
        hint="nothing, after a crash; else have the sender not repeat what was answered",
    )
