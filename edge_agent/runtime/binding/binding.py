"""A manifest's whole binding: the value of a message to what the model is fed, run by run.

Rows are stacked into one run where every input of the model leaves its first dimension free;
otherwise each row, or each message, is a run of its own.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import UNSET, Raw, Struct, UnsetType, json

from edge_agent.contract.layout import array_layout, fields_layout, image_layout
from edge_agent.contract.manifest import Manifest, Tensor
from edge_agent.contract.signature import TensorSpec
from edge_agent.errors import MessageError, Unsupported
from edge_agent.runtime.binding.array import ArraySource
from edge_agent.runtime.binding.constant import Constant
from edge_agent.runtime.binding.named import NamedSource
from edge_agent.runtime.binding.path import keys_of, look_up, walk
from edge_agent.runtime.binding.picture import PictureSource
from edge_agent.runtime.binding.raw import RawSource
from edge_agent.runtime.binding.source import RowSource, Source
from edge_agent.runtime.binding.window import WindowStore
from edge_agent.runtime.session import Array, Feed


class Bound(Struct, frozen=True):
    """What one message asks the model.

    Attributes:
        runs: one feed for each run.
        rows: rows, windows or pictures in all runs together.
        is_list: whether the answer is a list with one value for each run.
        adds_rows: whether the first dimension of the feeds was added by the binding, so that the
            answer should not have it either.
        may_join: whether a run may hold other messages' rows as well.
    """

    runs: tuple[Feed, ...]
    rows: int
    is_list: bool
    adds_rows: bool
    may_join: bool = False


class Binding:
    """A compiled binding.

    Args:
        manifest: must have passed `check_fit`.

    Raises:
        Unsupported: a tensor and its model input cannot be brought together.
        MessageError: a constant is not of its tensor's type.
    """

    def __init__(self, manifest: Manifest) -> None:
        specs = {spec.name: spec for spec in manifest.model.inputs}
        self._dtypes = {
            name: np.dtype(object if spec.dtype == "string" else spec.dtype)
            for name, spec in specs.items()
        }
        window = manifest.input.window
        self._max_batch = manifest.runtime.max_batch
        self._sources: list[Source] = []
        self._row_sources: list[RowSource] = []
        self._constants: list[Constant] = []
        self._windows = WindowStore(window) if window is not None else None
        size = window.size if window is not None else None
        for tensor in manifest.tensors:
            self._add(tensor, specs[tensor.name], size)
        self._filled: list[Source | RowSource] = [*self._sources, *self._row_sources]
        self._is_stacked = all(source.layout.stackable for source in self._filled)
        # A list is many messages, unless the message itself is the nested list.
        self._splits_lists = manifest.input.codec == "json" and any(
            tensor.source == "fields" or (tensor.source == "array" and tensor.path)
            for tensor in manifest.tensors
        )
        self._id_keys = keys_of(manifest.input.id)
        self._time_keys = keys_of(manifest.input.time)

    @property
    def forgotten_windows(self) -> int:
        """Source topics whose rows were dropped to stay within bounds."""
        return self._windows.forgotten if self._windows is not None else 0

    def forget(self) -> None:
        """Drop all rows that wait for their window to fill."""
        if self._windows is not None:
            self._windows.clear()

    def bind(self, value: object, topic: str) -> Bound | None:
        """What the model is to be asked.

        Args:
            value: of the message, from the codec.
            topic: of the message; windows are kept for each topic.

        Returns:
            The runs, or None if the rows went into a window that is not full yet.

        Raises:
            MessageError: the message does not fit; nothing of it was kept.
        """
        is_list = self._splits_lists and type(value) is list
        messages: list[object] = value if is_list else [value]  # type: ignore[assignment]
        if is_list:
            self._check_rows(len(messages))
        if self._windows is not None:
            return self._bind_windows(messages, topic, self._windows, is_list=is_list)
        if self._is_stacked:
            return self._bind_stacked(messages, is_list=is_list)
        return self._bind_one_by_one(messages, is_list=is_list)

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
        feeds = [bound.runs[0] for bound in bounds]
        rows = sum(bound.rows for bound in bounds)
        feed: Feed = {
            source.name: np.concatenate([feed[source.name] for feed in feeds])
            for source in self._filled
        }
        for constant in self._constants:
            feed[constant.name] = constant.fill(rows)
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
        """The message's id and time, as JSON; UNSET where it has none or it is no plain value.

        Of a list of messages, lists: one entry a message, null where there is none.
        """
        if type(value) is dict:
            return _copied(walk(value, self._id_keys)), _copied(walk(value, self._time_keys))
        if type(value) is list and self._splits_lists:
            return _copied_all(value, self._id_keys), _copied_all(value, self._time_keys)
        return UNSET, UNSET

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
        self, messages: list[object], topic: str, windows: WindowStore, *, is_list: bool
    ) -> Bound | None:
        rows: list[Array] = []
        is_single = True
        for source in self._row_sources:
            array, is_alone = source.rows(messages, is_list=is_list)
            is_single = is_single and is_alone
            rows.append(array)
            if len(array) != len(rows[0]):
                raise MessageError(
                    f"tensor {source.name!r} expected {len(rows[0])} rows as the others have, "
                    f"found {len(array)}",
                    code="wrong_shape",
                )
        self._check_rows(len(rows[0]))
        full = windows.push(topic, rows)
        if not full:
            return None
        if self._is_stacked:
            feed: Feed = {}
            for index, source in enumerate(self._row_sources):
                stacked = [window[index].reshape(1, *source.layout.row) for window in full]
                feed[source.name] = _joined(stacked)
            for constant in self._constants:
                feed[constant.name] = constant.fill(len(full))
            return Bound((feed,), len(full), False, is_single, may_join=True)
        runs = tuple(self._window_run(window) for window in full)
        adds_rows = any(source.layout.has_rows for source in self._row_sources)
        return Bound(runs, len(full), not is_single, adds_rows)

    def _window_run(self, window: list[Array]) -> Feed:
        feed: Feed = {}
        for array, source in zip(window, self._row_sources, strict=True):
            layout = source.layout
            feed[source.name] = array.reshape(*((1,) if layout.has_rows else ()), *layout.row)
        for constant in self._constants:
            feed[constant.name] = constant.fill(1)
        return feed

    def _check_rows(self, rows: int) -> None:
        if rows == 0:
            raise MessageError("message expected at least one row, found none", code="wrong_shape")
        if rows > self._max_batch:
            raise MessageError(
                f"message expected at most {self._max_batch} rows, found {rows}",
                code="too_many_rows",
                hint="runtime.max_batch of the module sets the limit",
            )

    def _add(self, tensor: Tensor, spec: TensorSpec, window: int | None) -> None:
        match tensor.source:
            case "fields":
                layout = fields_layout(spec.shape, len(tensor.fields), window)
                if layout is None:
                    raise _misfit(tensor, spec)
                named = NamedSource(tensor, spec, layout)
                (self._sources if window is None else self._row_sources).append(named)
            case "array":
                layout = array_layout(spec.shape, window)
                if layout is None:
                    raise _misfit(tensor, spec)
                array = ArraySource(tensor, spec, layout, window)
                (self._sources if window is None else self._row_sources).append(array)
            case "bytes":
                self._sources.append(RawSource(tensor, spec))
            case "image":
                layout = image_layout(spec.shape, tensor.image) if tensor.image else None
                if layout is None:
                    raise _misfit(tensor, spec)
                self._sources.append(PictureSource(tensor, spec, layout))
            case "constant":
                self._constants.append(Constant(tensor, spec))


def _misfit(tensor: Tensor, spec: TensorSpec) -> Unsupported:
    return Unsupported(f"tensor {tensor.name!r} from {tensor.source!r} cannot fill {spec}")


def _joined(arrays: list[Array]) -> Array:
    if len(arrays) == 1:
        return arrays[0]
    joined: Array = np.concatenate(arrays)
    return joined


def _copied(value: object) -> Raw | UnsetType:
    """A plain value as JSON; objects and lists are nobody's id."""
    if value is None or type(value) in (dict, list):
        return UNSET
    return Raw(json.encode(value))


def _copied_all(messages: list[object], keys: tuple[str, ...]) -> Raw | UnsetType:
    found = [look_up(message, keys) for message in messages]
    plain = [None if type(item) in (dict, list) else item for item in found]
    if all(item is None for item in plain):
        return UNSET
    return Raw(json.encode(plain))
