"""Texts in EXIF blocks: written by Pillow, in both byte orders and by hand, and damaged in every way."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.picture_text import exif

TEXT = "a cat, Größe 猫 🐈\nSteps: 20, Sampler: Euler, Seed: 1"


def with_exif(block: Image.Exif, format: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format, exif=block)
    return file.getvalue()


def commented(comment: bytes, format: str = "JPEG") -> bytes:
    block = Image.Exif()
    block.get_ifd(0x8769)[0x9286] = comment
    return with_exif(block, format)


def tiff(entries: list[tuple[int, int, int, bytes]], order: str, tail: bytes = b"") -> bytes:
    head = b"II*\0" if order == "<" else b"MM\0*"
    rows = b"".join(struct.pack(f"{order}HHI", *entry[:3]) + entry[3] for entry in entries)
    return (
        head + struct.pack(f"{order}I", 8) + struct.pack(f"{order}H", len(entries)) + rows + b"\0" * 4 + tail
    )


def jpeg(block: bytes) -> bytes:
    body = b"Exif\0\0" + block
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(body) + 2) + body + b"\xff\xd9"


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + TEXT.encode("utf-16-be"),
        b"UNICODE\0" + TEXT.encode("utf-16-le"),
        b"UNICODE\0" + TEXT.encode("utf-16"),
        b"\0" * 8 + TEXT.encode(),
        TEXT.encode(),
    ],
    ids=["big", "little", "marked", "undefined", "bare"],
)
def test_user_comments_in_every_spelling(comment: bytes, format: str) -> None:
    assert exif.read_text(commented(comment, format)) == {"parameters": TEXT}


@pytest.mark.parametrize("order", ["<", ">"])
def test_either_byte_order(order: str) -> None:
    comment = b"ASCII\0\0\0" + b"plain text"
    rows = 8 + 2 + 12 + 4
    inner = struct.pack(f"{order}HHHII", 1, 0x9286, 7, len(comment), rows + 2 + 12 + 4) + b"\0" * 4 + comment
    block = tiff([(0x8769, 4, 1, struct.pack(f"{order}I", rows))], order, inner)
    assert exif.read_text(jpeg(block)) == {"parameters": "plain text"}


def test_texts_with_their_names_before_them() -> None:
    block = Image.Exif()
    block[0x010F], block[0x0110] = 'workflow:{"nodes": []}', 'prompt:{"1": {}}'
    block[0x010E] = "a plain description"
    assert exif.read_text(with_exif(block, "WEBP")) == {"workflow": '{"nodes": []}', "prompt": '{"1": {}}'}


def test_directories_in_a_loop_end() -> None:
    block = tiff([(0x8769, 4, 1, struct.pack("<I", 8)), (0x9286, 7, 1 << 31, struct.pack("<I", 8))], "<")
    assert exif.read_text(jpeg(block)) == {}


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\xff\xd8\xff\xe1", b"RIFF\0\0\0\0WEBPEXIF\x90\0\0\0II*\0"]),
)
def test_noise_has_no_texts_and_does_no_harm(noise: bytes, head: bytes) -> None:
    assert all(isinstance(text, str) for text in exif.read_text(head + noise).values())


@given(st.data())
def test_damaged_exif_never_raises(data: st.DataObject) -> None:
    whole = bytearray(commented(b"UNICODE\0" + TEXT.encode("utf-16-be")))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(3, 120))] = data.draw(st.integers(0, 255))
    exif.read_text(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
