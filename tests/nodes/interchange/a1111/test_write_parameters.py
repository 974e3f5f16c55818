"""The `parameters` text, read back with the rules by which A1111 reads it, and by our own importer."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from PIL import Image as pillow
from safetensors.torch import save, save_file

from engine.cli import main
from engine.digests import FileDigests
from engine.file_facts import FileFacts
from engine.files import Files
from engine.packs.provenance import Provenance
from engine.picture_text import png
from engine.values import Json
from nodes.files.checkpoints import Checkpoint
from nodes.files.file_hashes import lora_hash
from nodes.files.patch_files import HYPERNETWORKS, LORAS, Patch, PatchFile
from nodes.interchange.a1111 import parse_parameters
from nodes.interchange.a1111.import_parameters import CHUNK
from nodes.interchange.a1111.write_parameters import annotate
from nodes.interchange.sampler_names import (
    A1111_SAMPLERS,
    A1111_SCHEDULES,
    SAMPLERS_BY_A1111_NAME,
    SCHEDULES_BY_A1111_NAME,
    a1111_sampler_name,
    a1111_schedule_name,
)
from nodes.model.lora import Choice
from nodes.sd.families.family import Betas
from nodes.sd.sampling.names import SamplerName, ScheduleName
from nodes.value_types.merge_terms import Term
from nodes.values import Model
from tests.nodes.conftest import GRAPHS
from tests.nodes.interchange.other_tools import imported, values

FIELD = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
DIGEST = "0123456789abcdef" * 4


def made(
    node_type: str, links: dict[str, str] | None = None, meta: dict[str, Any] | None = None, **inputs: object
) -> Provenance:
    return Provenance(node_type, inputs, links or {}, meta or {})  # type: ignore[arg-type]


STEPS = {
    "model": made("LoadModel", meta={"model": {"name": "dream, v2", "digest": DIGEST}}, model="dream, v2"),
    "positive": made("EncodePrompt", {"encoder": "model"}, prompt="a mug\non a desk", clip_skip=2),
    "negative": made("EncodePrompt", {"encoder": "model"}, prompt="blurry", clip_skip=1),
    "canvas": made("EmptyLatent", width=512, height=768, batch=2),
    "denoise": made(
        "Denoise",
        {"model": "model", "positive": "positive", "negative": "negative", "latent": "canvas"},
        seed=40,
        steps=20,
        guidance=7.0,
        rescale=0.0,
        sampler="euler_ancestral",
        schedule="karras",
        strength=1.0,
    ),
    "decode": made("Decode", {"vae": "model", "latent": "denoise"}, tiled=False),
}


def fields(steps: dict[str, Provenance]) -> dict[str, str]:
    """The fields by A1111's own pattern, without their quotes."""
    last = annotate(steps, "decode", 0)[CHUNK].split("\n")[-1]
    return {name: json.loads(value) if value[:1] == '"' else value for name, value in FIELD.findall(last)}


def with_changes(steps: dict[str, Provenance], **changed: Provenance) -> dict[str, Provenance]:
    return {**steps, **changed}


def test_a1111_reads_every_field_back() -> None:
    text = annotate(STEPS, "decode", 1)[CHUNK]
    *prompt, last = text.split("\n")
    assert prompt == ["a mug", "on a desk", "Negative prompt: blurry"]
    found = dict(FIELD.findall(last))
    version = found.pop("Version")
    assert found == {
        "Steps": "20",
        "Sampler": "Euler a",
        "Schedule type": "Karras",
        "CFG scale": "7",
        "Seed": "41",
        "Size": "512x768",
        "Model hash": "0123456789",
        "Model": '"dream, v2"',
        "Clip skip": "2",
        "RNG": "CPU",
    }
    assert version.startswith("Safelight ")


def test_the_distilled_guidance_is_written_as_forge_does_and_read_back() -> None:
    guided = made("SetDistilledGuidance", {"prompt": "positive"}, guidance=2.5)
    denoise = replace(STEPS["denoise"], links={**STEPS["denoise"].links, "positive": "guided"})
    steps = with_changes(STEPS, guided=guided, denoise=denoise)
    assert fields(steps)["Distilled CFG Scale"] == "2.5"
    text = annotate(steps, "decode", 0)[CHUNK]
    assert text.startswith("a mug\non a desk\n")
    graph = imported(text).graph
    assert values(graph, "guided") == {"prompt": "positive.out", "guidance": 2.5}
    assert values(graph, "denoise")["positive"] == "guided.out"


