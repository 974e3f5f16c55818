"""Whole files against diffusers with peft, where that loads them rightly: the fused weights are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor, nn

from nodes.sd.lora.file import read
from nodes.sd.lora.stack import WeightedLora, apply
from nodes.sd.models.folder import describe_folder
from nodes.sd.models.weights import load_text_encoder, load_unet, load_vae
from tests import matrix
from tests.nodes.sd.in_transformers import encoder_of, tokenizer_of
from tests.nodes.sd.tiny.parts import WEIGHTS

pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore")  # peft's and diffusers' own

SECTION = "LoRA files, against diffusers with peft (fused weights)"
BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0"
UNET = {
    "linear": f"{BLOCK}.attn1.to_q",
    "out": f"{BLOCK}.attn2.to_out.0",
    "feed forward": f"{BLOCK}.ff.net.0.proj",
    "convolution 1x1": "down_blocks.1.attentions.0.proj_in",
    "convolution 3x3": "up_blocks.2.resnets.1.conv2",
    "first convolution": "conv_in",
    "time": "time_embedding.linear_1",
    "time in a block": "mid_block.resnets.0.time_emb_proj",
    "downsampler": "down_blocks.0.downsamplers.0.conv",
}
TEXT = [f"encoder.layers.{n}.self_attn.{side}_proj" for n in (0, 2) for side in ("q", "k", "v", "out")]


def rand(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.1


@pytest.fixture
def pipeline() -> Any:
    folder = describe_folder(WEIGHTS)
    return StableDiffusionPipeline(
        unet=load_unet(folder),
        vae=load_vae(folder),
        text_encoder=encoder_of(load_text_encoder(folder)),
        tokenizer=tokenizer_of(WEIGHTS / "tokenizer"),
        scheduler=DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sides(module: nn.Module, rank: int, seed: int) -> tuple[Tensor, Tensor]:
    """Up and down for a module."""
    shape = module.get_parameter("weight").shape
    up = rand(seed, shape[0], rank, *(1 for _ in shape[2:]))
    return up, rand(seed + 1, rank, *shape[1:])


def kohya(pipeline: Any, half: bool, alphas: bool) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    for n, name in enumerate(UNET.values()):
        up, down = sides(pipeline.unet.get_submodule(name), 2 + n, n)
        key = "lora_unet_" + name.replace(".", "_")
        made |= {f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down}
        if alphas:
            # diffusers gives every attention projection the commonest alpha of the file, whatever its own is.
            made[f"{key}.alpha"] = torch.tensor(4.0 if n % 2 == 0 or ".attn" in name else 1.0 + n)
    for n, name in enumerate(TEXT):
        up, down = sides(pipeline.text_encoder.get_submodule(name), 4, 50 + n)
        key = "lora_te_text_model_" + name.replace(".", "_")
        made |= {f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down}
        if alphas:
            made[f"{key}.alpha"] = torch.tensor(2.0)
    return {name: tensor.half() if half else tensor for name, tensor in made.items()}


def peft(pipeline: Any, dora: bool) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    for n, name in enumerate(UNET.values()):
        module = pipeline.unet.get_submodule(name)
        up, down = sides(module, 4, n)
        made |= {f"unet.{name}.lora_B.weight": up, f"unet.{name}.lora_A.weight": down}
        if dora:
            magnitude = rand(90 + n, up.shape[0]).abs() + 0.5
            weight = module.get_parameter("weight")
            made[f"unet.{name}.lora_magnitude_vector"] = (
                magnitude if weight.ndim == 2 else magnitude.reshape(1, -1, 1, 1)
            )
    return made


def old(pipeline: Any) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    for n, side in enumerate(("to_q", "to_k", "to_v", "to_out")):
        name = f"{BLOCK}.attn2.{side}" + (".0" if side == "to_out" else "")
        up, down = sides(pipeline.unet.get_submodule(name), 4, n)
        key = f"unet.{BLOCK}.attn2.processor.{side}_lora"
        made |= {f"{key}.up.weight": up, f"{key}.down.weight": down}
    return made


def compare(pipeline: Any, path: Path, case: str, bound: float = 2e-6) -> None:
    ours: dict[str, Any] = {}
    for part in ("unet", "text_encoder"):
        network, _ = apply(
            getattr(pipeline, part), part, [WeightedLora(read(path), path.name, "ab" * 32, 0.7)]
        )
        ours[part] = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    plain = {part: {n: t.clone() for n, t in getattr(pipeline, part).state_dict().items()} for part in ours}
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
    pipeline.fuse_lora(lora_scale=0.7)
    pipeline.unload_lora_weights()
    worst, changed = 0.0, 0
    for part, state in ours.items():
        theirs = getattr(pipeline, part).state_dict()
        assert theirs.keys() == state.keys()
        for name, tensor in theirs.items():
            worst = max(worst, float((tensor - state[name]).abs().max() / tensor.abs().max().clamp_min(1e-9)))
            changed += not torch.equal(tensor, plain[part][name])
    assert worst < bound
    assert changed >= len([key for key in read(path).adapters])
    matrix.record(SECTION, case, "diffusers 0.42", error=worst)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("alphas", [False, True])
def test_kohya(pipeline: Any, tmp_path: Path, half: bool, alphas: bool) -> None:
    save_file(kohya(pipeline, half, alphas), tmp_path / "x.safetensors")
    kind = f"{'float16' if half else 'float32'}, {'with' if alphas else 'no'} alphas"
    compare(pipeline, tmp_path / "x.safetensors", f"kohya: linear, 1x1, 3x3, times, text encoder; {kind}")


def test_an_alpha_of_its_own_in_the_attention(pipeline: Any, tmp_path: Path) -> None:
    tensors = kohya(pipeline, False, True)
    key = "lora_unet_" + UNET["linear"].replace(".", "_")
    tensors[f"{key}.alpha"] = torch.tensor(1.0)
    save_file(tensors, tmp_path / "x.safetensors")
    before = pipeline.unet.get_submodule(UNET["linear"]).weight.clone()
    change = tensors[f"{key}.lora_up.weight"] @ tensors[f"{key}.lora_down.weight"]
    network, _ = apply(
        pipeline.unet, "unet", [WeightedLora(read(tmp_path / "x.safetensors"), "x", "ab" * 32, 1.0)]
    )
    ours = network.get_submodule(UNET["linear"]).weight
    assert torch.allclose(ours, before + change * (1.0 / 2), atol=1e-6)
    pipeline.load_lora_weights(str(tmp_path), weight_name="x.safetensors")
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    theirs = pipeline.unet.get_submodule(UNET["linear"]).weight
    assert torch.allclose(theirs, before + change * (4.0 / 2), atol=1e-6)
    matrix.record(
        SECTION,
        "kohya: an attention layer with an alpha of its own",
        "diffusers takes the file's commonest",
        "alpha/r of that layer",
    )


@pytest.mark.parametrize("metadata", [False, True])
def test_peft(pipeline: Any, tmp_path: Path, metadata: bool) -> None:
    config = {
        "unet.r": 4,
        "unet.lora_alpha": 6,
        "unet.alpha_pattern": {UNET["out"]: 2},
        "unet.target_modules": list(UNET.values()),
        "unet.rank_pattern": {},
    }
    told = {"lora_adapter_metadata": json.dumps(config)} if metadata else {}
    save_file(peft(pipeline, False), tmp_path / "x.safetensors", {"format": "pt", **told})
    compare(pipeline, tmp_path / "x.safetensors", "peft" + (", alphas in its metadata" if metadata else ""))


def test_dora_of_peft(pipeline: Any, tmp_path: Path) -> None:
    save_file(peft(pipeline, True), tmp_path / "x.safetensors")
    ours = read(tmp_path / "x.safetensors")
    assert all("magnitude" in adapter.tensors for adapter in ours.adapters.values())
    compare_at_one(pipeline, tmp_path / "x.safetensors")


def compare_at_one(pipeline: Any, path: Path) -> None:
    """At strength 1, where peft's DoRA and s·ΔW agree."""
    network, _ = apply(pipeline.unet, "unet", [WeightedLora(read(path), path.name, "ab" * 32, 1.0)])
    ours = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    theirs = pipeline.unet.state_dict()
    worst = max(
        float((tensor - ours[name]).abs().max() / tensor.abs().max()) for name, tensor in theirs.items()
    )
    assert worst < 5e-6
    matrix.record(SECTION, "peft DoRA", "diffusers 0.42", error=worst)


