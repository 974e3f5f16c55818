"""Text chunks against Pillow, and against files that lie."""

from __future__ import annotations

import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from engine.picture_text import png

KEYWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=79)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200)


def picture(**texts: str) -> bytes:
    """A small gradient, with texts that Pillow wrote."""
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword, text)
    file = io.BytesIO()
    Image.linear_gradient("L").resize((16, 9)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def pillow_reads(data: bytes) -> tuple[dict[str, str], bytes]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert isinstance(image, PngImagePlugin.PngImageFile)
        return {key: str(text) for key, text in image.text.items()}, image.tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def with_chunk(raw: bytes, data: bytes = b"") -> bytes:
    """A picture with a raw chunk after its header, which ends at byte 33."""
    whole = data or picture()
    return whole[:33] + raw + whole[33:]


@given(st.dictionaries(KEYWORDS, TEXTS, max_size=4))
def test_pillow_and_we_read_what_we_write_and_the_pixels_stay(texts: dict[str, str]) -> None:
    written = png.write_text(picture(), texts)
    assert png.read_text(written) == texts
    read, pixels = pillow_reads(written)
    assert read == texts
    assert pixels == pillow_reads(picture())[1]


def test_latin_1_becomes_text_and_anything_else_international_text_right_after_the_header() -> None:
    assert png.write_text(picture(), {"a": "café"})[37:41] == b"tEXt"
    assert png.write_text(picture(), {"a": "☕"})[37:41] == b"iTXt"


@pytest.mark.parametrize("kind", ["tEXt", "zTXt"])
@pytest.mark.parametrize(
    ("data", "text"),
    [("Größe 猫".encode(), "Größe 猫"), ("Größe".encode("latin-1"), "Größe"), (b"plain", "plain")],
)
def test_utf_8_in_a_chunk_for_latin_1_is_read_as_many_tools_write_it(
    kind: str, data: bytes, text: str
) -> None:
    body = b"a\0" + (data if kind == "tEXt" else b"\0" + zlib.compress(data))
    assert png.read_text(with_chunk(chunk(kind.encode(), body))) == {"a": text}


def test_latin_1_that_would_be_read_as_utf_8_becomes_international_text() -> None:
    written = png.write_text(picture(), {"a": "GrÃ¶Ã\x9fe"})
    assert written[37:41] == b"iTXt"
    assert png.read_text(written) == {"a": "GrÃ¶Ã\x9fe"}


def test_a_keyword_that_is_there_is_replaced_and_others_stay() -> None:
    written = png.write_text(picture(a="old", b="kept"), {"a": "new"})
    assert b"old" not in written
    assert pillow_reads(written)[0] == {"a": "new", "b": "kept"}


def test_writing_the_same_again_gives_the_same_bytes() -> None:
    once = png.write_text(picture(b="kept"), {"a": "☕", "c": "d"})
    assert png.write_text(once, {"a": "☕", "c": "d"}) == once


def test_compressed_text_of_either_kind_is_read() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("z", "zipped " * 100, zip=True)
    info.add_itxt("i", "☕" * 100, lang="en", tkey="clé", zip=True)
    file = io.BytesIO()
    Image.new("L", (2, 2)).save(file, "PNG", pnginfo=info)
    assert png.read_text(file.getvalue()) == {"z": "zipped " * 100, "i": "☕" * 100}


BOMB = b"a\0\0" + zlib.compress(b"\0" * (png.MAX_TEXT_BYTES + 1))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a PNG"),
        (b"GIF89a", "not a PNG"),
        (png.SIGNATURE, "cut off"),
        (picture()[:-1], "cut off"),
        (picture()[:40], "cut off"),
        (png.SIGNATURE + b"\xff\xff\xff\xffIHDR", "cut off"),
        (png.SIGNATURE + chunk(b"tEXt", b"a\0b") + picture()[8:], "does not begin"),
        (png.SIGNATURE + chunk(b"IHDR", b"short") + picture()[33:], "does not begin"),
        (with_chunk(chunk(b"tEXt", b"a\0b")[:-1] + b"!"), "checksum"),
        (with_chunk(chunk(b"tEXt", b"no keyword")), "no keyword"),
        (with_chunk(chunk(b"tEXt", b"\0no keyword")), "no keyword"),
        (with_chunk(chunk(b"tEXt", b"a" * 80 + b"\0text")), "no keyword"),
        (with_chunk(chunk(b"zTXt", b"a\0\1" + zlib.compress(b"b"))), "unknown way"),
        (with_chunk(chunk(b"zTXt", b"a\0")), "unknown way"),
        (with_chunk(chunk(b"zTXt", b"a\0\0garbage")), "decompressed"),
        (with_chunk(chunk(b"zTXt", b"a\0\0" + zlib.compress(b"b" * 999)[:-6])), "cut off"),
        (with_chunk(chunk(b"zTXt", BOMB)), "more than 32 MB"),
        (with_chunk(chunk(b"iTXt", b"a\0\0\0\0\0\xff\xfe")), "utf-8"),
    ],
)
def test_a_file_that_lies_is_refused_in_words(data: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        png.read_text(data)


def test_the_png_text_limit_applies_to_the_sum_of_all_texts() -> None:
    half = zlib.compress(b"x" * (png.MAX_TEXT_BYTES // 2 + 1))
    one = with_chunk(chunk(b"zTXt", b"a\0\0" + half))
    assert len(png.read_text(one)["a"]) == png.MAX_TEXT_BYTES // 2 + 1
    with pytest.raises(ValueError, match="more than"):
        png.read_text(with_chunk(chunk(b"zTXt", b"b\0\0" + half), one))


@given(st.integers(0, len(picture(a="text")) - 1), st.integers(0, 255))
def test_a_flipped_byte_is_noticed_or_the_text_is_as_it_was(place: int, value: int) -> None:
    data = bytearray(picture(a="text"))
    data[place] = value
    try:
        assert png.read_text(bytes(data)) == {"a": "text"}
    except ValueError:
        return
    assert bytes(data) == picture(a="text")


@pytest.mark.parametrize("keyword", ["", "a" * 80, "☕", "a\0b"])
def test_a_keyword_that_png_cannot_hold_is_refused(keyword: str) -> None:
    with pytest.raises(ValueError, match="keyword"):
        png.write_text(picture(), {keyword: "text"})


def test_text_with_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        png.write_text(picture(), {"a": "b\0c"})
