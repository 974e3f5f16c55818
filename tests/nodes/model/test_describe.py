"""What DescribeEmbeddings says of every kind of file, against what was written into them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine.errors import NodeError
from engine.session import Session
from engine.testing import run_node
from nodes.model.describe import DescribeEmbeddings
from tests.nodes.sd.formats.tools import a1111, vectors

NOTHING: dict[str, Any] = {"base": None, "base_model": None, "base_hash": None, "step": None}


@pytest.fixture
def folder(home: Path) -> Path:
    place = home / "models" / "embeddings"
    (place / "people").mkdir(parents=True)
    torch.save(a1111(vectors(3, 768), name="gem"), place / "ruby.pt")
    save_file({"<ann>": vectors(2, 1024)}, place / "people" / "ann.safetensors", {"format": "pt"})
    save_file({"clip_l": vectors(4, 768), "clip_g": vectors(4, 1280)}, place / "xl.safetensors")
    (place / "broken.safetensors").write_bytes(b"\x40" + bytes(7) + b"{")
    save_file({"lora_unet_x.diff": vectors(1, 4)}, place / "lora.safetensors")
    return place


def described(session: Session, **inputs: str) -> list[dict[str, Any]]:
    rows: Any = run_node(session, DescribeEmbeddings(**inputs))["out"]
    assert isinstance(rows, list)
    return rows


def test_every_embedding_is_described_in_full(session: Session, folder: Path) -> None:
    digests = {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.*")
    }
    broken, ruby, xl, ann = described(session)
    assert ann == NOTHING | {
        "file": "people/ann.safetensors",
        "sha256": digests["people/ann.safetensors"],
        "format": "diffusers",
        "names": [
            "ann",
            "<ann>",
            "embedding:ann",
            "embedding:ann.safetensors",
            "people/ann",
            "<people/ann>",
            "embedding:people/ann",
        ],
        "vectors": 2,
        "widths": {"only": 1024},
        "base": "SD 2",
        "problem": None,
    }
    assert ruby == {
        "file": "ruby.pt",
        "sha256": digests["ruby.pt"],
        "format": "A1111",
        "names": ["ruby", "gem", "<gem>", "<ruby>", "embedding:ruby", "embedding:ruby.pt"],
        "vectors": 3,
        "widths": {"only": 768},
        "base": "SD 1",
        "base_model": "v1-5-pruned",
        "base_hash": "cc6cb27103",
        "step": 499,
        "problem": None,
    }
    assert xl == NOTHING | {
        "file": "xl.safetensors",
        "sha256": digests["xl.safetensors"],
        "format": "multi-encoder",
        "names": ["xl", "<xl>", "embedding:xl", "embedding:xl.safetensors"],
        "vectors": 4,
        "widths": {"clip_l": 768, "clip_g": 1280},
        "base": "SDXL",
        "problem": None,
    }
    problem = broken.pop("problem")
    assert problem["code"] == "bad_safetensors"
    assert problem["message"].startswith("claims a header of 64 bytes")
    assert broken == NOTHING | {
        "file": "broken.safetensors",
        "sha256": digests["broken.safetensors"],
        "format": None,
        "names": ["broken", "<broken>", "embedding:broken", "embedding:broken.safetensors"],
        "vectors": 0,
        "widths": {},
    }


def test_a_file_or_a_folder_is_described_alone(session: Session, folder: Path) -> None:
    assert [row["file"] for row in described(session, files="ruby")] == ["ruby.pt"]
    (ann,) = described(session, files="people")
    assert ann["file"] == "people/ann.safetensors"
    with pytest.raises(NodeError, match="is a LoRA, not an embedding"):
        described(session, files="lora")
