"""LoRAs of SD 3 and FLUX.1 in kohya's names: they change what they change in their authors' layouts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from nodes.sd.families.flux.stored_names import stored_names
from nodes.sd.families.key_tables import written
from nodes.sd.formats.json_file import ModelError
from nodes.sd.lora.describe import describe, shapes_of
from nodes.sd.lora.file import lora
from nodes.sd.lora.stack import WeightedLora, apply
from nodes.sd.models.checkpoint_file import describe_file
from nodes.sd.models.weights import load_unet
from tests.nodes.sd.families.converted import flux_converter
from tests.nodes.sd.families.small import SmallModel, small_model
from tests.nodes.sd.in_transformers import encoder_of

BLOCKS = "model.diffusion_model."
STRENGTH = 0.7


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.3


def plain(name: str, weight: Tensor, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """A LoRA of rank 2 and alpha 3 for a layer, and the change that it makes."""
    up, down = numbers(seed, len(weight), 2), numbers(seed + 1, 2, weight.shape[1])
    parts = {"lora_up.weight": up, "lora_down.weight": down, "alpha": torch.tensor(3.0)}
    return {f"{name}.{part}": tensor for part, tensor in parts.items()}, STRENGTH * 1.5 * up @ down


def loha(name: str, weight: Tensor, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    (a, c), (b, d) = (
        [numbers(seed + n, *shape) for n in (0, 1)] for shape in ((len(weight), 2), (2, weight.shape[1]))
    )
    parts = {"hada_w1_a": a, "hada_w1_b": b, "hada_w2_a": c, "hada_w2_b": d}
    return {f"{name}.{part}": tensor for part, tensor in parts.items()}, STRENGTH * (a @ b) * (c @ d)


def dora(name: str, weight: Tensor, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    parts, _ = plain(name, weight, seed)
    change = 1.5 * parts[f"{name}.lora_up.weight"] @ parts[f"{name}.lora_down.weight"]
    scale = 1 + numbers(seed + 2, len(weight), 1).abs()
    moved = weight + change
    return {**parts, f"{name}.dora_scale": scale}, STRENGTH * (
        scale * moved / moved.norm(dim=1, keepdim=True) - weight
    )


def full(name: str, weight: Tensor, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    change = numbers(seed, *weight.shape)
    return {f"{name}.diff": change}, STRENGTH * change


def lokr(name: str, weight: Tensor, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """A LoKr whose first factor has four rows, which no three layers share, and whose second is low-rank."""
    rows, columns = weight.shape
    first, a, b = numbers(seed, 4, 2), numbers(seed + 1, rows // 4, 2), numbers(seed + 2, 2, columns // 2)
    parts = {"lokr_w1": first, "lokr_w2_a": a, "lokr_w2_b": b, "alpha": torch.tensor(3.0)}
    # The definition of the product: each number of the first factor times the second.
    second = a @ b
    change = torch.cat([torch.cat([number * second for number in row], 1) for row in first])
    return {f"{name}.{part}": tensor for part, tensor in parts.items()}, STRENGTH * 1.5 * change


def oft(name: str, weight: Tensor, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """An OFT with blocks of four rows and a limit; none for modulations of the text, see `_split`."""
    if name.replace(".", "_").endswith("context_block_adaLN_modulation_1"):
        return {}, torch.zeros(())
    blocks = numbers(seed, len(weight) // 4, 4, 4)
    skew = blocks - blocks.mT
    limit = 0.01 * len(weight)
    assert skew.norm() > limit, "the limit has an effect"
    skew *= limit / skew.norm()
    one = torch.eye(4)
    rotations = [(one + q) @ torch.linalg.inv(one - q) for q in skew]
    turned = torch.block_diag(*rotations)  # type: ignore[no-untyped-call]
    parts = {"oft_blocks": blocks, "alpha": torch.tensor(0.01)}
    return {f"{name}.{part}": tensor for part, tensor in parts.items()}, STRENGTH * (
        turned.T @ weight - weight
    )


@pytest.mark.parametrize(
    ("make", "prefix"),
    [
        *((make, "lora_unet_{}") for make in (plain, loha, dora, full, lokr, oft)),
        *((plain, prefix) for prefix in ("diffusion_model.{}", "lycoris_{}")),
    ],
)
def test_they_change_what_they_say(
    tmp_path: Path, prefix: str, make: Callable[[str, Tensor, int], tuple[dict[str, Tensor], Tensor]]
) -> None:
    model = small_model("sd3")
    model.save_file(tmp_path / "plain.safetensors")
    before = load_unet(describe_file(tmp_path / "plain.safetensors"))
    stored: Mapping[str, Tensor] = model.in_file()
    names = [
        name.removeprefix(BLOCKS).removesuffix(".weight")
        for name, tensor in stored.items()
        if name.startswith(f"{BLOCKS}joint_blocks.") and name.endswith(".weight") and tensor.ndim == 2
    ]
    assert len(names) == 3 * 5 + 2 * 5 + 2 + 2, "the last block reads less text, the first attends twice"
    tensors: dict[str, Tensor] = {}
    changes: dict[str, Tensor] = {}
    for seed, name in enumerate(names):
        spelled = name if "." in prefix else name.replace(".", "_")
        parts, change = make(prefix.format(spelled), stored[f"{BLOCKS}{name}.weight"], 10 * seed)
        tensors |= parts
        changes[f"{BLOCKS}{name}.weight"] = change
    found = lora(tensors, {}, "test")
    assert describe(shapes_of(tensors), {})["base"] == "sd3"
    patched, _ = apply(before, "transformer", [WeightedLora(found, "test", "", STRENGTH)])

    state = {name: tensor + changes.get(name, 0) for name, tensor in stored.items()}
    assert changes.keys() <= state.keys()
    expected = _read_back(tmp_path, state)
    ours: dict[str, Any] = dict(patched.named_parameters())
    for name, tensor in expected.named_parameters():
        assert torch.allclose(ours[name], tensor, atol=1e-5), name
    unchanged = dict(before.named_parameters())
    moved = [name for name, tensor in ours.items() if not torch.equal(tensor, unchanged[name])]
    untouched = 3 if make is oft else 0
    assert len(moved) == 29 + 2 * 7 - untouched, "seven of them are three layers in diffusers"


def _read_back(folder: Path, state: Mapping[str, Tensor]) -> Any:
    """The transformer of a file with these tensors."""
    with safe_open(folder / "plain.safetensors", "pt") as file:
        metadata = file.metadata()
    save_file(
        {name: tensor.contiguous() for name, tensor in state.items()},
        folder / "changed.safetensors",
        metadata,
    )
    return load_unet(describe_file(folder / "changed.safetensors"))


def test_a_layer_that_is_changed_twice_or_has_other_rows_is_refused() -> None:
    fused, _ = plain("lora_unet_joint_blocks_0_x_block_attn_qkv", torch.zeros(96, 32), 1)
    third, _ = plain("transformer.transformer_blocks.0.attn.to_k", torch.zeros(32, 32), 1)
    with pytest.raises(ModelError, match="twice"):
        lora({**fused, **third}, {}, "test")
    odd, _ = plain("lora_unet_joint_blocks_0_x_block_attn_qkv", torch.zeros(97, 32), 1)
    with pytest.raises(ModelError, match="rows"):
        lora(odd, {}, "test")


@pytest.mark.parametrize(
    ("layer", "blocks"),
    [("attn_qkv", (16, 6, 6)), ("attn_qkv", (2, 12, 8, 8)), ("adaLN_modulation_1", (48, 4, 4))],
    ids=["blocks across layers", "butterfly", "unknown block"],
)
def test_rotations_that_cannot_be_split_keep_their_names(layer: str, blocks: tuple[int, ...]) -> None:
    name = f"lora_unet_joint_blocks_0_context_block_{layer}"
    found = lora({f"{name}.oft_blocks": numbers(1, *blocks)}, {}, "test")
    assert list(found.adapters) == [name]


@pytest.mark.parametrize(
    ("make", "prefix"),
    [
        *((make, "lora_unet_{}") for make in (plain, loha, dora, full, lokr, oft)),
        *((plain, prefix) for prefix in ("diffusion_model.{}", "lycoris_{}", "{}")),
    ],
)
def test_those_of_flux_change_what_diffusers_reads_from_a_changed_file(
    make: Callable[[str, Tensor, int], tuple[dict[str, Tensor], Tensor]], prefix: str
) -> None:
    """The changes are made in the layout of FLUX.1's authors; diffusers' converter reads the result."""
    model = small_model("flux")
    stored = written(stored_names, model.states()["transformer"])
    names = [name.removesuffix(".weight") for name, one in stored.items() if one.ndim == 2]
    assert len(names) == 10 + 2 * 10 + 2 * 3, "layers outside, in double blocks, and in single blocks"
    tensors: dict[str, Tensor] = {}
    changed = dict(stored)
    for seed, name in enumerate(names):
        spelled = name if "." in prefix or prefix == "{}" else name.replace(".", "_")
        parts, change = make(prefix.format(spelled), stored[f"{name}.weight"], 10 * seed)
        tensors |= parts
        changed[f"{name}.weight"] = stored[f"{name}.weight"] + change
    assert describe(shapes_of(tensors), {})["base"] == "flux"
    before = model.networks["transformer"]
    patched, _ = apply(before, "transformer", [WeightedLora(lora(tensors, {}, "test"), "test", "", STRENGTH)])
    ours = dict(patched.named_parameters())
    for name, tensor in flux_converter(32)(changed).items():
        assert torch.allclose(ours[name], tensor, atol=1e-5), name
    unchanged = dict(before.named_parameters())
    moved = sum(not torch.equal(tensor, unchanged[name]) for name, tensor in ours.items())
    assert moved == len(names) + 2 * 4 + 2 * 3, "qkv are three layers in diffusers, linear1 four"


def parts_of_networks(model: SmallModel) -> dict[str, Any]:
    """Copies of the networks, in the classes of diffusers and transformers."""
    return {str(part): copy.deepcopy(encoder_of(network)) for part, network in model.networks.items()}


LAYERS = {
    "transformer.transformer_blocks.1.attn.to_k": (32, 32),
    "transformer.single_transformer_blocks.0.proj_out": (32, 160),
    "transformer.single_transformer_blocks.1.attn.to_q": (32, 32),
    "transformer.context_embedder": (32, 96),
    "text_encoder.text_model.encoder.layers.0.self_attn.q_proj": (32, 32),
}
KOHYA = {
    "lora_unet_double_blocks_0_img_attn_qkv": (96, 32),
    "lora_unet_double_blocks_1_txt_mlp_2": (32, 128),
    "lora_unet_double_blocks_1_txt_mod_lin": (192, 32),
    "lora_unet_single_blocks_0_linear2": (32, 160),
    "lora_te1_text_model_encoder_layers_1_mlp_fc1": (64, 32),
}
XLABS = {
    "double_blocks.0.processor.qkv_lora1": (96, 32),
    "double_blocks.1.processor.qkv_lora2": (96, 32),
    "double_blocks.1.processor.proj_lora2": (32, 32),
    "single_blocks.0.processor.qkv_lora": (96, 32),
    "single_blocks.1.processor.proj_lora": (32, 160),
}
"""Layers of a small FLUX.1 as peft, kohya and XLabs name them. diffusers splits `linear1` only at the true
size."""
ENDS = {"peft": ("lora_A", "lora_B"), "kohya": ("lora_down", "lora_up"), "xlabs": ("down", "up")}


@pytest.mark.parametrize(
    ("kind", "layers", "split"), [("peft", LAYERS, 0), ("kohya", KOHYA, 1), ("xlabs", XLABS, 3)]
)
def test_diffusers_applies_the_same_lora_to_flux(
    kind: str, layers: dict[str, tuple[int, int]], split: int
) -> None:
    tensors: dict[str, Tensor] = {}
    for seed, (name, shape) in enumerate(layers.items()):
        parts, _ = plain(name, torch.empty(shape), 10 * seed)
        down, up = ENDS[kind]
        tensors[f"{name}.{down}.weight"] = parts[f"{name}.lora_down.weight"]
        tensors[f"{name}.{up}.weight"] = parts[f"{name}.lora_up.weight"]
        if kind == "kohya":
            tensors[f"{name}.alpha"] = parts[f"{name}.alpha"]
    model = small_model("flux")
    found = WeightedLora(lora(tensors, {}, "test"), "test", "", 1.0)
    parts_of_model = {"tokenizer": None, "tokenizer_2": None, "scheduler": FlowMatchEulerDiscreteScheduler()}
    pipeline: Any = FluxPipeline(**parts_of_model, **parts_of_networks(model))
    pipeline.load_lora_weights({name: tensor.clone() for name, tensor in tensors.items()})
    pipeline.fuse_lora(components=["transformer", "text_encoder"])
    pipeline.unload_lora_weights()
    changed = 0
    for part in ("transformer", "text_encoder"):
        plain_network = model.networks[part]
        before = {name: one.clone() for name, one in plain_network.named_parameters()}
        patched, _ = apply(plain_network, part, [found])
        theirs = {
            name.removeprefix("text_model.").replace("base_layer.", ""): one
            for name, one in getattr(pipeline, part).named_parameters()
        }
        for name, tensor in patched.named_parameters():
            assert torch.allclose(tensor, theirs[name.removeprefix("text_model.")], atol=1e-5), name
            changed += not torch.equal(tensor, before[name])
    assert changed == len(layers) + 2 * split, "qkv are three layers in diffusers"
