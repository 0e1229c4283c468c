"""JPEG and PNG payloads to pictures. The only file that imports Pillow.

A few hundred bytes can announce a picture of many gigabytes, so the size in the header is checked
before one pixel is unpacked.
"""

import io
import warnings
from typing import Final

from PIL import Image, UnidentifiedImageError

from edge_agent.errors import MessageError
from edge_agent.runtime.codecs.codec import JSON_TYPE, AnswerFormat, check_size

_FORMATS: Final = ("JPEG", "PNG")


class ImageCodec:
    """Decodes JPEG and PNG.

    Args:
        max_bytes: longest payload.
        max_pixels: most pixels (width times height).
    """

    content_type = JSON_TYPE
    answers: AnswerFormat | None = None

    def __init__(self, max_bytes: int, *, max_pixels: int) -> None:
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels

    def decode(self, payload: bytes) -> Image.Image:
        """The unpacked picture, in whatever mode its file has.

        Raises:
            MessageError: `too_large`, `image_too_large` or `not_an_image`.
        """
        check_size(payload, self._max_bytes)
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
        except MessageError:
            raise
        except Image.DecompressionBombError as error:
            raise MessageError(f"picture is too large: {error}", code="image_too_large") from error
        except UnidentifiedImageError as error:  # its text is the address of our buffer
            raise MessageError(
                f"payload expected a JPEG or PNG picture, found {len(payload)} bytes that begin "
                f"with {payload[:8].hex(' ') or 'nothing'}",
                code="not_an_image",
            ) from error
        # Damaged files surface as OSError, SyntaxError, ValueError, struct.error, IndexError,
        # MemoryError and more; Pillow promises no list.
        except Exception as error:
            raise MessageError(
                f"picture is damaged: {str(error) or type(error).__name__}", code="not_an_image"
            ) from error
        return picture
