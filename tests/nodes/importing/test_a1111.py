"""Texts as A1111, Forge, SD.Next and Civitai write them, made into graphs."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.denoise import Denoise
from nodes.importing.names import A1111_SAMPLERS
from nodes.load import LoadModel
from tests.nodes.importing.written import checked, codes, defaults, imported, told, values

A1111 = (
    "photo of a (red:1.2) cat, [dog|fox] <lora:ink:0.8> BREAK on a desk\n"
    "Negative prompt: blurry, EasyNegative\n"
    "Steps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 4077357776, Size: 512x768,"
    " Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, Clip skip: 2, RNG: CPU,"
    ' Lora hashes: "ink: 0123456789ab", TI hashes: "EasyNegative: c74b4e810b03", Version: v1.10.1'
)
FORGE = (
    "a lighthouse\nSteps: 20, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7, Seed: 1,"
    " Size: 640x448, Model hash: aaaaaaaaaa, Model: dream_8, RNG: CPU,"
    " Version: f2.0.1v1.10.1-previous-659-gc055f2d4, Module 1: vae-ft-mse"
)
SD_NEXT = (
    "a lighthouse\nNegative prompt: dull\nSteps: 30, Size: 512x512, Sampler: Euler, Seed: 99, CFG scale: 5,"
    " App: SD.Next, Version: 5a3e4b1, Pipeline: StableDiffusionPipeline, Operations: txt2img, Model: dream_8,"
    " Model hash: aaaaaaaaaa, RNG: CPU"
)
CIVITAI = (
    "a lighthouse\nNegative prompt: dull\nSteps: 30, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 12, Size:"
    " 512x768, Clip skip: 2, RNG: CPU, Created Date: 2024-05-06T12:34:56.789Z, Civitai resources:"
    ' [{"type":"checkpoint","modelVersionId":128713,"modelName":"DreamShaper","modelVersionName":"8"},'
    '{"type":"lora","weight":0.7,"modelVersionId":1,"modelName":"Ink","modelVersionName":"v1"}],'
    " Civitai metadata: {}"
)
FIELDS = "Steps: 20, Sampler: {}, CFG scale: 7, Seed: 1, Size: 512x512, RNG: CPU, Model: safelight-tiny"


def test_all_that_a1111_says_is_in_the_graph() -> None:
    found = imported(A1111)
    graph = found.graph
    assert found.origin == "A1111's parameters"
    assert defaults(graph) == {
        "prompt": "photo of a (red:1.2) cat, [dog|fox]  BREAK on a desk",
        "negative": "blurry, EasyNegative",
        "model": None,
        "width": 512,
        "height": 768,
        "seed": 4077357776,
        "steps": 25,
        "guidance": 6.5,
    }
    assert values(graph, "denoise") == {
        "model": "lora.model",
        "positive": "positive.out",
        "negative": "negative.out",
        "latent": "canvas.out",
        "seed": 4077357776,
        "steps": 25,
        "guidance": 6.5,
        "sampler": "dpmpp_2m",
        "schedule": "karras",
    }
    assert values(graph, "lora")["weight"] == 0.8
    assert values(graph, "embeddings") == {"encoder": "lora.encoder"}
    for node, negative in (("positive", None), ("negative", True)):
        said = values(graph, node)
        assert (said["dialect"], said["clip_skip"], said["encoder"]) == ("a1111", 2, "embeddings.out")
        assert said.get("negative") is negative
    assert sorted(codes(found)) == ["missing_embedding", "missing_lora", "missing_model"]
    assert "v1-5-pruned-emaonly [6ce0161689]" in told(found)
    assert checked(graph, model="safelight-tiny").ok
    assert [problem.code for problem in checked(graph).problems] == ["missing_value"]


@pytest.mark.parametrize(
    ("text", "origin", "sampler", "schedule", "size", "model"),
    [
        (FORGE, "Forge's parameters", "euler_ancestral", "normal", (640, 448), "dream_8 [aaaaaaaaaa]"),
        (SD_NEXT, "SD.Next's parameters", "euler", "normal", (512, 512), "dream_8 [aaaaaaaaaa]"),
        (CIVITAI, "A1111's parameters", "dpmpp_2m", "karras", (512, 768), "DreamShaper"),
    ],
)
def test_the_kin_of_a1111(
    text: str, origin: str, sampler: str, schedule: str, size: tuple[int, int], model: str
) -> None:
    found = imported(text)
    said = values(found.graph, "denoise")
    assert (found.origin, said["sampler"], said["schedule"]) == (origin, sampler, schedule)
    assert (defaults(found.graph)["width"], defaults(found.graph)["height"]) == size
    assert f"made with the model {model}, which" in told(found)
    assert checked(found.graph, model="safelight-tiny").ok


def test_what_civitai_lists_beside_is_applied() -> None:
    graph = imported(CIVITAI).graph
    assert values(graph, "lora")["weight"] == 0.7
    assert graph.nodes["lora"].inputs["on"].value is False  # type: ignore[union-attr]


def test_names_with_half_a_letter_do_no_harm() -> None:
    halved = CIVITAI.replace('"Ink"', '"Ink\\ud800"')
    assert halved != CIVITAI
    assert values(imported(halved).graph, "lora")["lora"] == "Ink?"


def test_what_has_no_counterpart_is_named() -> None:
    found = imported(
        "a cat\nSteps: 20, Sampler: UniPC, Schedule type: Beta, CFG scale: 7, Seed: 1, Size: 500x512, Model:"
        " safelight-tiny, Denoising strength: 0.4, Hires upscale: 2, Hires upscaler: Latent, ADetailer model:"
        ' face_yolov8n.pt, ControlNet 0: "Module: canny, Model: control_v11", ENSD: 31337, Version: v1.10.1'
    )
    text = told(found)
    for field in ("Sampler: UniPC", "Schedule type: Beta", "ADetailer model: face_yolov8n.pt", "ENSD: 31337"):
        assert f"{field} is left out" in text
    assert "Hires fix: Hires upscale 2, Hires upscaler Latent, Denoising strength 0.4 is left out" in text
    assert "ControlNet 0: Module: canny, Model: control_v11 is left out" in text
    assert "Size: 500 becomes 496" in text
    assert "RNG" in text, "A1111 draws its noise on the GPU unless it says otherwise"
    assert all(problem.severity == "warning" for problem in found.problems)
    assert "strength" not in found.graph.inputs, "that was the strength of the second pass"
    assert checked(found.graph).ok


@pytest.mark.parametrize(("name", "other"), A1111_SAMPLERS.items())
def test_older_names_carry_the_schedule(name: str, other: str) -> None:
    for suffix, schedule in (("Karras", "karras"), ("Exponential", "exponential")):
        said = values(imported(f"a\n{FIELDS.format(f'{other} {suffix}')}").graph, "denoise")
        assert (said["sampler"], said["schedule"]) == (name, schedule)


def test_a_name_alone_meant_even_steps_before_1_9_and_is_automatic_since() -> None:
    text = f"a\n{FIELDS.format('DPM++ 2M')}"
    assert values(imported(f"{text}, Version: v1.6.0").graph, "denoise")["schedule"] == "normal"
    assert values(imported(f"{text}, Version: v1.9.4").graph, "denoise")["schedule"] == "karras"
    assert values(imported(text).graph, "denoise")["schedule"] == "karras"
    sde = f"a\n{FIELDS.format('DPM++ 2M SDE')}, Schedule type: Automatic"
    assert values(imported(sde).graph, "denoise")["schedule"] == "exponential"


def test_a_strength_alone_is_of_a_picture_that_is_asked_for() -> None:
    found = imported(f"a cat\n{FIELDS.format('Euler')}, Denoising strength: 0.45")
    graph = found.graph
    assert defaults(graph)["strength"] == 0.45
    assert graph.inputs["image"].required
    assert values(graph, "denoise")["latent"] == "encode.out"
    assert codes(found) == ["missing_picture"]
    assert [problem.code for problem in checked(graph).problems] == ["missing_value"]
    assert checked(graph, image="star.png").ok


def test_tags_say_all_that_they_can() -> None:
    prompt = "a <lora:one:0.5> <lora:two:0.25:0.75> <lora:three:te=0.1:unet=0.2:dyn=8> <hypernet:old:0.6>"
    graph = imported(f"{prompt}\n{FIELDS.format('Euler')}").graph
    assert values(graph, "lora") == {
        "model": "model.model", "encoder": "model.encoder", "lora": "one", "weight": 0.5, "on": False
    }  # fmt: skip
    assert values(graph, "lora-2")["weight"] == 0.75
    assert values(graph, "lora-2")["encoder_weight"] == 0.25
    (row,) = values(graph, "lora-3")["more"]
    assert (row["weight"], row["encoder_weight"], row["ranks"]) == (0.2, 0.1, 8)
    assert values(graph, "hypernetwork")["strength"] == 0.6
    assert graph.nodes["hypernetwork"].off
    assert defaults(graph)["prompt"] == "a"
    assert checked(graph).ok


@pytest.mark.parametrize(
    "said",
    ["Steps: 0", "Steps: many", "Steps: 99999999999999999999999", "Seed: -1", "CFG scale: 1e9", "Size: 1x1",
     "Size: 99999x8", "Clip skip: 40", "CFG scale: nan"],
)  # fmt: skip
def test_a_number_that_means_nothing_is_named_and_the_rest_stands(said: str) -> None:
    found = imported(f"a\nSteps: 20, Sampler: Euler, Seed: 1, RNG: CPU, Model: safelight-tiny, {said}")
    assert said.partition(":")[0] in told(found)
    assert checked(found.graph).ok


def test_ours_is_of_the_same_types() -> None:
    graph = imported(A1111).graph
    assert graph.nodes["model"].type == LoadModel.node_type.id
    assert graph.nodes["denoise"].type == Denoise.node_type.id


def test_the_model_of_a_hash_is_found_under_another_name(tmp_path: Path) -> None:
    import hashlib

    folder = tmp_path / "models" / "checkpoints" / "sub"
    folder.mkdir(parents=True)
    data = bytes(range(256)) * 8192  # 2 MiB, so that A1111's older hash has something to read
    (folder / "renamed.safetensors").write_bytes(data)
    (folder.parent / "v1-5.safetensors").write_bytes(b"another file of that name")
    new = hashlib.sha256(data).hexdigest()[:10]
    old = hashlib.sha256(data[1 << 20 :][: 1 << 16]).hexdigest()[:8]
    text = f"a\n{FIELDS.replace('safelight-tiny', 'v1-5').format('Euler')}"
    for hash in (new, old, new.upper()):
        found = imported(f"{text}, Model hash: {hash}", tmp_path)
        assert defaults(found.graph)["model"] == "sub/renamed.safetensors"
        assert codes(found) == []
    found = imported(f"{text}, Model hash: 0000000000", tmp_path)
    assert defaults(found.graph)["model"] == "v1-5.safetensors"
    assert codes(found) == ["other_model"]
    assert defaults(imported(text, tmp_path).graph)["model"] == "v1-5.safetensors"


def test_loras_are_found_by_name_and_by_each_of_their_hashes(tmp_path: Path) -> None:
    import hashlib

    import torch
    from safetensors.torch import save

    folder = tmp_path / "models" / "loras" / "styles"
    folder.mkdir(parents=True)
    tensors = {
        "lora_unet_x.lora_down.weight": torch.ones(4, 8),
        "lora_unet_x.lora_up.weight": torch.ones(8, 4),
    }
    said = hashlib.sha256(b"what kohya says").hexdigest()
    plain, marked = save(tensors), save(tensors, {"sshs_model_hash": said})
    (folder / "ink.safetensors").write_bytes(plain)
    (folder / "marked.safetensors").write_bytes(marked)
    behind = hashlib.sha256(plain[8 + int.from_bytes(plain[:8], "little") :]).hexdigest()
    whole = hashlib.sha256(plain).hexdigest()
    for name, hash, file in (
        ("ink", "", "styles/ink.safetensors"),
        ("INK", "", "styles/ink.safetensors"),
        ("other", said[:12], "styles/marked.safetensors"),
        ("other", whole[:12], "styles/ink.safetensors"),
        ("other", behind[:12], "styles/ink.safetensors"),
    ):
        text = f"a <lora:{name}:1>\n{FIELDS.format('Euler')}" + (
            f', Lora hashes: "{name}: {hash}"' if hash else ""
        )
        found = imported(text, tmp_path)
        assert values(found.graph, "lora")["lora"] == file
        assert codes(found) == []


NAMES = [
    "/etc/passwd",
    "../../secret",
    "..\\..\\secret",
    "~/secret",
    "C:\\secret",
    "a/../../secret",
    "\0",
    "x" * 9999,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_from_a_stranger_is_no_way_to_a_file(tmp_path: Path, name: str) -> None:
    home = tmp_path / "deep" / "home"
    for kind in ("models/loras", "models/checkpoints", "inputs"):
        (home / kind).mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    fields = FIELDS.replace("safelight-tiny", name).format("Euler")
    found = imported(f"a <lora:{name.replace(':', '')}:1>\n{fields}, Denoising strength: 0.5", home)
    assert defaults(found.graph)["model"] is None
    assert defaults(found.graph)["image"] is None
    said = values(found.graph, "lora")
    assert said["on"] is False
    assert "/" not in said["lora"]
    assert "\\" not in said["lora"]
