"""Layout: how one row, one window of rows or one picture lies in a model's tensor.

The one place that reads a shape: the build uses it to refuse a binding that cannot fit, the
device to fill the tensor. Pure: it sees shapes, never values.
"""

from typing import Final

from msgspec import Struct

from edge_agent.contract.manifest import Image
from edge_agent.contract.signature import DYNAMIC, shape_accepts

CHANNELS: Final = {"L": 1, "RGB": 3, "BGR": 3}
"""Order of the channels to how many these are."""


class Layout(Struct, frozen=True):
    """Where a row lies in a tensor.

    Attributes:
        row: shape of one row, one window or one picture, without the dimension of rows.
        has_rows: whether a first dimension, free or 1, stands before `row`.
        stackable: whether that dimension is free, so that several rows fit one run.
    """

    row: tuple[int, ...]
    has_rows: bool
    stackable: bool


def fields_layout(shape: tuple[int, ...], count: int, window: int | None) -> Layout | None:
    """How `count` named values, or `window` rows of them, lie in a tensor.

    Without a window: [N, F] or [1, F]; [F]; and for a single value also [N] and [].
    With one: [N, size, F] or [1, size, F]; [N, size*F] or [1, size*F]; [size, F]; [size*F].
    Where free dimensions leave a choice, the first of these is taken.

    Args:
        shape: of the model's input; -1 is free.
        count: F, values in a row.
        window: rows in a window, or None.

    Returns:
        The layout, or None if the values do not fit.
    """
    if window is None:
        rows: tuple[tuple[int, ...], ...] = ((count,), ()) if count == 1 else ((count,),)
        if len(shape) == 1 and shape[0] == DYNAMIC and count > 1:
            return None  # a free [N] is N rows of one value, not one row of N
    else:
        rows = ((window, count), (window * count,))
    return _first_fit(shape, rows)


def array_layout(shape: tuple[int, ...], window: int | None) -> Layout | None:
    """How the nested list of a message lies in a tensor.

    Without a window every shape fits: a message gives the whole tensor, or one row of it where
    the first dimension is free. With one, a message gives one row, a flat list.

    Args:
        shape: of the model's input; -1 is free.
        window: rows in a window, or None.
    """
    if window is None:
        stackable = bool(shape) and shape[0] == DYNAMIC
        return Layout(shape[1:] if stackable else shape, stackable, stackable)
    if len(shape) == 3:
        return _first_fit(shape, ((window, shape[2]),))
    if len(shape) == 2:
        flat = shape[1] if shape[1] == DYNAMIC or shape[1] % window == 0 else None
        rows = ((flat,),) if flat is not None else ()
        return _first_fit(shape, (*rows, (window, shape[1])))
    return None


def window_width(layout: Layout, window: int) -> int:
    """Values in one row of a window of nested lists, or -1 if the model leaves it open.

    Args:
        layout: of the window, from `array_layout`.
        window: rows in it.
    """
    if len(layout.row) == 2:
        return layout.row[1]
    return DYNAMIC if layout.row[0] == DYNAMIC else layout.row[0] // window


def image_layout(shape: tuple[int, ...], image: Image) -> Layout | None:
    """How a picture lies in a tensor, with or without a first dimension of pictures.

    Args:
        shape: of the model's input; -1 is free.
        image: size, channels and order.
    """
    return _first_fit(shape, (image_shape(image),))


def image_shape(image: Image) -> tuple[int, ...]:
    """Shape of one picture, without a dimension of pictures."""
    height, width, channels = image.height, image.width, CHANNELS[image.channels]
    match image.layout:
        case "HWC":
            return (height, width, channels)
        case "CHW":
            return (channels, height, width)
        case "HW":
            return (height, width)
        case "flat":
            return (height * width * channels,)


def per_channel(number: float | tuple[float, ...], channels: int) -> tuple[float, ...]:
    """A number for each channel; what is no list holds for all."""
    return number if isinstance(number, tuple) else (number,) * channels


def _first_fit(shape: tuple[int, ...], rows: tuple[tuple[int, ...], ...]) -> Layout | None:
    for row in rows:
        if shape and shape[0] in (DYNAMIC, 1) and shape_accepts(shape[1:], row):
            return Layout(row, has_rows=True, stackable=shape[0] == DYNAMIC)
    for row in rows:
        if shape_accepts(shape, row):
            return Layout(row, has_rows=False, stackable=False)
    return None
