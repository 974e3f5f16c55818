"""Every mode of Pillow loads right, or is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow
from PIL import ImageCms

from engine.errors import NodeError
from engine.session import Session
from engine.testing import run_node
from nodes.files.picture_modes import to_rgb
from nodes.image.load_image import LoadImage
from nodes.values import Image


def loaded(session: Session, home: Path, name: str, picture: pillow.Image, **options: object) -> list[int]:
    """The colour of the first pixel."""
    path = home / "inputs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)  # type: ignore[arg-type]
    image = run_node(session, LoadImage(image=name))["out"]
    assert isinstance(image, Image)
    colour: list[int] = image.pixels[0, 0, 0].tolist()
    return colour


GREY16 = np.full((4, 4), 100 * 257, np.uint16)


@pytest.mark.parametrize(
    ("name", "picture", "colour"),
    [
        ("grey16.png", pillow.fromarray(GREY16), [100] * 3),
        ("grey16.tif", pillow.fromarray(GREY16), [100] * 3),
        ("grey16big.tif", pillow.fromarray(GREY16.astype(">u2")), [100] * 3),
        ("la.png", pillow.new("LA", (4, 4), (100, 0)), [255] * 3),
        ("one.png", pillow.new("1", (4, 4), 1), [255] * 3),
        ("palette.gif", pillow.new("RGB", (4, 4), (255, 0, 0)).convert("P"), [255, 0, 0]),
        ("cmyk.tif", pillow.new("CMYK", (4, 4), (0, 255, 255, 0)), [255, 0, 0]),
        ("clear.png", pillow.new("RGBA", (4, 4), (255, 0, 0, 0)), [255] * 3),
        ("half.png", pillow.new("RGBA", (4, 4), (255, 0, 0, 255)), [255, 0, 0]),
        ("rgb.bmp", pillow.new("RGB", (4, 4), (1, 2, 3)), [1, 2, 3]),
    ],
)
def test_a_mode_that_says_which_number_is_white_is_read(
    session: Session, home: Path, name: str, picture: pillow.Image, colour: list[int]
) -> None:
    assert loaded(session, home, name, picture) == colour


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_a_mode_that_does_not_is_refused_by_name(session: Session, home: Path, mode: str) -> None:
    with pytest.raises(NodeError) as caught:
        loaded(session, home, "x.tif", pillow.new(mode, (4, 4)))
    assert caught.value.code == "bad_image_mode"
    assert f"mode {mode} " in str(caught.value)


def test_the_extremes_of_16_bits_are_black_and_white(session: Session, home: Path) -> None:
    for value, grey in ((0, 0), (65535, 255), (32768, 128), (128, 0), (129, 1)):
        picture = pillow.fromarray(np.full((2, 2), value, np.uint16))
        assert loaded(session, home, f"{value}.png", picture) == [grey] * 3


def test_a_palette_with_transparency_is_laid_over_white() -> None:
    for alpha, grey in ((255, 100), (0, 255)):
        picture = pillow.new("L", (4, 4), 100).convert("P")
        picture.putalpha(alpha)
        assert picture.mode == "PA"
        assert to_rgb(picture).getpixel((0, 0)) == (grey,) * 3


def test_a_colour_profile_is_applied_and_srgb_changes_no_bit(session: Session, home: Path) -> None:
    red = pillow.new("RGB", (4, 4), (200, 50, 50))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert loaded(session, home, "srgb.png", red, icc_profile=srgb) == [200, 50, 50]
    other = srgb.replace("sRGB".encode("utf-16-be"), "xRGB".encode("utf-16-be"))
    other = other.replace(b"rXYZ", b"temp", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"temp", b"gXYZ", 1)
    swapped = loaded(session, home, "swapped.png", red, icc_profile=other)
    assert np.abs(np.subtract(swapped, [50, 200, 50])).max() <= 2, "its red is our green"
    assert loaded(session, home, "damaged.png", red, icc_profile=b"nonsense") == [200, 50, 50]
