"""Pictures of outputs in other formats, decoded by Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from engine.outputs.picture_format import encoded
from engine.settings import PictureFormat
from engine.values import Part


def part(picture: Image.Image) -> Part:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return Part("0", "image/png", file.getvalue())


def colours(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    shades = Image.linear_gradient("L").resize(size)
    return Image.merge(mode, [shades, shades.rotate(180), *([shades] * (len(mode) - 2))])


@pytest.mark.parametrize(
    ("format", "media", "kind", "furthest"),
    [
        ("png", "image/png", "PNG", 0),
        ("jpeg", "image/jpeg", "JPEG", 12),
        ("webp", "image/webp", "WEBP", 12),
        ("webp-lossless", "image/webp", "WEBP", 0),
    ],
)
def test_a_picture_is_written_in_the_format(
    format: PictureFormat, media: str, kind: str, furthest: int
) -> None:
    picture = colours()
    found, data = encoded(part(picture), format, 92)
    assert found == media
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.format == kind
        difference = np.asarray(opened.convert("RGB"), int) - np.asarray(picture, int)
    assert np.abs(difference).max() <= furthest
    assert np.abs(difference).any() == (furthest > 0)


def test_quality_chooses_between_size_and_detail() -> None:
    for format in ("jpeg", "webp"):
        small, large = (encoded(part(colours()), format, quality)[1] for quality in (10, 95))
        assert len(small) < len(large)


@pytest.mark.parametrize(
    ("format", "picture"),
    [
        ("jpeg", colours("RGBA")),
        ("jpeg", Image.fromarray(np.full((4, 4), 25700, np.uint16))),
        ("webp", Image.fromarray(np.full((4, 4), 25700, np.uint16))),
        ("webp", Image.new("RGB", (16_384, 1))),
    ],
)
def test_a_picture_that_a_format_cannot_hold_stays_as_it_is(
    format: PictureFormat, picture: Image.Image
) -> None:
    whole = part(picture)
    assert encoded(whole, format, 92) == ("image/png", whole.data)


def test_transparency_stays_in_webp() -> None:
    picture = colours("RGBA")
    media, data = encoded(part(picture), "webp-lossless", 92)
    with Image.open(io.BytesIO(data)) as opened:
        assert (media, opened.mode) == ("image/webp", "RGBA")
        assert np.array_equal(np.asarray(opened)[..., 3], np.asarray(picture)[..., 3])


@pytest.mark.parametrize("media", ["image/png", "application/x-safetensors"])
def test_other_bytes_stay_as_they_are(media: str) -> None:
    assert encoded(Part("0", media, b"no picture"), "jpeg", 92) == (media, b"no picture")
