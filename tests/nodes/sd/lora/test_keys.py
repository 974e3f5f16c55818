"""The key maps against diffusers' own single-file converter, and every tool's spelling of a module."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from nodes.sd.lora.blocks import in_unet, parse
from nodes.sd.lora.grouped import _split, grouped
from nodes.sd.lora.keys import Target, _network_spellings, _text_spellings, key_map, original_names
from tests import matrix

SECTION = "Key names of LoRA files"

SD1 = {"block_out_channels": (32, 32, 32, 32), "cross_attention_dim": 32, "norm_num_groups": 8}
SDXL = {
    "block_out_channels": (32, 32, 32),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 3),
    "cross_attention_dim": 32,
    "norm_num_groups": 8,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 64,
}
CONFIGS = {"SD1": SD1, "SDXL": SDXL}


def build(config: dict[str, object]) -> UNet2DConditionModel:
    with torch.device("meta"):
        return UNet2DConditionModel(**config)


def modules(model: torch.nn.Module) -> list[str]:
    return [name.removesuffix(".weight") for name, _ in model.named_parameters() if name.endswith(".weight")]


@pytest.mark.parametrize("family", CONFIGS)
def test_original_names_are_those_that_diffusers_converts_from(family: str) -> None:
    unet = build(CONFIGS[family])
    names = original_names(modules(unet))
    assert names.keys() == set(modules(unet))
    numbers = {name: float(number) for number, (name, _) in enumerate(unet.named_parameters())}
    checkpoint = {}
    for name, number in numbers.items():
        module, _, kind = name.rpartition(".")
        checkpoint[f"model.diffusion_model.{names[module]}.{kind}"] = torch.tensor(number)
    converted = convert_ldm_unet_checkpoint(checkpoint, dict(unet.config))
    assert {name: float(tensor) for name, tensor in converted.items()} == numbers
    matrix.record(
        SECTION, f"{family}: Stability's names of the UNet", "diffusers' single-file converter", error=0.0
    )


def text(cls: type[torch.nn.Module]) -> torch.nn.Module:
    config = CLIPTextConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    with torch.device("meta"):
        return cls(config)


def test_key_map_spellings_are_unambiguous() -> None:
    one, two = text(CLIPTextModel), text(CLIPTextModelWithProjection)
    for config in CONFIGS.values():
        for part, model in (("unet", build(config)), ("text_encoder", one), ("text_encoder_2", two)):
            owners: dict[str, set[str]] = {}
            original = original_names(modules(model)) if part == "unet" else {}
            for name in modules(model):
                spellings = (
                    _network_spellings(part, name, original[name])  # type: ignore[arg-type]
                    if part == "unet"
                    else _text_spellings(part, name)  # type: ignore[arg-type]
                )
                for spelling in spellings:
                    owners.setdefault(spelling, set()).add(name)
            assert all(len(found) == 1 for found in owners.values())


DOWN = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
OUT = "up_blocks.1.attentions.2.transformer_blocks.0.attn2.to_out.0"
TEXT = "encoder.layers.1.self_attn.q_proj"
SPELLED = [
    ("kohya", "lora_unet_" + DOWN.replace(".", "_"), ".lora_down.weight", "unet", DOWN),
    (
        "kohya, SDXL's UNet",
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q",
        ".lora_down.weight",
        "unet",
        DOWN,
    ),
    ("kohya OFT", "oft_unet_" + DOWN.replace(".", "_"), ".oft_blocks", "unet", DOWN),
    ("LyCORIS' wrapper", "lycoris_" + DOWN.replace(".", "_"), ".hada_w1_a", "unet", DOWN),
    (
        "kohya, text encoder",
        "lora_te_text_model_encoder_layers_1_self_attn_q_proj",
        ".alpha",
        "text_encoder",
        TEXT,
    ),
    (
        "kohya, first of two",
        "lora_te1_text_model_encoder_layers_1_self_attn_q_proj",
        ".alpha",
        "text_encoder",
        TEXT,
    ),
    (
        "kohya, second of two",
        "lora_te2_text_model_encoder_layers_1_self_attn_q_proj",
        ".alpha",
        "text_encoder_2",
        TEXT,
    ),
    ("kohya, projection", "lora_te2_text_projection", ".lora_up.weight", "text_encoder_2", "text_projection"),
    ("peft", f"unet.{OUT}", ".lora_A.weight", "unet", OUT),
    ("peft, with the adapter's name", f"unet.{OUT}", ".lora_B.default.weight", "unet", OUT),
    ("raw peft", f"base_model.model.{OUT}", ".lora_A.weight", "unet", OUT),
    ("peft, text encoder", f"text_encoder.text_model.{TEXT}", ".lora_A.weight", "text_encoder", TEXT),
    ("peft, text encoder 2", f"text_encoder_2.{TEXT}", ".lora_A.weight", "text_encoder_2", TEXT),
    ("diffusers, new", f"unet.{OUT}", ".lora.down.weight", "unet", OUT),
    (
        "diffusers, text encoder",
        f"text_encoder.text_model.{TEXT}",
        ".lora_linear_layer.up.weight",
        "text_encoder",
        TEXT,
    ),
    (
        "diffusers, old",
        "unet.up_blocks.1.attentions.2.transformer_blocks.0.attn2.processor.to_out",
        "_lora.down.weight",
        "unet",
        OUT,
    ),
    (
        "diffusers, old, without unet.",
        "up_blocks.1.attentions.2.transformer_blocks.0.attn2.processor.to_out",
        "_lora.up.weight",
        "unet",
        OUT,
    ),
    (
        "diffusers, old, text encoder",
        "text_encoder.text_model.encoder.layers.1.self_attn.to_q",
        "_lora.down.weight",
        "text_encoder",
        TEXT,
    ),
    (
        "ComfyUI",
        "diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q",
        ".lora_up.weight",
        "unet",
        DOWN,
    ),
    (
        "ComfyUI, text encoder",
        f"text_encoders.clip_l.transformer.text_model.{TEXT}",
        ".lora_up.weight",
        "text_encoder",
        TEXT,
    ),
]


@pytest.mark.parametrize(
    ("tool", "prefix", "suffix", "part", "module"), SPELLED, ids=[row[0] for row in SPELLED]
)
def test_every_tool_s_spelling_finds_its_module(
    tool: str, prefix: str, suffix: str, part: str, module: str
) -> None:
    table = key_map(
        {
            "unet": modules(build(SD1)),
            "text_encoder": modules(text(CLIPTextModel)),
            "text_encoder_2": modules(text(CLIPTextModelWithProjection)),
        }
    )
    found, _ = _split(prefix + suffix)
    target = table[found]
    assert (target.part, target.module.removeprefix("text_model.")) == (part, module)
    matrix.record(SECTION, tool, f"`{prefix}{suffix}`", f"{part}, `{module}`")


def test_a_path_that_is_no_module_means_nothing() -> None:
    table = key_map({"unet": modules(build(SD1))})
    for hostile in (
        "unet.__class__",
        "lora_unet_config",
        "",
        "unet.",
        "unet.down_blocks",
        "lora_unet_../../x",
    ):
        assert hostile not in table


def test_keys_of_no_known_meaning_are_kept_apart() -> None:
    found = grouped(
        ["a.lora_up.weight", "b.lora_up.weight", "b.lora_down.weight", "c.bias", "d.weight", ".alpha"]
    )
    assert set(found.modules) == {"b"}
    assert set(found.unknown) == {"a.lora_up.weight", "c.bias", "d.weight", ".alpha"}


def test_bundled_embeddings_by_name() -> None:
    found = grouped(
        [
            "bundle_emb.my cat.string_to_param.*",
            "bundle_emb.dog.clip_l",
            "bundle_emb.dog.clip_l_out",
            "bundle_emb.dog.clip_g",
            "bundle_emb.what",
        ]
    )
    assert found.bundled["my cat"].keys() == {"string_to_param.*"}
    assert found.bundled["dog"].keys() == {"clip_l", "clip_l_out", "clip_g"}
    assert found.unknown == ["bundle_emb.what"]


def test_a_second_key_of_one_meaning_is_not_taken_silently() -> None:
    found = grouped(["u.lora_A.weight", "u.lora_A.default.weight", "u.lora_B.weight"])
    assert found.unknown == ["u.lora_A.default.weight"]


def test_block_weights_by_their_names_in_the_list() -> None:
    weights = parse(",".join(str(number) for number in range(17)))
    by = in_unet(weights, modules(build(SD1)))
    assert by["down_blocks.0.attentions.0.proj_in"] == 1  # IN01
    assert by["down_blocks.1.attentions.1.proj_in"] == 4  # IN05
    assert by["mid_block.attentions.0.proj_in"] == 7  # M00
    assert by["up_blocks.1.attentions.0.proj_in"] == 8  # OUT03
    assert by["up_blocks.3.attentions.2.proj_in"] == 16  # OUT11
    assert by["time_embedding.linear_1"] == by["conv_out"] == 0  # BASE
    assert by["down_blocks.0.downsamplers.0.conv"] == 0  # IN03 is not in the list
    whole = in_unet(parse(",".join(str(number) for number in range(26))), modules(build(SD1)))
    assert whole["down_blocks.0.downsamplers.0.conv"] == 4  # IN03
    assert whole["conv_in"] == 1  # IN00
    xl = in_unet(parse(",".join(str(number) for number in range(12))), modules(build(SDXL)))
    assert xl["down_blocks.1.attentions.0.proj_in"] == 1  # IN04
    assert xl["up_blocks.0.attentions.2.proj_in"] == 8  # OUT02
    assert xl["up_blocks.1.attentions.2.proj_in"] == 11  # OUT05
    assert set(in_unet((), modules(build(SD1))).values()) == {1.0}


@pytest.mark.parametrize(
    ("text", "told"), [("1,x", "weight 2"), ("1,2,3", "17 or 26"), ("nan," * 16 + "1", "weight 1")]
)
def test_block_weights_that_are_none(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse(text)


def test_targets_tell_the_text_encoders_apart() -> None:
    table = key_map({"text_encoder": ["final_layer_norm"], "text_encoder_2": ["final_layer_norm"]})
    assert table["lora_te2_text_model_final_layer_norm"] == Target("text_encoder_2", "final_layer_norm")
    assert table["lora_te_text_model_final_layer_norm"] == Target("text_encoder", "final_layer_norm")