def test_old_processor_keys(pipeline: Any, tmp_path: Path) -> None:
    save_file(old(pipeline), tmp_path / "x.safetensors")
    compare(pipeline, tmp_path / "x.safetensors", "old diffusers (attention processors)")


FLAT = "lora_unet_" + UNET["linear"].replace(".", "_")
UP, DOWN = rand(1, 64, 4), rand(2, 4, 64)
KOHYA = {f"{FLAT}.lora_up.weight": UP, f"{FLAT}.lora_down.weight": DOWN}
LENGTHS = rand(3, 64, 1).abs() + 0.1
FAULTS: dict[str, tuple[dict[str, Tensor], str]] = {
    "kohya text encoder, q/k/v without out": (
        {
            f"lora_te_text_model_{TEXT[0].replace('.', '_')}.lora_up.weight": UP,
            f"lora_te_text_model_{TEXT[0].replace('.', '_')}.lora_down.weight": DOWN,
        },
        "raises",
    ),
    "kohya DoRA": ({**KOHYA, f"{FLAT}.dora_scale": LENGTHS}, "drops dora_scale"),
    "LoHa": (
        {f"{FLAT}.hada_w{n}_{side}": t for n in (1, 2) for side, t in (("a", UP), ("b", DOWN))},
        "raises",
    ),
    "LoKr": ({f"{FLAT}.lokr_w1": rand(4, 8, 8), f"{FLAT}.lokr_w2": rand(5, 8, 8)}, "raises"),
    "full difference": ({f"{FLAT}.diff": rand(4, 64, 64)}, "raises"),
    "bundled embedding": ({**KOHYA, "bundle_emb.cat.string_to_param.*": rand(6, 1, 64)}, "raises"),
    "LyCORIS' wrapper": (
        {key.replace("lora_unet_", "lycoris_"): t for key, t in KOHYA.items()},
        "changes nothing",
    ),
    "lora_A and lora_B with alphas": (
        {
            f"unet.{UNET['linear']}.lora_B.weight": UP,
            f"unet.{UNET['linear']}.lora_A.weight": DOWN,
            f"unet.{UNET['linear']}.alpha": torch.tensor(2.0),
        },
        "raises",
    ),
    "old processor keys without unet.": (
        {
            f"{BLOCK}.attn1.processor.to_q_lora.up.weight": UP,
            f"{BLOCK}.attn1.processor.to_q_lora.down.weight": DOWN,
        },
        "changes nothing",
    ),
    "raw peft (base_model.model.)": (
        {
            f"base_model.model.{UNET['linear']}.lora_B.weight": UP,
            f"base_model.model.{UNET['linear']}.lora_A.weight": DOWN,
        },
        "changes nothing",
    ),
}