def test_the_seeds_of_a_batch_are_those_of_its_noise() -> None:
    def written(**inputs: Any) -> dict[str, str]:
        before = STEPS["denoise"]
        step = Provenance(before.node_type, {**before.inputs, **inputs}, before.links, before.meta)
        changed = with_changes(STEPS, denoise=step)
        return dict(FIELD.findall(annotate(changed, "decode", 1)[CHUNK].split("\n")[-1]))

    varied = written(variation=0.2, variation_seed=7)
    assert (varied["Seed"], varied["Variation seed"], varied["Variation seed strength"]) == ("40", "8", "0.2")
    comfy = written(noise="comfyui_gpu", later_seed_shift=31337, rho=5.0)
    assert (comfy["Seed"], comfy["RNG"]) == ("40", "ComfyUI GPU")
    assert (comfy["ENSD"], comfy["Schedule rho"]) == ("31337", "5")


def test_a_second_pass_is_written_as_a_hires_fix_and_read_back() -> None:
    links = {"model": "model", "positive": "positive", "negative": "negative"}
    again = {**STEPS["denoise"].inputs, "strength": 0.3, "guidance": 5.0}
    two = with_changes(
        STEPS,
        larger=made("ScaleLatent", {"latent": "denoise"}, factor=1.5, method="bicubic"),
        refine=Provenance("Denoise", again, {**links, "latent": "larger"}, {}),
        decode=made("Decode", {"vae": "model", "latent": "refine"}, tiled=False),
    )
    found = fields(two)
    assert (found["Steps"], found["Size"], found["Seed"], found["CFG scale"]) == ("20", "512x768", "40", "7")
    assert (found["Hires upscale"], found["Hires steps"], found["Hires CFG Scale"]) == ("1.5", "7", "5")
    assert found["Hires upscaler"] == "Latent (bicubic)"
    assert int(7 / float(found["Denoising strength"])) == 20, "A1111 plans the steps of the second pass"
    read = imported(annotate(two, "decode", 0)[CHUNK]).graph
    refine = values(read, "refine")
    kept = [int(strength * 20) + 1 for strength in (0.3, refine["strength"])]
    assert (refine["steps"], kept) == (20, [7, 7])
    assert values(read, "larger")["width"] == 768


def test_every_sampler_and_schedule_has_its_name() -> None:
    for name in get_args(SamplerName):
        assert SAMPLERS_BY_A1111_NAME[a1111_sampler_name(name).casefold()] == name
    for name in get_args(ScheduleName):
        assert SCHEDULES_BY_A1111_NAME[a1111_schedule_name(name).casefold().replace(" ", "")] == name
    assert set(A1111_SAMPLERS) <= set(get_args(SamplerName))
    assert set(A1111_SCHEDULES) <= set(get_args(ScheduleName))


def test_a_merge_is_named_by_its_models_and_has_no_hash() -> None:
    dream = Checkpoint("dream", DIGEST, "sd1", "epsilon", Betas(), 4, 8, 512, 512, (("clip_l", 768),), 768, 4)
    ink = replace(dream, name="ink", digest=DIGEST[::-1])
    terms = Term(Model(dream), 0.75), Term(Model(ink), 0.25, (0.5,) * 26)
    meta = {"out": Model(dream, merge=terms).pack().meta}
    steps = {**STEPS, "merge": made("MergeModels", {"a": "model", "b": "model"}, meta)}
    denoise = STEPS["denoise"]
    steps["denoise"] = replace(denoise, links={**denoise.links, "model": "merge"})
    last = annotate(steps, "denoise", 0)[CHUNK].splitlines()[-1]
    assert "Model: merge of dream 0.75 and ink by blocks," in last
    assert "Model hash" not in last


def test_a_picture_that_was_only_loaded_has_no_parameters() -> None:
    assert annotate({"load": made("LoadImage", image="a.png")}, "load", 0) == {}


def test_loras_are_tags_of_the_prompt_and_have_hashes() -> None:
    def patch(name: str, hash: str, kind: str = LORAS) -> dict[str, Json]:
        return Patch(PatchFile(kind, "0" * 64, name, hash), 1.0).as_json()

    meta = {
        "model": {
            "digest": DIGEST,
            "patches": [
                patch("sub/ink.safetensors", "a" * 64),
                patch("b.pt", "b" * 64),
                patch("soft.pt", "", HYPERNETWORKS),
            ],
        }
    }
    rows = [
        {"lora": "b.pt", "weight": 0.5, "encoder_weight": 0.25},
        {"lora": "c", "weight": 1.0, "on": False},
    ]
    applied = made(
        "ApplyLoRA",
        {"model": "model", "encoder": "model"},
        meta,
        lora="sub/ink.safetensors",
        weight=0.75,
        encoder_weight=None,
        on=True,
        more=rows,
    )
    denoise = STEPS["denoise"]
    wired = Provenance("Denoise", denoise.inputs, {**denoise.links, "model": "lora"}, {})
    steps = with_changes(STEPS, lora=applied, denoise=wired)
    text = annotate(steps, "decode", 0)[CHUNK]
    assert text.startswith("a mug\non a desk <lora:ink:0.75> <lora:b:0.25:0.5>\nNegative prompt")
    assert fields(steps)["Lora hashes"] == f"ink: {'a' * 12}, b: {'b' * 12}"
    assert fields(steps)["Model hash"] == "0123456789"


