"""Texts as A1111, Forge, SD.Next and Civitai write them, made into graphs."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.interchange.sampler_names import A1111_FIXED_SCHEDULES, A1111_SAMPLERS
from nodes.model.load import LoadModel
from nodes.sampling.denoise import Denoise
from nodes.sd.sampling import schedules
from nodes.sd.sampling.noise_table import NoiseTable
from tests.nodes.interchange.other_tools import checked, codes, defaults, imported, told, values

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


def test_a1111_parameters_become_graph_settings() -> None:
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


def test_civitai_resources_are_applied() -> None:
    graph = imported(CIVITAI).graph
    assert values(graph, "lora")["weight"] == 0.7
    assert graph.nodes["lora"].inputs["on"].value is False  # type: ignore[union-attr]


def test_names_with_half_a_letter_do_no_harm() -> None:
    halved = CIVITAI.replace('"Ink"', '"Ink\\ud800"')
    assert halved != CIVITAI
    assert values(imported(halved).graph, "lora")["lora"] == "Ink?"


def test_fields_without_a_counterpart_give_warnings() -> None:
    found = imported(
        "a cat\nSteps: 20, Sampler: Kohaku, Schedule type: Turbo, CFG scale: 7, Seed: 1, Size: 500x512,"
        " Model: safelight-tiny, Denoising strength: 0.4, Hires prompt: a dog,"
        ' ADetailer model: face_yolov8n.pt, ControlNet 0: "Module: canny, Model: control_v11", Refiner: xl,'
        " Version: v1.10.1"
    )
    text = told(found)
    for field in (
        "Sampler: Kohaku",
        "Schedule type: Turbo",
        "ADetailer model: face_yolov8n.pt",
        "Refiner: xl",
    ):
        assert f"{field} is left out" in text
    assert "Hires fix: Hires prompt a dog, Denoising strength 0.4 is left out" in text
    assert "ControlNet 0: Module: canny, Model: control_v11 is left out" in text
    assert "Size: 500 becomes 496" in text
    assert values(found.graph, "denoise")["noise"] == "nv", "A1111 draws it on the GPU unless it says so"
    assert all(problem.severity == "warning" for problem in found.problems)
    assert "strength" not in found.graph.inputs, "that was the strength of the second pass"
    assert checked(found.graph).ok


@pytest.mark.parametrize(
    ("name", "other"), [item for item in A1111_SAMPLERS.items() if item[0] not in A1111_FIXED_SCHEDULES]
)
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


def denoise_of(fields: str, prompt: str = "a cat") -> dict[str, object]:
    """The Denoise node of a text with further fields."""
    return values(
        imported(f"{prompt}\nSeed: 1, Size: 64x64, Model: safelight-tiny, {fields}").graph, "denoise"
    )


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        ("DDIM", {"sampler": "ddim", "schedule": "ddim_a1111"}),
        ("PLMS", {"sampler": "plms", "schedule": "ddim_a1111"}),
        ("UniPC", {"sampler": "uni_pc", "schedule": "time_uniform", "discard_penultimate": False}),
        ("DDIM CFG++", {"sampler": "ddim_cfg_pp", "schedule": "ddim_a1111", "guidance": 0.56}),
        ("LCM", {"sampler": "lcm", "schedule": "lcm"}),
        ("DPM fast", {"sampler": "dpm_fast", "schedule": "normal", "eta": 1.0}),
        ("DPM adaptive", {"sampler": "dpm_adaptive", "schedule": "normal", "eta": 1.0}),
        ("DPM++ 3M SDE", {"sampler": "dpmpp_3m_sde", "schedule": "exponential"}),
        ("Restart", {"sampler": "restart", "schedule": "karras"}),
        ("Euler", {"sampler": "euler", "schedule": "normal"}),
    ],
)
def test_samplers_run_as_a1111_runs_them(sampler: str, expected: dict[str, object]) -> None:
    found = denoise_of(f"Steps: 20, Sampler: {sampler}, CFG scale: 7, Version: v1.10.1")
    usual = {"guidance": 7, "noise": "nv"}
    wired = {"model", "positive", "negative", "latent", "seed", "steps"}
    assert {name: value for name, value in found.items() if name not in wired} == usual | expected


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("KL Optimal", "kl_optimal_a1111"),
        ("Beta", "beta_a1111"),
        ("DDIM", "ddim_uniform"),
        ("Simple", "simple"),
    ],
)
def test_schedules_of_a1111_that_differ_have_their_own_name(name: str, schedule: str) -> None:
    assert denoise_of(f"Steps: 20, Sampler: Euler, Schedule type: {name}, RNG: CPU")["schedule"] == schedule


def test_settings_of_samplers_are_taken_over() -> None:
    found = denoise_of(
        "Steps: 20, Sampler: Euler, Sigma churn: 5, Sigma tmin: 0.1, Sigma tmax: 10, Sigma noise: 1.05,"
        " Eta: 0.5, Discard penultimate sigma: True, RNG: NV, ENSD: 31337, Variation seed: 9,"
        " Variation seed strength: 0.2, Schedule rho: 5"
    )
    assert (found["churn"], found["churn_low"], found["churn_high"]) == (5, 0.1, 10)
    assert (found["noise_scale"], found["eta"]) == (1.05, 0.5)
    assert (found["discard_penultimate"], found["noise"]) == (True, "nv")
    assert (found["later_seed_shift"], found["rho"]) == (31337, 5)
    assert (found["variation_seed"], found["variation"]) == (9, 0.2)


def test_before_1_6_ddim_ran_to_the_end_of_its_schedule() -> None:
    assert denoise_of("Steps: 20, Sampler: DDIM, Version: v1.5.2")["schedule"] == "ddim_uniform"


@pytest.mark.parametrize(
    ("version", "prompt", "expected"),
    [
        ("v1.5.2", "a [red:blue:10.0] circle", "a [red:blue:10] circle"),
        ("v1.5.2", "a [red:blue:0.5] [x:1.0] [y::3.7]", "a [red:blue:0.5] [x:1] [y::3]"),
        ("v1.5.2", "a | [red:blue:10.0]", "a | [red:blue:10.0]"),
        ("v1.6.0", "a [red:blue:10.0] circle", "a [red:blue:10.0] circle"),
        ("v1.8.0", "a cat # on a mat\nin a hat", "a cat \nin a hat"),
        ("v1.8.0", "a cat # <lora:ink:1>", "a cat "),
        ("v1.7.0", "a cat # on a mat", "a cat # on a mat"),
    ],
)
def test_prompts_are_read_as_their_version_read_them(version: str, prompt: str, expected: str) -> None:
    fields = "Steps: 20, Sampler: Euler, Seed: 1, RNG: CPU, Model: safelight-tiny"
    found = imported(f"{prompt}\n{fields}, Version: {version}")
    assert defaults(found.graph)["prompt"] == expected.strip()
    assert "lora" not in found.graph.nodes
    assert codes(found) == (["comments"] if expected != prompt and version == "v1.8.0" else [])


def test_block_weights_of_a_tag_are_taken_over_and_what_is_not_is_named() -> None:
    text = Path(__file__).with_name("lora_tag.txt").read_text()
    found = imported(text)
    assert values(found.graph, "lora")["blocks"] == "OUTD"
    assert "stop" in told(found)
    assert checked(found.graph).ok


def test_clip_skip_on_the_embedded_model_gives_a_warning() -> None:
    fields = "Steps: 20, Sampler: Euler, Seed: 1, RNG: CPU, Clip skip: 2, Model: {}"
    assert codes(imported(f"a\n{fields.format('safelight-tiny')}")) == ["clip_skip"]
    assert codes(imported(f"a\n{fields.format('dream')}")) == ["missing_model"]


def test_a_lora_whose_name_no_file_can_have_keeps_a_name() -> None:
    fields = "Steps: 20, Sampler: Euler, Seed: 1, RNG: CPU, Model: safelight-tiny"
    resources = 'Civitai resources: [{"type":"lora","weight":1,"modelName":"ink: style"}]'
    lora = values(imported(f"a\n{fields}, {resources}").graph, "lora")
    assert (lora["lora"], lora["on"]) == ("ink_ style", False)


HIRES = "a cat\nSteps: 20, Sampler: Euler, CFG scale: 7, Size: 512x768, RNG: CPU, Model: safelight-tiny, "


def test_a_hires_fix_becomes_a_second_denoise() -> None:
    found = imported(
        f"{HIRES}Denoising strength: 0.4, Hires upscale: 1.5, Hires steps: 10, Hires CFG Scale: 5,"
        " Hires upscaler: Latent (bicubic antialiased), Hires sampler: DPM++ 2M, Hires schedule type: Karras,"
        " Version: v1.10.1"
    )
    larger = values(found.graph, "larger")
    assert (larger["width"], larger["height"]) == (768, 1152)
    assert (larger["method"], larger["antialias"], larger["latent"]) == ("bicubic", True, "denoise.latent")
    first, second = values(found.graph, "denoise"), values(found.graph, "refine")
    assert (first["steps"], first["sampler"], first["guidance"], "strength" in first) == (
        20,
        "euler",
        7,
        False,
    )
    assert second["latent"] == "larger.out"
    assert (second["sampler"], second["schedule"], second["guidance"]) == ("dpmpp_2m", "karras", 5)
    # A1111 plans int(10 / 0.4) = 25 steps and runs the last 10.
    kept = schedules.schedule("karras", second["steps"], NoiseTable()).for_strength(second["strength"])
    assert (second["steps"], kept.steps) == (25, 10)
    assert values(found.graph, "decode")["latent"] == "refine.latent"
    assert "left out" not in told(found)
    assert checked(found.graph).ok


def test_the_warning_about_a_missing_upscaler_names_its_replacement() -> None:
    found = imported(f"{HIRES}Denoising strength: 0.5, Hires resize: 1000x1500, Hires upscaler: 4x-Ink")
    (problem,) = (problem for problem in found.problems if problem.code == "missing_upscaler")
    assert "4x-Ink" in problem.message
    assert "Lanczos" in problem.message
    assert values(found.graph, "enlarge")["method"] == "lanczos"


@pytest.mark.parametrize(
    ("upscaler", "method"), [("Lanczos", "lanczos"), ("Nearest", "nearest"), ("None", "lanczos")]
)
def test_an_upscaler_of_pictures_works_on_the_decoded_picture(upscaler: str, method: str) -> None:
    found = imported(f"{HIRES}Denoising strength: 0.5, Hires resize: 1000x1500, Hires upscaler: {upscaler}")
    enlarged = values(found.graph, "enlarge")
    assert (enlarged["width"], enlarged["height"], enlarged["method"]) == (1000, 1496, method)
    assert enlarged["image"] == "first-decode.out"
    assert values(found.graph, "larger")["image"] == "enlarge.out"
    assert values(found.graph, "refine")["steps"] == 40, "as many steps run as in the first pass"
    assert checked(found.graph).ok


def test_a_missing_upscale_model_is_replaced_and_named() -> None:
    found = imported(f"{HIRES}Denoising strength: 0.5, Hires upscale: 2, Hires upscaler: R-ESRGAN 4x+")
    assert "R-ESRGAN 4x+ was not found" in told(found)
    assert values(found.graph, "enlarge")["method"] == "lanczos"
    assert checked(found.graph).ok
