"""Pictures of every kind that JPEG and PNG have: read as 8 bits a channel, or refused by name."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_agent.errors import MessageError
from edge_agent.runtime.codecs.image import ImageCodec

CODEC = ImageCodec(100_000, max_pixels=10_000)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def refused(payload: bytes) -> str:
    with pytest.raises(MessageError) as caught:
        CODEC.decode(payload)
    return caught.value.code


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_modes_of_png_are_read(mode: str) -> None:
    assert CODEC.decode(encoded(Image.new(mode, (3, 2)))).convert("RGB").size == (3, 2)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_modes_of_jpeg_are_read(mode: str) -> None:
    assert CODEC.decode(encoded(Image.new(mode, (3, 2)), "JPEG")).convert("RGB").size == (3, 2)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_channel_that_says_nothing_is_left_out(mode: str) -> None:
    image = Image.new("RGB", (3, 2), (9, 9, 9)).convert(mode)
    found = CODEC.decode(encoded(image))
    assert found.mode == "RGB"
    assert found.getpixel((2, 1)) == (9, 9, 9)


def test_transparent_pictures_are_refused_by_name() -> None:
    image = Image.new("RGBA", (3, 2), (9, 9, 9, 255))
    image.putpixel((1, 1), (9, 9, 9, 254))
    assert refused(encoded(image)) == "image_unsupported"
    palette = Image.new("P", (3, 2))
    assert refused(encoded(palette, transparency=0)) == "image_unsupported"


def test_pictures_of_16_bits_are_refused_by_name() -> None:
    grey = Image.fromarray(np.full((2, 3), 4000, np.uint16))
    assert refused(encoded(grey)) == "image_unsupported"

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + bytes(6))
    colours = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )
    assert refused(colours) == "image_unsupported"


def test_jpeg_that_goes_over_its_pixels_again_and_again_is_never_unpacked() -> None:
    whole = encoded(Image.new("L", (90, 90)), "JPEG", progressive=True)
    start, *scans = whole[:-2].split(b"\xff\xda")
    assert 1 < len(scans) < 20
    assert CODEC.decode(whole).size == (90, 90)
    many = b"\xff\xda".join([start, *scans, *[scans[-1]] * 60]) + b"\xff\xd9"
    assert refused(many) == "image_unsupported"


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
def test_metadata_that_unpacks_to_more_than_the_picture_is_refused(kind: bytes) -> None:
    packed = zlib.compress(bytes(20 * 2**20), 9)
    data = b"n\0" + {b"iCCP": b"\0", b"zTXt": b"\0", b"iTXt": b"\1\0\0\0"}[kind] + packed
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    assert refused(b"\x89PNG\r\n\x1a\n" + header + chunk(kind, data) + pixels) == "not_an_image"


def test_orientation_in_the_metadata_is_not_followed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    assert CODEC.decode(encoded(Image.new("L", (3, 2)), "JPEG", exif=exif)).size == (3, 2)
