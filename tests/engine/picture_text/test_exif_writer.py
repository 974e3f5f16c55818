"""Texts in JPEG and WEBP files, read back by Pillow and by our reader, and files that lie."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.picture_text import exif, exif_writer
from tests.engine.picture_text.test_exif import jpeg, tiff

TEXT = "a cat, Größe 猫 🐈\nSteps: 20, Sampler: Euler, Seed: 1"
MAKE, MODEL, ORIENTATION, ARTIST = 0x010F, 0x0110, 0x0112, 0x013B
EXIF_DIRECTORY, USER_COMMENT, TAKEN_AT = 0x8769, 0x9286, 0x9003
NAMES = st.sampled_from(["safelight", "workflow", "our-own_2", "parameters"])
TEXTS = st.text(st.sampled_from("aé猫🐈:{\n"), min_size=1, max_size=60).map(lambda text: f"Steps {text}")


def picture(format: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    shades = Image.linear_gradient("L").resize((37, 21))
    shown = Image.merge(mode, [shades] * len(mode))
    shown.save(file, format, **options)
    return file.getvalue()


PICTURES = {
    "jpeg": picture("JPEG"),
    "webp": picture("WEBP"),
    "lossless webp": picture("WEBP", lossless=True),
    "transparent webp": picture("WEBP", "RGBA", lossless=True),
    "transparent lossy webp": picture("WEBP", "RGBA"),
}


def opened(data: bytes) -> tuple[Image.Exif, bytes, tuple[int, int]]:
    """The EXIF, the pixels and the size, as Pillow reads them."""
    with Image.open(io.BytesIO(data)) as shown:
        shown.load()
        return shown.getexif(), shown.tobytes(), shown.size


@pytest.mark.parametrize("name", PICTURES)
def test_pillow_finds_the_texts_where_other_tools_look_and_the_pixels_stay(name: str) -> None:
    graph = '{"safelight": 1, "title": "Größe"}'
    written = exif_writer.write_text(PICTURES[name], {"safelight": graph, "parameters": TEXT})
    block, pixels, size = opened(written)
    _, pixels_before, size_before = opened(PICTURES[name])
    assert (pixels, size) == (pixels_before, size_before)
    assert block[MAKE].encode("latin-1").decode() == f"safelight:{graph}", "as ComfyUI writes its workflow"
    comment = block.get_ifd(EXIF_DIRECTORY)[USER_COMMENT]
    assert comment == b"UNICODE\0" + TEXT.encode("utf-16-be"), "as A1111 writes its parameters"
    assert exif.read_text(written) == {"safelight": graph, "parameters": TEXT}


@given(st.sampled_from(list(PICTURES.values())), st.lists(st.tuples(NAMES, TEXTS), max_size=6))
def test_the_last_exif_text_of_a_name_is_used(data: bytes, texts: list[tuple[str, str]]) -> None:
    for name, text in texts:
        data = exif_writer.write_text(data, {name: text})
    assert exif.read_text(data) == dict(texts)
    assert set(opened(data)[0]) <= {MAKE, MODEL, 0x010E, EXIF_DIRECTORY}, "no text is kept twice"


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_exif_entries_of_a_camera_stay(format: str) -> None:
    block = Image.Exif()
    block[MAKE], block[ORIENTATION], block[ARTIST] = "a camera", 6, "somebody"
    block.get_ifd(EXIF_DIRECTORY)[TAKEN_AT] = "2024:05:06 07:08:09"
    data = picture(format, exif=block)
    written = exif_writer.write_text(data, {"safelight": "{}", "parameters": TEXT})
    found = opened(written)[0]
    assert (found[MAKE], found[ORIENTATION], found[ARTIST]) == ("a camera", 6, "somebody")
    assert found[MODEL] == "safelight:{}", "the first tag that is free"
    inner = found.get_ifd(EXIF_DIRECTORY)
    assert inner[TAKEN_AT] == "2024:05:06 07:08:09"
    assert inner[USER_COMMENT][8:].decode("utf-16-be") == TEXT


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_block_of_either_byte_order_is_extended_in_its_own(order: str) -> None:
    block = tiff([(ORIENTATION, 3, 1, struct.pack(f"{order}HH", 8, 0))], order)
    whole = PICTURES["jpeg"]
    written = exif_writer.write_text(jpeg(block)[:-2] + whole[2:], {"safelight": "{}", "parameters": TEXT})
    found = opened(written)[0]
    assert (found[ORIENTATION], found[MAKE]) == (8, "safelight:{}")
    assert exif.read_text(written) == {"safelight": "{}", "parameters": TEXT}


def test_a_graph_too_large_for_jpeg_is_refused_and_webp_takes_it() -> None:
    large = "x" * 70_000
    with pytest.raises(ValueError, match="a JPEG file has room for 65,535"):
        exif_writer.write_text(PICTURES["jpeg"], {"safelight": large})
    written = exif_writer.write_text(PICTURES["webp"], {"safelight": large})
    assert exif.read_text(written) == {"safelight": large}
    assert opened(written)[1] == opened(PICTURES["webp"])[1]


@pytest.mark.parametrize(
    ("texts", "says"),
    [({"a:b": "c"}, "a name has only"), ({"": "c"}, "a name has only"), ({"a": "b\0c"}, "NUL")],
)
def test_a_text_that_could_not_be_read_back_is_refused(texts: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        exif_writer.write_text(PICTURES["jpeg"], texts)


def test_too_many_exif_texts_are_refused() -> None:
    texts = {f"text{number}": "a" for number in range(6)}
    data = exif_writer.write_text(PICTURES["webp"], texts)
    assert exif.read_text(data) == texts
    with pytest.raises(ValueError, match="no free tag"):
        exif_writer.write_text(data, {"another": "a"})


@pytest.mark.parametrize("data", [b"", b"GIF89a", *(data[:40] for data in PICTURES.values())])
def test_another_file_and_a_cut_one_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"neither|damaged|cut off"):
        exif_writer.write_text(data, {"a": "b"})


@given(st.data())
def test_damage_is_refused_or_the_texts_are_readable(data: st.DataObject) -> None:
    block = tiff([(ARTIST, 2, 4, b"me\0\0"), (EXIF_DIRECTORY, 4, 1, struct.pack(">I", 8))], ">")
    whole = bytearray(jpeg(block)[:-2] + PICTURES["jpeg"][2:])
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(2, 80))] = data.draw(st.integers(0, 255))
    try:
        written = exif_writer.write_text(bytes(whole), {"safelight": "{}"})
    except ValueError:
        return
    assert exif.read_text(written)["safelight"] == "{}"
