"""JPEG and PNG payloads to pictures. The only file that imports Pillow.

A few hundred bytes can announce a picture of many gigabytes, so the size in the header is checked
before one pixel is unpacked. Pixels are taken as they are stored: a note about the camera's
orientation (EXIF) is not followed, as in the libraries that models are trained with. What cannot
become 8 bits a channel without a guess is refused: 16 bits, and transparency. Each scan of a
progressive JPEG goes over the whole picture again and may be a few bytes long, so their number is
bounded, too. None of this proves that Pillow comes back: while it has a picture, the codec says
since when, and a `RunWatch` ends a process that is held.
"""

import io
import time
import warnings
from collections.abc import Callable
from typing import Final

from PIL import Image, UnidentifiedImageError

from edge_agent.errors import MessageError
from edge_agent.runtime.codecs.codec import JSON_TYPE, AnswerFormat, check_size

_FORMATS: Final = ("JPEG", "PNG")
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH_AT: Final = 24
_SCAN: Final = b"\xff\xda"
_MAX_SCANS: Final = 64
"""Cameras and libraries write about ten; a thumbnail in the metadata has some, too."""

_WITH_ALPHA: Final = ("LA", "PA", "La", "RGBA", "RGBa")


class ImageCodec:
    """Decodes JPEG and PNG.

    Args:
        max_bytes: longest payload.
        max_pixels: most pixels (width times height).

    Attributes:
        began_s: when the picture that is being unpacked was begun, seconds, monotonic; 0 for none.
        on_begin: told before each picture.
    """

    content_type = JSON_TYPE
    answers: AnswerFormat | None = None

    def __init__(self, max_bytes: int, *, max_pixels: int) -> None:
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels
        self.began_s = 0.0
        self.on_begin: Callable[[], None] | None = None

    def terminate(self, began_s: float) -> None:
        """Nothing: Pillow cannot be asked to end."""

    def decode(self, payload: bytes) -> Image.Image:
        """The unpacked picture, in whatever mode its file has; 8 bits a channel, opaque.

        Raises:
            MessageError: `too_large`, `image_too_large`, `image_unsupported` or `not_an_image`.
        """
        check_size(payload, self._max_bytes)
        # Pillow halves 16 bits to 8 for colours, cuts them off at 255 for greys, and says nothing.
        if payload[:8] == _PNG and payload[_PNG_DEPTH_AT : _PNG_DEPTH_AT + 1] == b"\x10":
            raise MessageError(
                "picture expected 8 bits a channel, found 16",
                code="image_unsupported",
                hint="send 8 bits, or raw values with codec 'octet-stream'",
            )
        # Within pixels these two bytes never stand side by side.
        if payload[:2] == b"\xff\xd8" and (scans := payload.count(_SCAN)) > _MAX_SCANS:
            raise MessageError(
                f"JPEG expected at most {_MAX_SCANS} scans, found {scans}",
                code="image_unsupported",
                hint="save it as a baseline JPEG",
            )
        if self.on_begin is not None:
            self.on_begin()
        self.began_s = time.monotonic()
        try:
            return self._unpacked(payload)
        finally:
            self.began_s = 0.0

    def _unpacked(self, payload: bytes) -> Image.Image:
        try:
            with warnings.catch_warnings():
                # Pillow warns about bombs and odd metadata; our own bound is stricter.
                warnings.simplefilter("ignore")
                picture = Image.open(io.BytesIO(payload), formats=_FORMATS)
                width, height = picture.size
                if width * height > self._max_pixels:
                    raise MessageError(
                        f"picture expected at most {self._max_pixels} pixels, "
                        f"found {width}x{height}",
                        code="image_too_large",
                        hint="image.max_pixels of the module sets the limit",
                    )
                picture.load()
                return _opaque(picture)
        except MessageError:
            raise
        except Image.DecompressionBombError as error:
            raise MessageError(
                f"picture is too large: {error}",
                code="image_too_large",
                hint="send a smaller picture; the model gets it resized anyway",
            ) from error
        except UnidentifiedImageError as error:  # its text is the address of our buffer
            raise MessageError(
                f"payload expected a JPEG or PNG picture, found {len(payload)} bytes that begin "
                f"with {payload[:8].hex(' ') or 'nothing'}",
                code="not_an_image",
                hint="send the file's own bytes, without base64 or a header before them",
            ) from error
        # Damaged files surface as OSError, SyntaxError, ValueError, struct.error, IndexError,
        # MemoryError and more; Pillow promises no list.
        except Exception as error:
            raise MessageError(
                f"picture is damaged: {str(error) or type(error).__name__}",
                code="not_an_image",
                hint="send it again whole; look at the camera or at what cut it off",
            ) from error


def _opaque(picture: Image.Image) -> Image.Image:
    """A picture without its alpha channel, if that says nothing.

    Raises:
        MessageError: `image_unsupported`, a pixel is transparent: what is behind it, nobody knows.
    """
    if picture.mode not in _WITH_ALPHA and "transparency" not in picture.info:
        return picture
    whole = picture.convert("RGBA")
    lowest, _ = whole.getchannel("A").getextrema()
    if lowest != 255:
        raise MessageError(
            f"picture expected opaque pixels, found transparent ones (mode {picture.mode})",
            code="image_unsupported",
            hint="put the picture on a background before sending it",
        )
    return whole.convert("RGB")