@pytest.mark.parametrize(
    "row",
    [
        {"lora": "ink_v1.5", "weight": 0.75},
        {"lora": "ink_v1.5.safetensors", "weight": 1 / 3, "encoder_weight": -0.5, "blocks": "OUTD"},
        {"lora": "ink_v1.5", "weight": 1.0, "blocks": ",".join(["1", "0", "0.25"] * 5 + ["1", "0"])},
        {"lora": "ink_v1.5", "weight": 0.5, "blocks": "MIDD", "ranks": 4},
    ],
)
def test_the_tag_of_a_lora_makes_the_same_lora(row: dict[str, Any]) -> None:
    applied = made("ApplyLoRA", {"model": "model", "encoder": "model"}, more=[row])
    denoise = STEPS["denoise"]
    wired = Provenance("Denoise", denoise.inputs, {**denoise.links, "model": "lora"}, {})
    text = annotate(with_changes(STEPS, lora=applied, denoise=wired), "decode", 0)[CHUNK]
    found = values(imported(text).graph, "lora")
    (again,) = found.get("more", [found])
    said = Choice(**{name: item for name, item in again.items() if name in Choice.model_fields})
    assert said == Choice(**{**row, "lora": "ink_v1.5", "on": False}), "off, as there is no such file here"


def test_the_hash_of_a_lora_is_that_of_a1111(tmp_path: Path) -> None:
    files = Files(lambda kind: (), FileDigests(FileFacts(tmp_path / "facts.db")), tmp_path)
    tensors = {"lora_unet_x.diff": torch.ones(4, 8)}

    def hash_of(name: str, data: bytes) -> tuple[str, str]:
        path, whole = tmp_path / name, sha256(data).hexdigest()
        path.write_bytes(data)
        found = lora_hash(files, path, whole)
        path.unlink()
        assert lora_hash(files, path, whole) == found, "remembered by its content"
        return found, whole

    assert hash_of("kohya.safetensors", save(tensors, {"sshs_model_hash": "AB" * 32}))[0] == "ab" * 32
    body = sha256(tensors["lora_unet_x.diff"].numpy().tobytes()).hexdigest()
    assert hash_of("plain.safetensors", save(tensors))[0] == body
    assert hash_of("noted.safetensors", save(tensors, {"note": "another header"}))[0] == body
    torch.save(tensors, tmp_path / "old.pt")
    found, whole = hash_of("old.pt", (tmp_path / "old.pt").read_bytes())
    assert found == whole


def test_tags_of_a_prompt_are_written_once() -> None:
    tagged = made("ApplyTags", {"model": "model", "encoder": "model"}, prompt="a mug <lora:ink:0.5> here")
    positive = made("EncodePrompt", {"encoder": "tags", "prompt": "tags"}, clip_skip=1)
    denoise = STEPS["denoise"]
    wired = Provenance("Denoise", denoise.inputs, {**denoise.links, "model": "tags"}, {})
    text = annotate(with_changes(STEPS, tags=tagged, positive=positive, denoise=wired), "decode", 0)[CHUNK]
    assert text.split("\n")[0] == "a mug  here <lora:ink:0.5>"


def test_embeddings_that_stand_in_a_prompt_have_hashes() -> None:
    files = [
        {"given": "", "root": 0, "name": "sub/easy, neg.pt", "digest": "e" * 64},
        {"given": "/home/x/one.pt", "root": 0, "name": "", "digest": "f" * 64},
        {"given": "", "root": 0, "name": "unused.pt", "digest": "0" * 64},
    ]
    loaded = made(
        "LoadEmbeddings", {"encoder": "model"}, {"out": {"embeddings": {"files": files, "made": []}}}
    )
    places = [
        {"text": "a", "trigger": ""},
        {"text": "x", "trigger": "sub/easy, neg.pt"},
        {"trigger": "one.pt: <a>"},
    ]
    negative = made("EncodePrompt", {"encoder": "words"}, {"tokens": places}, prompt="x", clip_skip=1)
    found = fields(with_changes(STEPS, words=loaded, negative=negative))
    assert found["TI hashes"] == f"easy neg: {'e' * 12}, one: {'f' * 12}"


