"""`safelight models` and `safelight convert`: every file told of, whatever is wrong with one."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as pillow
from safetensors.torch import load_file, save_file

from engine import settings
from engine.cli import main
from engine.errors import NodeError
from engine.session import Session
from engine.testing import run_node
from nodes.files import known_files
from nodes.files.checkpoints import EMBEDDED
from nodes.model.embeddings import LoadEmbeddings
from nodes.model.load import LoadModel
from nodes.model.lora import ApplyLoRA
from nodes.prompt.controlnet import LoadControlNet
from nodes.prompt.encode_prompt import EncodePrompt
from nodes.prompt.prompt_tags import ApplyTags
from tests.nodes.conftest import GRAPHS
from tests.nodes.sd.conftest import TINY
from tests.nodes.sd.formats import hostile
from tests.nodes.sd.formats.tools import FORMATS, a1111, vectors

FIELDS = (
    "file kind format triggers vectors width base bytes sha256 problem tag default_weight picture".split()
)


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
    return {row["file"]: row for row in rows if row["file"] != EMBEDDED}


def codes(rows: dict[str, dict[str, Any]]) -> dict[str, str | None]:
    return {name: row["problem"] and row["problem"]["code"] for name, row in rows.items()}


def test_a_fresh_home_has_the_embedded_model(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, count in (((), 1), (("--kind", "checkpoint"), 1), (("--kind", "lora"), 0)):
        capsys.readouterr()
        assert main(["models", "--home", str(home), "--json", *words]) == 0
        rows = json.loads(capsys.readouterr().out)["models"]
        assert [row["file"] for row in rows] == [EMBEDDED] * count
        for row in rows:
            assert (row["kind"], row["base"], row["width"], row["problem"]) == (
                "checkpoint",
                "SD 1",
                64,
                None,
            )
            assert row["bytes"] > sum(file.stat().st_size for file in TINY.rglob("*.safetensors"))


def test_controlnets_are_listed_by_their_files_and_folders(
    home: Path, models: Path, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(GRAPHS / "controlnets" / "outline", models / "controlnet" / "sub" / "outline")
    names = ("input_hint_block.0.weight", "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight")
    save_file(
        {f"control_model.{name}": torch.zeros(8, 2048) for name in names},
        models / "controlnet" / "pose.safetensors",
    )
    rows = listed(home, capsys, "--kind", "controlnet")
    assert {name: (row["kind"], row["base"]) for name, row in rows.items()} == {
        "pose.safetensors": ("controlnet", "SDXL"),
        "sub/outline": ("controlnet", None),
    }
    loaded: Any = run_node(session, LoadControlNet(controlnet="sub/outline"))["out"]
    assert loaded.digest == rows["sub/outline"]["sha256"]


def test_a_lora_is_listed_with_the_tag_that_applies_it(
    home: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (models / "loras" / "old").mkdir()
    for number, name in enumerate(("ink", "wash", "old/wash")):
        key = "lora_unet_mid_block_attentions_0_proj_in"
        pair = {f"{key}.lora_{side}.weight": torch.full((64, 64), float(number)) for side in ("up", "down")}
        save_file(pair, models / "loras" / f"{name}.safetensors")
    rows = listed(home, capsys, "--kind", "lora")
    assert rows["ink.safetensors"]["tag"] == "<lora:ink:1>"
    with Session(settings.load(home, device="cpu")) as session:
        loaded: dict[str, Any] = dict(run_node(session, LoadModel()))
        for name in rows:
            tag = rows[name]["tag"]
            node = ApplyTags(model=loaded["model"], encoder=loaded["encoder"], prompt=f"a {tag}")
            applied: Any = run_node(session, node)["model"]
            assert [patch.source.digest for patch in applied.patches] == [rows[name]["sha256"]]


def test_each_kind_of_model_file_is_described(
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
    tags = {name: row["tag"] for name, row in rows.items() if row["tag"]}
    assert tags == {"ink.safetensors": "<lora:ink:1>", "h.pt": "<hypernet:h:1>"}
    cup = rows["cup.pt"]
    assert (cup["format"], cup["vectors"], cup["width"], cup["base"]) == ("A1111", 3, 768, "SD 1")
    assert cup["triggers"] == ["cup", "mug", "<mug>", "<cup>", "embedding:cup", "embedding:cup.pt"]
    assert cup["bytes"] == (models / "embeddings" / "cup.pt").stat().st_size
    ink = rows["ink.safetensors"]
    assert (ink["format"], ink["base"], ink["triggers"]) == (
        "LoRA, rank 4",
        "SDXL",
        ["inkstyle", "wet"],
    )
    assert (rows["tiny"]["format"], rows["tiny"]["width"], rows["tiny"]["base"]) == ("diffusers", 64, "SD 1")
    assert listed(home, capsys, "--kind", "lora").keys() == {"ink.safetensors"}


def test_a_bad_model_file_does_not_stop_the_list(
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
    pillow.new("RGB", (2, 2)).save(folder / "picture.safetensors", "PNG")
    pillow.new("RGB", (2, 2)).save(folder / "preview.png")
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
        "picture.safetensors": "not_a_model",
    }
    assert not (home / "marker").exists()
    assert main(["models", "--home", str(home)]) == 0
    assert "\x1b[31m" not in capsys.readouterr().out


def test_a_sparse_file_is_refused_before_it_is_read(
    home: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("embeddings", "loras"):
        with (models / folder / "x.safetensors").open("wb") as file:
            file.write(b"begun")
            file.truncate(100 << 30)
    shutil.copytree(TINY, models / "checkpoints" / "hollow")
    with (models / "checkpoints" / "hollow" / "unet" / "diffusion_pytorch_model.safetensors").open(
        "r+b"
    ) as file:
        file.truncate(100 << 30)
    began = time.monotonic()
    rows = json.loads((main(["models", "--home", str(home), "--json"]), capsys.readouterr().out)[1])["models"]
    assert [row["problem"] and row["problem"]["code"] for row in rows if row["file"] != EMBEDDED] == [
        "sparse",
        "sparse",
        "bad_model",
    ]
    with Session(settings.load(home, device="cpu")) as session:
        loaded: dict[str, Any] = dict(run_node(session, LoadModel()))
        for name in ("x", "x.safetensors", str(models / "loras" / "x.safetensors")):
            with pytest.raises(NodeError) as refused:
                run_node(session, ApplyLoRA(model=loaded["model"], encoder=loaded["encoder"], lora=name))
            assert refused.value.code in ("sparse", "missing_file")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("bulk", ["safetensors", "pickle", "bytes"])
def test_a_large_file_that_contains_an_embedding_is_suspicious(
    home: Path, models: Path, capsys: pytest.CaptureFixture[str], bulk: str
) -> None:
    path = models / "embeddings" / ("x.safetensors" if bulk == "safetensors" else "x.pt")
    tensors = {"emb_params": vectors(), "other": torch.zeros(1 if bulk == "bytes" else 5 << 20)}
    if bulk == "safetensors":
        save_file(tensors, path)
    else:
        torch.save({**tensors, "junk": "x" * (20 << 20)} if bulk == "bytes" else tensors, path)
    (problem,) = (row["problem"] for row in listed(home, capsys).values())
    assert problem["code"] in ("too_large", "unsafe_pickle")


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
    assert "768" in found["w768.pt"]["problem"]["message"]
    assert "64" in found["w768.pt"]["problem"]["message"]
    assert main(["models", "--home", str(home), "--kind", "quux"]) == 2
    assert main(["models", "--home", str(home), "--model", "quux"]) == 2


def test_file_facts_are_stored_by_digest_across_processes(
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
        patch.setattr("nodes.sd.inspection.facts.facts_of", unread)
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
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.pt", "x.safetensors"]


@pytest.mark.parametrize("out", ["y.pt", "none/y.safetensors"])
def test_convert_refuses_and_leaves_nothing(tmp_path: Path, out: str) -> None:
    (tmp_path / "x.pt").write_bytes(hostile.calls(tmp_path / "marker")["protocol 2"][0])
    assert main(["convert", str(tmp_path / "x.pt"), "-o", str(tmp_path / "y.safetensors")]) == 2
    FORMATS["A1111"](tmp_path / "x.pt", vectors())
    assert main(["convert", str(tmp_path / "x.pt"), "-o", str(tmp_path / out)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


def test_a_table_in_a_pipe_has_whole_names_sizes_and_tags(
    home: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stem = "a-style-with-a-name-" * 7
    key = "lora_unet_mid_block_attentions_0_proj_in"
    pair = {"up": torch.ones(64, 1, 1, 1), "down": torch.ones(1, 64, 1, 1)}
    named = {f"{key}.lora_{side}.weight": tensor for side, tensor in pair.items()}
    save_file(named, models / "loras" / f"{stem}.safetensors")
    assert main(["models", "--home", str(home)]) == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if stem in line)
    assert row.startswith(f"{stem}.safetensors ")
    assert f"<lora:{stem}:1>" in row
    assert " kB" in row