def formula(case: str, W: Tensor) -> Tensor:
    """The new weight, in float64."""
    W = W.double()
    product = UP.double() @ DOWN.double()
    if case == "kohya DoRA":
        whole = W + product
        turned: Tensor = LENGTHS.double() * whole / whole.norm(dim=1, keepdim=True)
        return turned
    if case == "LoHa":
        return W + product * product
    if case == "LoKr":
        return W + torch.kron(*(tensor.double() for tensor in FAULTS[case][0].values()))
    if case == "full difference":
        return W + FAULTS[case][0][f"{FLAT}.diff"].double()
    return W + product * (0.5 if "alphas" in case else 1)


@pytest.mark.parametrize("case", FAULTS)
def test_diffusers_ignores_some_lora_keys_that_safelight_applies(
    pipeline: Any, tmp_path: Path, case: str
) -> None:
    tensors, fault = FAULTS[case]
    part, name = ("text_encoder", TEXT[0]) if "text encoder" in case else ("unet", UNET["linear"])
    save_file({key: tensor.clone() for key, tensor in tensors.items()}, tmp_path / "x.safetensors")
    before = getattr(pipeline, part).get_submodule(name).weight.clone()
    wanted = formula(case, before)
    lora = WeightedLora(read(tmp_path / "x.safetensors"), "x", "ab" * 32, 1.0)
    network, _ = apply(getattr(pipeline, part), part, [lora])  # type: ignore[arg-type]
    error = float((network.get_submodule(name).weight.double() - wanted).abs().max() / wanted.abs().max())
    assert error < 1e-6
    try:
        pipeline.load_lora_weights(str(tmp_path), weight_name="x.safetensors")
        pipeline.fuse_lora()
        pipeline.unload_lora_weights()
        after = getattr(pipeline, part).get_submodule(name).weight
        if torch.equal(after, before):
            theirs = "changes nothing"
        else:
            plain = before + UP @ DOWN
            theirs = "drops dora_scale" if torch.allclose(after, plain, atol=1e-6) else "another weight"
    except ValueError:
        theirs = "raises"
    assert theirs == fault
    matrix.record(SECTION, case, f"diffusers {fault}", "the formula's weight", error)
