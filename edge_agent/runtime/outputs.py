"""A model's outputs: which part of a run belongs to which message, and how they become JSON.

float64 and integers are exact. float32 and float16 are written with the fewest digits that read
back as the same value (0.1, not 0.10000000149011612), up to `_SHORT_UP_TO` elements of a message;
above, as the float64 of the same value, which reads back as the same value, too. NaN and infinity
have no JSON: they become null.
"""

import struct
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct

from edge_agent.errors import ModelError
from edge_agent.runtime.session import Array

MAX_ELEMENTS: Final = 4 * 2**20
"""Of all outputs of one answer: 4 million numbers are about 80 MB of JSON."""

_SHORT_UP_TO: Final = 4096
_FEW: Final = 32
"""Numbers that are sooner written one by one than prepared together."""
_SCALES: Final = (1e6, 1e7, 1e8, 1e9)
_FLOAT32: Final = struct.Struct("f")
_encode: Final = msgspec.json.Encoder().encode
_lines: Final = msgspec.json.Encoder().encode_lines


class RunOutputs:
    """What one run of the model gave, for one message or for many.

    Args:
        arrays: the outputs, in the manifest's order.
    """

    def __init__(self, arrays: Sequence[Array]) -> None:
        self.arrays = arrays
        self.elements = 0
        for array in arrays:
            self.elements += array.size
        self._lists: list[Any] | None = None
        self._texts: list[bytes] = []

    def lists(self) -> list[Any]:  # Any: lists as deep as the output has dimensions
        """All outputs as plain values, made once for all messages of the run."""
        if self._lists is None:
            self._lists = [plain(array) for array in self.arrays]
        return self._lists

    def row_text(self, names: tuple[str, ...], row: int) -> bytes:
        """A row of all outputs as a JSON object; written once for all messages of the run."""
        if not self._texts:
            rows = zip(*self.lists(), strict=True)
            # JSON has no raw line feed, so the lines are the rows.
            self._texts = _lines([dict(zip(names, values, strict=True)) for values in rows]).split(
                b"\n"
            )
        return self._texts[row]


class Outputs(Struct, frozen=True, gc=False):
    """The outputs of one message.

    Attributes:
        names: of the outputs.
        runs: what the model gave; several where each row is a run of its own.
        start: the message's first row in a run that it shares with others.
        rows: its rows there; 0 if the run is the message's alone.
        drops: of each output, whether the first dimension is left out because the binding added it
            to the feed.
        is_list: whether there is one value for each run.
    """

    names: tuple[str, ...]
    runs: tuple[RunOutputs, ...]
    start: int
    rows: int
    drops: tuple[bool, ...]
    is_list: bool

    def arrays(self) -> list[list[Array]]:
        """For each run, the outputs in order."""
        return [
            [self._part_of(array, index) for index, array in enumerate(run.arrays)]
            for run in self.runs
        ]

    def mapping(self) -> dict[str, Array | list[Array]]:
        """Output name to its array, or to one for each run."""
        runs = self.arrays()
        if self.is_list:
            return {name: [run[at] for run in runs] for at, name in enumerate(self.names)}
        return dict(zip(self.names, runs[0], strict=True))

    @property
    def first(self) -> Array:
        """The model's first output, of the last run."""
        return self._part_of(self.runs[-1].arrays[0], 0)

    def json(self) -> bytes:
        """A JSON object: output name to value, or to a list of values.

        Raises:
            ModelError: `result_too_large`.
        """
        if len(self.runs) == 1 and not self.is_list:
            run = self.runs[0]
            # What a batch shares is converted once; what is large, by itself, so that the digits
            # of a message do not depend on its company.
            if run.elements <= _SHORT_UP_TO:
                if self.rows == 1 and all(self.drops):
                    return run.row_text(self.names, self.start)
                return self._shared_json(run)
        return self._whole_json()

    def _shared_json(self, run: RunOutputs) -> bytes:
        lists = run.lists()
        start, rows = self.start, self.rows
        values: dict[str, object] = {}
        for name, found, drops in zip(self.names, lists, self.drops, strict=True):
            if rows:
                # Any output of a shared run is a list of its rows.
                values[name] = found[start] if drops else found[start : start + rows]
            elif drops and len(found) == 1:
                values[name] = found[0]
            else:
                values[name] = found
        return _encode(values)

    def _whole_json(self) -> bytes:
        runs = self.arrays()
        elements = sum(array.size for arrays in runs for array in arrays)
        if elements > MAX_ELEMENTS:
            raise ModelError(
                f"outputs expected at most {MAX_ELEMENTS} elements, found {elements}",
                code="result_too_large",
                hint="send fewer rows a message, or name fewer outputs in [model]",
            )
        if not self.is_list:
            return _encode(
                {name: plain(array) for name, array in zip(self.names, runs[0], strict=True)}
            )
        return _encode(
            {
                name: [plain(arrays[index]) for arrays in runs]
                for index, name in enumerate(self.names)
            }
        )

    def _part_of(self, array: Array, index: int) -> Array:
        drops = self.drops[index]
        if self.rows:
            return array[self.start, ...] if drops else array[self.start : self.start + self.rows]
        return array[0, ...] if drops and array.shape[0] == 1 else array


def plain(array: Array) -> object:
    """An array as nested lists of Python's own values, or one of these."""
    if array.dtype.char not in "fe" or array.size > _SHORT_UP_TO:  # float32 and float16
        value: object = array.tolist()
        return value
    numbers = _short(array.reshape(-1))
    if array.ndim == 1:
        return numbers
    if array.ndim == 0:
        return numbers[0]
    if array.ndim == 2:
        width = array.shape[1]
        return (
            [numbers[at : at + width] for at in range(0, len(numbers), width)]
            if width
            else (array.tolist())
        )
    nested: object = np.array(numbers, dtype=np.float64).reshape(array.shape).tolist()
    return nested


def _short(array: Array) -> list[float]:
    """Each float32 or float16 of [N] as the float with the fewest digits that is read as it."""
    if array.dtype.char == "e":
        return [float(str(number)) for number in array]
    # Most outputs are probabilities and the like: below 8, the nearest number of six decimals is
    # the shortest if it is read as the same float32; else one of seven, eight or nine is.
    if array.size < _FEW:
        return _short_each(array)
    exact = array.astype(np.float64)
    with np.errstate(all="ignore"):
        short = exact
        is_open = np.ones(array.shape, dtype=bool)
        for scale in _SCALES:
            rounded = np.rint(exact * scale) / scale
            short = np.where(is_open, rounded, short)
            is_open &= rounded.astype(np.float32) != array
            if not is_open.any():
                break
        is_open |= ~(np.abs(exact) < 8)
    numbers: list[float] = short.tolist()
    for index in np.flatnonzero(is_open):
        numbers[index] = float(str(array[index]))
    return numbers


def _short_each(array: Array) -> list[float]:
    """The same one by one, by arithmetic alone: writing and reading digits takes longer."""
    numbers: list[float] = array.tolist()
    for index, exact in enumerate(numbers):
        if -8 < exact < 8:
            for scale in _SCALES:
                short = round(exact * scale) / scale
                if _FLOAT32.unpack(_FLOAT32.pack(short))[0] == exact:
                    # Zero is as short as it gets, and would lose its sign.
                    numbers[index] = short or exact
                    break
            else:
                numbers[index] = float(str(array[index]))
        else:
            numbers[index] = float(str(array[index]))
    return numbers
