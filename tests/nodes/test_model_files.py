"""`safelight models` and `safelight convert`: every file told of, whatever is wrong with one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import settings
from engine.cli import main
from engine.session import Session
from engine.testing import run_node
from nodes import known_files
from nodes.embeddings import LoadEmbeddings
from nodes.load import LoadModel
from nodes.lora import ApplyLoRA
from nodes.prompt import EncodePrompt
from tests.nodes.sd.conftest import TINY
from tests.nodes.sd.formats import hostile
from tests.nodes.sd.formats.tools import FORMATS, a1111, vectors

FIELDS = "file kind format triggers vectors width base bytes sha256 problem".split()


@pytest.fixture
def models(home: Path) -> Path:
    for kind in ("embeddings", "loras", "checkpoints", "vae", "hypernetworks"):
        (home / "models" / kind).mkdir(parents=True)
    return home / "models"


def listed(home: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict[str, Any]]:
    """The answer of `models --json`, by file."""
    capsys.readouterr()
    assert main(["models", "--home", str(home), "--json", *words]) == 0
    rows = json.loads(capsys.readouterr().out)["models"]
    assert all(list(row) == FIELDS for row in rows)
    return {row["file"]: row for row in rows}


def codes(rows: dict[str, dict[str, Any]]) -> dict[str, str | None]:
    return {name: row["problem"] and row["problem"]["code"] for name, row in rows.items()}


def test_each_kind_is_told_with_what_there_is_to_know(
    home: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FORMATS["A1111"](models / "embeddings" / "cup.pt", vectors())
    save_file(
        {
            "lora_unet_x_attn2_to_k.lora_down.weight": torch.zeros(4, 2048),
            "lora_unet_x_attn2_to_k.lora_up.weight": torch.zeros(640, 4),
        },
        models / "loras" / "ink.safetensors",
        {"modelspec.trigger_phrase": "inkstyle, wet"},
    )
    torch.save({"state_dict": {"model.diffusion_model.x": torch.zeros(1)}}, models / "checkpoints" / "m.ckpt")
    save_file(
        {"decoder.conv_in.weight": torch.zeros(1), "encoder.conv_in.weight": torch.zeros(1)},
        models / "vae" / "v.safetensors",
    )
    pair = ({"linear.0.weight": torch.zeros(2, 2)}, {"linear.0.weight": torch.zeros(2, 2)})
    torch.save({768: pair, "name": "h", "step": 3}, models / "hypernetworks" / "h.pt")
    shutil.copytree(TINY, models / "checkpoints" / "tiny")
    rows = listed(home, capsys)
    assert {name: row["kind"] for name, row in rows.items()} == {
        "cup.pt": "embedding",
        "ink.safetensors": "lora",
        "m.ckpt": "checkpoint",
        "tiny": "checkpoint",
        "v.safetensors": "vae",
        "h.pt": "hypernetwork",
    }
    assert set(codes(rows).values()) == {None}
    cup = rows["cup.pt"]
    assert (cup["format"], cup["vectors"], cup["width"], cup["base"]) == ("A1111", 3, 768, "SD 1")
    assert cup["triggers"] == ["cup", "mug", "<mug>", "<cup>", "embedding:cup", "embedding:cup.pt"]
    assert cup["bytes"] == (models / "embeddings" / "cup.pt").stat().st_size
    ink = rows["ink.safetensors"]
    assert (ink["format"], ink["base"], ink["triggers"]) == ("LoRA, rank 4", "SDXL", ["inkstyle", "wet"])
    assert (rows["tiny"]["format"], rows["tiny"]["width"], rows["tiny"]["base"]) == ("diffusers", 64, "SD 1")
    assert listed(home, capsys, "--kind", "lora").keys() == {"ink.safetensors"}


def test_nothing_that_is_wrong_with_one_file_stops_the_list(
    home: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = models / "embeddings"
    FORMATS["A1111"](folder / "sound.pt", vectors())
    (folder / "evil.pt").write_bytes(hostile.calls(home / "marker")["protocol 2"][0])
    (folder / "empty.pt").touch()
    (folder / "page.pt").write_text("<html>")
    (folder / "pointer.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    (folder / "cut.safetensors").write_bytes(b"\xff" * 7 + b"\x7f{")
    (folder / "folder.pt").mkdir()
    (folder / "gone.pt").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.pt")
    (folder / "loop").symlink_to(folder)
    pair = {"x.lora_up.weight": torch.zeros(2, 1), "x.lora_down.weight": torch.zeros(1, 2)}
    save_file(pair, folder / "lora.safetensors")
    save_file({"x.lora_up.weight": torch.zeros(2, 1)}, folder / "half.safetensors")
    torch.save({"<x>": vectors() * float("nan")}, folder / "nan.pt")
    (folder / "odd\nname\x1b[31m.pt").write_bytes(b"x")
    found = codes(listed(home, capsys))
    assert found.pop("odd\nname\x1b[31m.pt") == "unknown_format"
    assert found == {
        "sound.pt": None,
        "evil.pt": "unsafe_pickle",
        "empty.pt": "empty",
        "page.pt": "unknown_format",
        "pointer.safetensors": "not_downloaded",
        "cut.safetensors": "bad_safetensors",
        "folder.pt": "not_a_file",
        "gone.pt": "unreadable",
        "pipe.pt": "not_a_file",
        "lora.safetensors": "wrong_folder",
        "half.safetensors": "bad_lora",
        "nan.pt": "not_finite",
    }
    assert not (home / "marker").exists()
    assert main(["models", "--home", str(home)]) == 0
    assert "\x1b[31m" not in capsys.readouterr().out


def test_a_concept_folder_is_used_as_it_was_downloaded(
    home: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    concept = models / "embeddings" / "cat-toy"
    (concept / "concept_images").mkdir(parents=True)
    torch.save({"<cat-toy>": vectors(1)[0]}, concept / "learned_embeds.bin")
    for name in ("token_identifier.txt", "type_of_concept.txt", "README.md", "concept_images/1.jpeg"):
        (concept / name).write_text("<cat-toy>")
    (row,) = listed(home, capsys).values()
    assert (row["file"], row["vectors"], row["problem"]) == ("cat-toy/learned_embeds.bin", 1, None)
    assert {"cat-toy", "<cat-toy>", "embedding:cat-toy"} <= set(row["triggers"])


def test_two_files_of_one_name_are_listed_and_the_clash_told(
    home: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("cat.pt", "old/cat.pt")):
        (models / "embeddings" / name).parent.mkdir(exist_ok=True)
        torch.save({"emb_params": vectors(seed=number)}, models / "embeddings" / name)
    rows = listed(home, capsys)
    assert codes(rows) == {"cat.pt": None, "old/cat.pt": "name_taken"}
    assert "old/cat" in rows["old/cat.pt"]["problem"]["message"]
    assert "old/cat" in rows["old/cat.pt"]["triggers"]


def test_widths_are_compared_with_a_model_that_is_named(
    home: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for width in (64, 768):
        torch.save(a1111(vectors(1, width), name=None), models / "embeddings" / f"w{width}.pt")
    found = listed(home, capsys, "--model", "safelight-tiny")
    assert codes(found) == {"w64.pt": None, "w768.pt": "wrong_width"}
    assert "768; the model reads 64" in found["w768.pt"]["problem"]["message"]
    assert main(["models", "--home", str(home), "--kind", "quux"]) == 2
    assert main(["models", "--home", str(home), "--model", "quux"]) == 2


def test_what_is_known_of_a_file_outlives_the_process_and_follows_its_bytes(
    home: Path, models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = models / "embeddings" / "x.pt"
    FORMATS["A1111"](path, vectors())
    first = listed(home, capsys)

    def unread(paths: list[Path]) -> list[Any]:
        assert not paths, "a file that is known was read again"
        return []

    with monkeypatch.context() as patch:
        patch.setattr(known_files, "_KNOWN", {})
        patch.setattr("nodes.sd.formats.facts.facts_of", unread)
        assert listed(home, capsys) == first
    FORMATS["kohya"](path, vectors(2))
    assert (first["x.pt"]["vectors"], listed(home, capsys)["x.pt"]["vectors"]) == (3, 2)


def test_the_folders_of_other_programs_are_looked_into_as_the_nodes_do(
    home: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A1111's and ComfyUI's folders are named in the settings; a sub-folder of InvokeAI's is like any."""
    webui, comfy = tmp_path / "stable-diffusion-webui", tmp_path / "ComfyUI" / "models"
    folders = {
        "embeddings": [webui / "embeddings", comfy / "embeddings"],
        "loras": [webui / "models" / "Lora", comfy / "loras"],
        "checkpoints": [webui / "models" / "Stable-diffusion", comfy / "checkpoints"],
        "hypernetworks": [webui / "models" / "hypernetworks"],
    }
    for kind, places in folders.items():
        for number, place in enumerate(places):
            place.mkdir(parents=True)
            if kind == "embeddings":
                FORMATS["A1111"](place / f"e{number}.pt", vectors(1, 64, seed=number))
            if kind == "loras":
                key = "lora_unet_mid_block_attentions_0_proj_in"
                pair = {"up": torch.ones(64, 1, 1, 1), "down": torch.ones(1, 64, 1, 1)}
                named = {f"{key}.lora_{side}.weight": tensor for side, tensor in pair.items()}
                save_file(named, place / f"l{number}.safetensors")
    (models / "embeddings" / "sd-1" / "embedding").mkdir(parents=True)
    FORMATS["A1111"](models / "embeddings" / "sd-1" / "embedding" / "e2.pt", vectors(1, 64, seed=2))
    written = {kind: list(map(str, places)) for kind, places in folders.items()}
    (home / "settings.json").write_text(json.dumps({"folders": written}))
    rows = listed(home, capsys)
    assert set(codes(rows).values()) == {None}
    assert rows.keys() == {"e0.pt", "e1.pt", "sd-1/embedding/e2.pt", "l0.safetensors", "l1.safetensors"}
    prompt = "".join(f"{row['triggers'][0]}, " for row in rows.values() if row["kind"] == "embedding")
    with Session(settings.load(home, device="cpu")) as session:
        loaded: dict[str, Any] = dict(run_node(session, LoadModel()))
        loaded["encoder"] = run_node(session, LoadEmbeddings(encoder=loaded["encoder"]))["out"]
        node = ApplyLoRA(model=loaded["model"], encoder=loaded["encoder"], lora="l0", more=[{"lora": "l1"}])
        applied: dict[str, Any] = dict(run_node(session, node))
        assert len(applied["model"].patches) == 2
        tokens: Any = run_node(session, EncodePrompt(encoder=applied["encoder"], prompt=prompt))["tokens"]
    assert len([token for token in tokens if token["trigger"]]) == 3


def test_convert_writes_a_new_file_and_replaces_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FORMATS["A1111"](tmp_path / "x.pt", vectors())
    out = tmp_path / "x.safetensors"
    words = ["convert", str(tmp_path / "x.pt"), "-o", str(out)]
    assert main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {
        "file": str(out),
        "kind": "embedding",
        "tensors": 1,
        "left_out": 0,
        "bytes": out.stat().st_size,
    }
    assert torch.equal(load_file(out)["emb_params"], vectors())
    assert main(words) == 2
    assert "is there already" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.pt", "x.safetensors"]


@pytest.mark.parametrize("out", ["y.pt", "none/y.safetensors"])
def test_convert_refuses_and_leaves_nothing(tmp_path: Path, out: str) -> None:
    (tmp_path / "x.pt").write_bytes(hostile.calls(tmp_path / "marker")["protocol 2"][0])
    assert main(["convert", str(tmp_path / "x.pt"), "-o", str(tmp_path / "y.safetensors")]) == 2
    FORMATS["A1111"](tmp_path / "x.pt", vectors())
    assert main(["convert", str(tmp_path / "x.pt"), "-o", str(tmp_path / out)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]