def test_default_settings_are_left_out_of_parameters() -> None:
    positive = made(
        "EncodePrompt", {"encoder": "model"}, prompt="a", dialect="compel", emphasis="no_norm", clip_skip=1
    )
    denoise = STEPS["denoise"]
    changed = Provenance("Denoise", {**denoise.inputs, "rescale": 0.7, "strength": 0.5}, denoise.links, {})
    found = fields(with_changes(STEPS, positive=positive, denoise=changed))
    assert (found["Emphasis"], found["Dialect"], found["CFG Rescale phi"]) == ("No norm", "compel", "0.7")
    assert found["Denoising strength"] == "0.5"
    assert "Clip skip" not in found
    assert not {"Emphasis", "Dialect", "CFG Rescale phi", "Denoising strength"} & fields(STEPS).keys()


def test_a_size_that_is_not_known_is_not_said() -> None:
    assert "Size" not in fields(with_changes(STEPS, canvas=made("EmptyLatent", {"width": "x"}, height=8)))


LORA = "red-to-blue.safetensors"


def stacked() -> dict[str, Any]:
    """The first example, with a LoRA and the user's embeddings between its model and the rest."""
    tree: dict[str, Any] = json.loads((GRAPHS / "text_to_image.json").read_text())
    nodes = tree["nodes"]
    model, encoder = {"from": "model.model"}, {"from": "model.encoder"}
    nodes["lora"] = {
        "type": "ApplyLoRA@1",
        "inputs": {"model": model, "encoder": encoder, "lora": LORA, "weight": 0.9, "blocks": "INALL"},
    }
    nodes["words"] = {"type": "LoadEmbeddings@1", "inputs": {"encoder": {"from": "lora.encoder"}}}
    for name in ("positive", "negative"):
        nodes[name]["inputs"] |= {"encoder": {"from": "words.out"}, "clip_skip": 2}
    nodes["denoise"]["inputs"] |= {
        "model": {"from": "lora.model"},
        "sampler": "euler_ancestral",
        "schedule": "normal",
    }
    nodes["denoise"]["inputs"]["rescale"] = 0.3
    tree.pop("layout", None)
    return tree


def test_our_text_makes_the_same_graph_and_the_same_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("SAFELIGHT_HOME", str(home))
    for kind in ("loras", "embeddings"):
        (home / "models" / kind).mkdir(parents=True)
    shutil.copy(GRAPHS / "loras" / "red-to-blue.safetensors", home / "models" / "loras")
    width = json.loads((GRAPHS.parent / "nodes/sd/tiny/weights/text_encoder/config.json").read_text())[
        "hidden_size"
    ]
    vectors = torch.full((2, width), 0.01)
    save_file({"emb_params": vectors}, home / "models" / "embeddings" / "zzstyle.safetensors")
    (tmp_path / "stacked.json").write_text(json.dumps(stacked()))

    def run(path: Path, *words: str) -> Path:
        capsys.readouterr()
        assert main(["run", str(path), "--quiet", "--out", str(tmp_path / "o"), *words]) == 0
        return Path(capsys.readouterr().out.strip())

    prompt = "a red circle, zzstyle on a (white:1.2) background"
    given = {"prompt": prompt, "negative": "zzstyle", "seed": "4077357776", "steps": "6", "guidance": "3.5"}
    first = run(
        tmp_path / "stacked.json", *(word for name, item in given.items() for word in (f"--{name}", item))
    )
    text = png.read_text(first.read_bytes())[CHUNK]
    said = parse_parameters.parse(text)
    assert said.prompt == f"{prompt} <lora:red-to-blue:0.9:lbw=INALL>"
    assert parse_parameters.parse_hashes(said.fields["Lora hashes"]) == {"red-to-blue": "46cd42caedf3"}
    assert parse_parameters.parse_hashes(said.fields["TI hashes"]).keys() == {"zzstyle"}
    (tmp_path / "text.txt").write_text(text)
    loras = home / "models" / "loras"
    (loras / LORA).rename(loras / "renamed.safetensors")
    assert main(["import", str(tmp_path / "text.txt"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [problem["code"] for problem in answer["problems"]] == ["clip_skip"], "everything is found again"
    applied = {"lora": "renamed.safetensors", "weight": 0.9, "blocks": "INALL"}
    assert applied.items() <= answer["graph"]["nodes"]["lora"]["inputs"].items(), "found by its hash"
    found = {name: item["default"] for name, item in answer["graph"]["inputs"].items()}
    assert found == {
        "prompt": prompt,
        "negative": "zzstyle",
        "model": "safelight-tiny",
        "width": 128,
        "height": 128,
        "seed": 4077357776,
        "steps": 6,
        "guidance": 3.5,
    }
    again = run(tmp_path / "text.txt")
    with pillow.open(first) as one, pillow.open(again) as other:
        assert one.tobytes() == other.tobytes()
