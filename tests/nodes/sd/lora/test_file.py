"""Reading LoRA files: what is taken from the header, what is refused, and what a table says of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from nodes.sd.formats.json_file import ModelError
from nodes.sd.lora.describe import alias_of, describe, shapes_of
from nodes.sd.lora.file import lora, read


def rand(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def peft(**config: object) -> float:
    """The factor of a module of rank 4 whose metadata says this."""
    tensors = {"unet.a.to_q.lora_A.weight": rand(1, 4, 8), "unet.a.to_q.lora_B.weight": rand(2, 12, 4)}
    told = {f"unet.{key}": value for key, value in config.items()}
    (adapter,) = lora(tensors, {"lora_adapter_metadata": json.dumps(told)}, "x").adapters.values()
    return adapter.factor


def test_alphas_in_the_metadata_of_peft() -> None:
    assert peft() == 1
    assert peft(lora_alpha=2) == 0.5
    assert peft(lora_alpha=2, use_rslora=True) == 1
    assert peft(lora_alpha=2, alpha_pattern={"to_q": 8, "to_k": 1}) == 2
    assert peft(lora_alpha=2, alpha_pattern={"^a.to_q": 8}) == 2
    assert peft(lora_alpha="many") == 1
    assert peft(lora_alpha=None, alpha_pattern=[1]) == 1


@pytest.mark.parametrize("text", ["", "[]", "{", '{"unet.lora_alpha": NaN}', "[" * 100_000])
def test_metadata_that_makes_no_sense_counts_as_absent(text: str) -> None:
    tensors = {"unet.a.lora_A.weight": rand(1, 4, 8), "unet.a.lora_B.weight": rand(2, 12, 4)}
    (adapter,) = lora(tensors, {"lora_adapter_metadata": text}, "x").adapters.values()
    assert adapter.factor == 1


def test_a_pickle_gives_the_same_lora(tmp_path: Path) -> None:
    tensors = {
        "x.lora_up.weight": rand(1, 12, 4),
        "x.lora_down.weight": rand(2, 4, 8),
        "x.alpha": torch.tensor(2.0),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    torch.save(tensors, tmp_path / "x.pt")
    W = rand(3, 12, 8)
    one, two = (read(tmp_path / name).adapters["x"].delta(W) for name in ("x.safetensors", "x.pt"))
    assert torch.equal(one, two)


def test_a_pickle_that_wants_more_than_tensors_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("run",)

    torch.save({"x.lora_up.weight": rand(1, 2, 2), "trap": Trap()}, tmp_path / "x.pt")
    with pytest.raises(ModelError, match="print"):
        read(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        (
            {"x.lora_up.weight": torch.full((4, 2), torch.inf), "x.lora_down.weight": rand(1, 2, 4)},
            "infinity",
        ),
        (
            {"x.lora_up.weight": rand(1, 4, 2), "x.lora_down.weight": rand(1, 2, 4), "x.alpha": rand(1, 3)},
            "3 numbers",
        ),
        (
            {
                "x.lora_up.weight": rand(1, 4, 2),
                "x.lora_down.weight": rand(1, 2, 4),
                "x.alpha": torch.tensor(torch.nan),
            },
            "NaN",
        ),
        ({"word": rand(1, 2, 64)}, "not a LoRA"),
        ({}, "not a LoRA"),
    ],
)
def test_invalid_lora_files_are_refused(tmp_path: Path, tensors: dict[str, Tensor], told: str) -> None:
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match=told):
        read(tmp_path / "x.safetensors")


def test_empty_tensors_and_ranks_of_none_change_nothing(tmp_path: Path) -> None:
    tensors = {
        "x.lora_up.weight": torch.zeros(12, 0),
        "x.lora_down.weight": torch.zeros(0, 8),
        "x.alpha": torch.tensor(1.0),
    }
    (adapter,) = lora(tensors, {}, "x").adapters.values()
    adapter.check((12, 8), biased=False)
    W = rand(1, 12, 8)
    assert torch.equal(adapter.added(W, 1.0, torch.empty(W.shape)), W)


def test_a_file_is_described() -> None:
    tensors = {
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight": rand(
            1, 8, 2048
        ),
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_up.weight": rand(2, 64, 8),
        "lora_te1_text_model_encoder_layers_0_mlp_fc1.hada_w1_a": rand(3, 64, 4),
        "lora_te1_text_model_encoder_layers_0_mlp_fc1.hada_w1_b": rand(4, 4, 64),
        "lora_te1_text_model_encoder_layers_0_mlp_fc1.hada_w2_a": rand(5, 64, 4),
        "lora_te1_text_model_encoder_layers_0_mlp_fc1.hada_w2_b": rand(6, 4, 64),
        "bundle_emb.cat.clip_l": rand(7, 2, 768),
        "odd": rand(8, 1),
    }
    metadata = {
        "ss_output_name": "ink\x1b[31m",
        "ss_base_model_version": "sd_v1",
        "modelspec.trigger_phrase": "ink style, drawn by hand,, ink style",
        "ss_tag_frequency": json.dumps(
            {"10_ink": {"line": 4, "pen ": 2, "bad": "x"}, "5_more": {"line": 3}, "odd": 1}
        ),
    }
    told = describe(shapes_of(tensors), metadata)
    assert told == {
        "name": "ink [31m",
        "base": "sdxl",  # by the width that is there, whatever the metadata claims
        "kinds": ["loha", "lora"],
        "modules": 2,
        "ranks": [4, 8],
        "parts": ["unet", "text_encoder"],
        "triggers": ["ink style", "drawn by hand"],
        "tags": {"line": 7, "pen": 2},
        "embeddings": ["cat"],
        "unknown": 1,
    }


def test_a_file_without_metadata_is_described_by_its_shapes() -> None:
    told = describe(
        {
            "unet.x.attn2.processor.to_k_lora.down.weight": (4, 768),
            "unet.x.attn2.processor.to_k_lora.up.weight": (320, 4),
        },
        {},
    )
    assert (told["base"], told["kinds"], told["ranks"], told["triggers"]) == ("sd1", ["lora"], [4], [])
    assert describe({"x.diff": (4,)}, {"ss_base_model_version": "sdxl_base_v1-0"})["base"] == "sdxl"
    assert describe({"x.diff": (4,)}, {"ss_tag_frequency": "[" * 100_000})["tags"] == {}


def test_the_alias_none_is_void() -> None:
    assert alias_of({"ss_output_name": "ink"}) == "ink"
    assert alias_of({"ss_output_name": "None"}) == ""
    assert alias_of({}) == ""
