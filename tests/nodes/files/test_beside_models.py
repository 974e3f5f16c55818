"""Pictures and notes beside model files are found, whatever a stranger has put there."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine.session import Session
from nodes.files.beside_models import Beside, Note, picture_bytes
from nodes.files.model_files import listed
from tests.engine.server.test_thumbnails import encoded

PAIR = {f"lora_unet_mid_block_x.lora_{side}.weight": torch.zeros(64, 64) for side in ("up", "down")}
PICTURE = encoded((32, 16), "PNG")


@pytest.fixture
def loras(home: Path) -> Path:
    folder = home / "models" / "loras" / "sub"
    folder.mkdir(parents=True)
    save_file(PAIR, folder / "ink.safetensors")
    return folder


def row(session: Session) -> dict[str, Any]:
    (found,) = listed(session.files, "lora")
    return found.as_json()


def test_a_lora_has_the_weight_the_words_and_the_picture_beside_it(loras: Path, session: Session) -> None:
    bare = row(session)
    assert (bare["tag"], bare["default_weight"], bare["picture"]) == ("<lora:ink:1>", None, None)
    (loras / "ink.json").write_text(
        '{"preferred weight": 0.65, "activation text": "inked, thin  line, inked"}'
    )
    (loras / "ink.preview.png").write_bytes(PICTURE)
    (loras / "other.png").write_bytes(PICTURE)
    found = row(session)
    assert (found["tag"], found["default_weight"]) == ("<lora:ink:0.65>", 0.65)
    assert found["triggers"] == ("inked", "thin  line")
    assert found["picture"] == str(loras / "ink.preview.png")
    (loras / "ink.jpg").write_bytes(encoded((8, 8), "JPEG"))  # A1111 takes it before those after .preview
    assert row(session)["picture"] == str(loras / "ink.jpg")


def test_a_picture_in_the_metadata_is_found(loras: Path, session: Session) -> None:
    file = loras / "ink.safetensors"
    text = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
    save_file(PAIR, file, {"modelspec.thumbnail": text})
    assert row(session)["picture"] == str(file)
    assert picture_bytes(file) == PICTURE
    for wrong in (
        "",
        "data:text/html;base64,PGI+",
        "data:image/png;base64,####",
        "https://example.com/a.png",
    ):
        save_file(PAIR, file, {"modelspec.thumbnail": wrong})
        assert picture_bytes(file) is None


NOTES = {
    "a weight": ('{"preferred weight": -1.255}', Note(-1.25)),
    "a whole number": ('{"preferred weight": 1}', Note(1.0)),
    "none, as A1111 writes it": ('{"preferred weight": 0, "activation text": ""}', Note()),
    "so little that it is none": ('{"preferred weight": 1e-300}', Note()),
    "not a number": ('{"preferred weight": NaN}', Note()),
    "endless": ('{"preferred weight": Infinity}', Note()),
    "overflowing": ('{"preferred weight": 1e999}', Note()),
    "huge": ('{"preferred weight": 1e300}', Note()),
    "huge and whole": ('{"preferred weight": %s}' % ("9" * 4000), Note()),
    "true": ('{"preferred weight": true}', Note()),
    "text": ('{"preferred weight": "0.8"}', Note()),
    "words that are no text": ('{"activation text": ["a"]}', Note()),
    "words with control characters": (
        json.dumps({"activation text": "a\x1b[31m,\nb"}),
        Note(None, ("a [31m", "b")),
    ),
    "a list": ("[1]", Note()),
    "no JSON": ("preferred weight: 1", Note()),
    "deep": ("[" * 100_000, Note()),
    "large": (json.dumps({"preferred weight": 1, "notes": "x" * (1 << 20)}), Note()),
    "repeated keys": ('{"preferred weight": 1, "preferred weight": 2}', Note()),
}


@pytest.mark.parametrize("name", NOTES)
def test_a_note_gives_what_it_surely_says(name: str, tmp_path: Path) -> None:
    text, expected = NOTES[name]
    (tmp_path / "ink.json").write_text(text)
    assert Beside(tmp_path).note(tmp_path / "ink.safetensors") == expected


def test_files_outside_the_folder_and_files_that_are_none_are_left(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "secret.png").write_bytes(PICTURE)
    (outside / "secret.json").write_text('{"preferred weight": 1}')
    model = root / "ink.safetensors"
    (root / "ink.png").symlink_to(outside / "secret.png")
    (root / "ink.json").symlink_to(outside / "secret.json")
    assert (Beside(root).picture(model), Beside(root).note(model)) == (None, Note())
    (root / "ink.png").unlink()
    os.mkfifo(root / "ink.png")  # reading it would wait for ever
    (root / "ink.jpg").mkdir()
    (root / "ink.webp").symlink_to(root / "ink.webp")
    assert Beside(root).picture(model) is None
    assert picture_bytes(root / "ink.png") is None
    (root / "ink.preview.png").write_bytes(PICTURE)
    assert Beside(root).picture(model) == root / "ink.preview.png"
    (root / "ink.preview.png").unlink()
    (root / "ink.preview.png").symlink_to(outside / "secret.png")  # changed after it was listed
    assert picture_bytes(root / "ink.preview.png") is None
    (root / "linked.png").write_bytes(PICTURE)
    (root / "ink.preview.png").unlink()
    (root / "ink.preview.png").symlink_to("linked.png")  # inside the folder links are fine
    assert Beside(root).picture(model) == root / "linked.png"


def test_a_picture_of_too_many_bytes_is_left(tmp_path: Path) -> None:
    file = tmp_path / "ink.png"
    with file.open("wb") as sparse:
        sparse.truncate(17 << 20)
    assert picture_bytes(file) is None
