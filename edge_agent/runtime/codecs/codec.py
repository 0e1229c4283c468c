"""What every codec is, and how the one of a manifest is made."""

from typing import Protocol

from edge_agent.contract.manifest import Manifest
from edge_agent.errors import MessageError, Unsupported


class Codec(Protocol):
    """Turns payloads of one format into values."""

    def decode(self, payload: bytes) -> object:
        """The value of a payload.

        Raises:
            MessageError: the payload is too large or not of this format.
        """
        ...


def codec_of(manifest: Manifest) -> Codec:
    """The codec that a manifest names, with the manifest's bounds.

    Raises:
        Unsupported: the format needs a part that is not installed here.
    """
    limit = manifest.input.max_bytes
    match manifest.input.codec:
        case "json":
            from edge_agent.runtime.codecs.json import JsonCodec

            return JsonCodec(limit)
        case "octet-stream":
            from edge_agent.runtime.codecs.octet_stream import OctetStreamCodec

            return OctetStreamCodec(limit)
        case "image":
            # Pillow is 10 MB of memory that only pictures should pay for.
            try:
                from edge_agent.runtime.codecs.image import ImageCodec
            except ImportError as error:
                raise Unsupported(
                    f"codec 'image' needs Pillow, which cannot be imported here: {error}",
                    hint="pip install pillow",
                    code="codec_missing",
                ) from error
            pixels = [t.image.max_pixels for t in manifest.tensors if t.image is not None]
            return ImageCodec(limit, max_pixels=min(pixels, default=1))
        case codec:
            raise Unsupported(f"codec {codec!r} is not here", code="codec_missing")


def check_size(payload: bytes, max_bytes: int) -> None:
    """Refuse a payload that is too long.

    Raises:
        MessageError: `too_large`.
    """
    if len(payload) > max_bytes:
        raise MessageError(
            f"payload expected at most {max_bytes} bytes, found {len(payload)}",
            code="too_large",
            hint="input.max_bytes of the module sets the limit",
        )
