"""Draws a folder of unsorted pictures, as people have them: `python -m tests.nodes.sd.tiny.unsorted FOLDER`.

The folder has a smaller copy of a picture, a mirrored one, a wide one, a tiny one, one that the camera
turned, one with a transparent background, and a text that is named like a picture. Some pictures have a
caption.
"""

from __future__ import annotations

import io
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from tests.nodes.sd.tiny.render import render
from tests.nodes.sd.tiny.scenes import Scene, Thing

_ORIENTATION = 0x0112
_TURNED = 6
"""The value of `_ORIENTATION` if a viewer has to turn the picture by a quarter, clockwise."""


def unsorted_files() -> dict[str, bytes]:
    """The contents of the files, by their names."""
    star = _on_canvas(_drawn("star", "red", "blue"), (240, 192))
    mirrored = ImageOps.mirror(star)
    moon = _on_canvas(_drawn("moon", "yellow", "purple"), (192, 256))
    shapes = [_drawn(shape, "green", "white") for shape in ("heart", "cross", "hexagon")]
    wide = Image.new("RGB", (128 * len(shapes), 128))
    for number, shape in enumerate(shapes):
        wide.paste(shape, (128 * number, 0))
    ring = _drawn("ring", "orange", "black").convert("RGBA")
    ring.putalpha(_disc(ring.size))
    exif = Image.Exif()
    exif[_ORIENTATION] = _TURNED
    return {
        "IMG_0001.png": _encoded(star, "PNG"),
        "IMG_0001.txt": b"photo of a red star, blue background",
        "IMG_0002.jpg": _encoded(star.resize((160, 128)), "JPEG", quality=85),
        "IMG_0003.png": _encoded(mirrored, "PNG"),
        "IMG_0003.txt": b"photo of a red star, blue background",
        "IMG_0004.jpg": _encoded(moon.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=90, exif=exif),
        "IMG_0004.txt": b"photo of a yellow moon, purple background",
        "IMG_0005.png": _encoded(wide, "PNG"),
        "IMG_0006.png": _encoded(_drawn("circle", "pink", "green").resize((48, 48)), "PNG"),
        "IMG_0007.png": b"This is not a picture.\n",
        "08-an orange ring.png": _encoded(ring, "PNG"),
        "metadata.jsonl": b'{"file_name": "IMG_0005.png", "text": "photo of green shapes, white ground"}\n',
    }


def _drawn(shape: str, colour: str, background: str) -> Image.Image:
    """A picture of one thing, with the same shade of the background each time."""
    return render(Scene((Thing(shape, colour),), background), random.Random(3))


def _on_canvas(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A larger picture with the same background, and with the thing off the middle."""
    canvas = Image.new("RGB", size, picture.getpixel((0, 0)))
    canvas.paste(picture, (0, 0))
    return canvas


def _disc(size: tuple[int, int]) -> Image.Image:
    """The opaque part of a picture: the disc that it encloses."""
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).ellipse([0, 0, size[0] - 1, size[1] - 1], fill=255)
    return mask


def _encoded(picture: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def main(folder: Path) -> None:
    """Write the files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in unsorted_files().items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
