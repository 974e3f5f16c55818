"""Pictures from clients are decoded in a process of their own, whatever they are."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator

import pytest
from PIL import Image

from engine.server import thumbnails as module
from engine.server.thumbnails import PictureSize, Thumbnails


def encoded(size: tuple[int, int], format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 30, 60)).save(file, format, **options)
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of 4 gigapixels in a few kilobytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 65535, 65535, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
        + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def thumbnails() -> Iterator[Thumbnails]:
    made = Thumbnails()
    yield made
    made.close()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_thumbnail_fits_the_width_and_keeps_the_colours(thumbnails: Thumbnails, format: str) -> None:
    data = encoded((400, 200), format)
    assert thumbnails.size(data) == PictureSize(f"image/{format.lower()}", 400, 200)
    made = thumbnails.made(format, data, 64)
    assert made is not None
    picture = Image.open(io.BytesIO(made))
    assert (picture.format, picture.size) == ("WEBP", (64, 32))
    pixel = picture.convert("RGB").tobytes()[:3]
    assert all(abs(a - b) < 8 for a, b in zip(pixel, (200, 30, 60), strict=True))


def test_a_thumbnail_is_turned_as_the_camera_says_and_loses_what_it_says(thumbnails: Thumbnails) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif[0x010E] = "a secret place"
    made = thumbnails.made("turned", encoded((100, 50), "JPEG", exif=exif), 64)
    assert made is not None
    assert Image.open(io.BytesIO(made)).size == (32, 64)
    assert b"secret" not in made


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html><script>alert(1)</script>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encoded((8, 8), "GIF"),
        encoded((8, 8), "TIFF"),
        encoded((8, 8), "PNG")[:40],
        bomb(),
    ],
    ids=["empty", "html", "svg", "gif", "tiff", "cut", "bomb"],
)
def test_anything_else_has_no_size_and_no_thumbnail(thumbnails: Thumbnails, data: bytes) -> None:
    assert thumbnails.made("x", data, 64) is None
    if data[:4] != b"\x89PNG" or len(data) > 100:
        assert thumbnails.size(data) is None
    assert thumbnails.size(encoded((8, 8), "PNG")) is not None  # the next picture is read


def test_a_decoder_that_dies_is_replaced(thumbnails: Thumbnails) -> None:
    data = encoded((8, 8), "PNG")
    assert thumbnails.size(data) is not None
    assert thumbnails._process is not None
    os.kill(thumbnails._process.pid, 9)
    assert thumbnails.size(data) is None
    assert thumbnails.size(data) is not None


def test_the_cache_is_bounded(thumbnails: Thumbnails, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded((64, 64), "PNG")
    made = thumbnails.made("one", data, 64)
    assert thumbnails.made("one", b"no picture", 64) == made
    monkeypatch.setattr(module, "CACHE_BYTES", 0)
    thumbnails.made("two", data, 64)
    assert thumbnails.made("one", b"no picture", 64) is None
