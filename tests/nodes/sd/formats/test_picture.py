"""Pictures that carry an embedding, and the many that do not."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.picture import read_picture
from nodes.sd.inspection.facts import facts_of
from tests.nodes.sd.formats.tools import a1111, hidden, vectors

TEXT = json.dumps(a1111({"TORCHTENSOR": vectors().tolist()})).encode()


def write(path: Path, picture: Image.Image) -> Path:
    picture.save(path, "PNG")
    return path


@pytest.mark.parametrize("height", [33, 96, 200])
def test_pixels_are_read_at_any_height(tmp_path: Path, height: int) -> None:
    read = read_picture(write(tmp_path / "x.png", hidden(TEXT, height)))
    assert read is not None
    assert torch.equal(read["string_to_param.*"], vectors())


def test_a_black_frame_around_it_is_cropped_away(tmp_path: Path) -> None:
    inner = hidden(TEXT)
    framed = Image.new("RGB", (inner.width + 20, inner.height + 10))
    framed.paste(inner, (7, 4))
    read = read_picture(write(tmp_path / "x.png", framed))
    assert read is not None
    assert torch.equal(read["string_to_param.*"], vectors())


def plain_pictures() -> dict[str, Image.Image]:
    noise = numpy.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype("u1")
    striped = noise.copy()
    striped[:, [10, 50]] = 0
    lossy = io.BytesIO()
    hidden(TEXT).save(lossy, "JPEG")
    return {
        "noise": Image.fromarray(noise),
        "stripes": Image.fromarray(striped),
        "black": Image.new("RGB", (8, 8)),
        "white": Image.new("RGB", (8, 8), "white"),
        "one pixel": Image.new("L", (1, 1), 9),
        "a lossy copy": Image.open(lossy),
        "halved": hidden(TEXT).resize((100, 48)),
    }


@pytest.mark.parametrize("case", plain_pictures())
def test_a_picture_without_an_embedding_is_just_that(tmp_path: Path, case: str) -> None:
    assert read_picture(write(tmp_path / "x.png", plain_pictures()[case])) is None


def png_with(kind: bytes, data: bytes) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    whole = file.getvalue()
    chunk = len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)
    return whole[:33] + chunk + whole[33:]


def test_compressed_and_international_chunks_are_read(tmp_path: Path) -> None:
    text = base64.b64encode(TEXT)
    keyword = b"sd-ti-embedding\0"
    for kind, data in (
        (b"zTXt", keyword + b"\0" + zlib.compress(text)),
        (b"iTXt", keyword + b"\0\0\0\0" + text),
        (b"iTXt", keyword + b"\1\0\0\0" + zlib.compress(text)),
    ):
        (tmp_path / "x.png").write_bytes(png_with(kind, data))
        read = read_picture(tmp_path / "x.png")
        assert read is not None
        assert torch.equal(read["string_to_param.*"], vectors())


BOMBS = {
    "a bomb in a chunk": b"sd-ti-embedding\0\0" + zlib.compress(bytes(300 << 20), 9),
    "no base64": b"sd-ti-embedding\0\0" + zlib.compress(b"\xff\xfe*"),
    "no JSON": b"sd-ti-embedding\0\0" + zlib.compress(base64.b64encode(b"{")),
    "nested": b"sd-ti-embedding\0\0" + zlib.compress(base64.b64encode(b"[" * 100_000)),
    "ragged": b"sd-ti-embedding\0\0" + zlib.compress(base64.b64encode(b'{"a":{"TORCHTENSOR":[[1],[1,2]]}}')),
}


@pytest.mark.parametrize("case", BOMBS)
def test_traps_in_chunks_are_refused(tmp_path: Path, case: str) -> None:
    (tmp_path / "x.png").write_bytes(png_with(b"zTXt", BOMBS[case]))
    with pytest.raises(BadFileError):
        read_picture(tmp_path / "x.png")


def test_hidden_data_that_is_too_large_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=r"x\.png") as refused:
        read_picture(write(tmp_path / "x.png", hidden(bytes(50 << 20))))
    assert refused.value.code == "too_large"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"string_to_param": {}}', '{"name": "x", "step": 3}'])
def test_hidden_data_without_a_tensor_is_named_in_the_facts(tmp_path: Path, text: str) -> None:
    keyword = b"sd-ti-embedding\0\0"
    (tmp_path / "x.png").write_bytes(
        png_with(b"zTXt", keyword + zlib.compress(base64.b64encode(text.encode())))
    )
    write(tmp_path / "y.png", hidden(text.encode() or b" "))
    for facts in facts_of([tmp_path / "x.png", tmp_path / "y.png"]):
        assert facts.kind in ("embedding", "unknown")
        assert facts.code in ("bad_picture", "bad_embedding", "unknown_kind")
        assert facts.message
