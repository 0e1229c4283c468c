"""`from = "image"`: a picture is resized and laid out as the model wants it."""

from typing import TYPE_CHECKING, Final, cast

import numpy as np

from edge_agent.contract.layout import CHANNELS, Layout, per_channel
from edge_agent.contract.manifest import Tensor
from edge_agent.contract.signature import FLOATS, TensorSpec, integer_range
from edge_agent.errors import MessageError, Unsupported
from edge_agent.runtime.session import Array

if TYPE_CHECKING:  # Pillow is loaded by the image codec, and only for modules that have pictures
    from PIL.Image import Image as Picture

_BILINEAR: Final = 2
"""Pillow's number for it, which is part of its interface."""


class PictureSource:
    """Pictures.

    Args:
        tensor: with its section [tensor.image].
        spec: the model's input.
        layout: how a picture lies in it.

    Raises:
        Unsupported: the section is missing.
    """

    def __init__(self, tensor: Tensor, spec: TensorSpec, layout: Layout) -> None:
        if tensor.image is None:
            raise Unsupported(
                f"tensor {tensor.name!r} needs a section [tensor.image]",
                hint="add it to the tensor: width, height, and how values are scaled",
            )
        self.name = tensor.name
        self.layout = layout
        self._image = tensor.image
        self._dtype = spec.dtype
        channels = CHANNELS[tensor.image.channels]
        scale = per_channel(tensor.image.scale, channels)
        offset = per_channel(tensor.image.offset, channels)
        self._is_scaled = {*scale} != {1.0} or {*offset} != {0.0}
        # Along the last dimension, as Pillow has the channels; one number where all are the same.
        self._scale = np.array(scale if len({*scale}) > 1 else scale[0], np.float32)
        self._offset = np.array(offset if len({*offset}) > 1 else offset[0], np.float32)

    def stack(self, messages: list[object], *, is_list: bool) -> tuple[Array, bool]:  # noqa: ARG002 -- part of Source
        """One picture, [1, *row]."""
        return self._pixels(messages[0])[None], True

    def whole(self, message: object) -> tuple[Array, bool]:
        """One picture as the whole tensor."""
        pixels = self._pixels(message)
        return (pixels[None], True) if self.layout.has_rows else (pixels, False)

    def _pixels(self, message: object) -> Array:
        picture = cast("Picture", message)
        image = self._image
        try:
            picture = picture.convert("L" if image.channels == "L" else "RGB")
            if picture.size != (image.width, image.height):
                picture = picture.resize((image.width, image.height), _BILINEAR)
        except (ValueError, OSError) as error:
            raise MessageError(
                f"picture of mode {picture.mode!r} cannot be converted: {error}",
                code="not_an_image",
                hint="save it in 8 bits a channel, grey or RGB",
            ) from error
        pixels: Array = np.asarray(picture)
        if image.channels == "BGR":
            pixels = pixels[:, :, ::-1]
        if self._is_scaled:
            pixels = pixels * self._scale + self._offset
            if self._dtype not in FLOATS:
                low, high = integer_range(self._dtype)
                pixels = np.clip(np.rint(pixels), low, high)
        if image.layout == "CHW":
            pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(pixels, dtype=self._dtype).reshape(self.layout.row)
