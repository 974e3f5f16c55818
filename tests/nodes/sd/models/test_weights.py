"""Filling models from a folder: the same numbers diffusers loads, and nothing damaged gets through."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ModelMixin, StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nodes.sd.formats.json_file import ModelError
from nodes.sd.models import stored, weights
from nodes.sd.models.clip import ClipConfig
from nodes.sd.models.files import ModelFiles
from nodes.sd.models.folder import describe_folder
from nodes.sd.models.stored import is_finite
from nodes.sd.models.tokenizer import load_tokenizer

LOADERS: dict[str, Callable[..., Any]] = {
    "unet": weights.load_unet,
    "vae": weights.load_vae,
    "text_encoder": weights.load_text_encoder,
}
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def theirs(folder: ModelFiles) -> Any:
    return StableDiffusionPipeline.from_pretrained(folder.path, local_files_only=True)


def settings(model: Any) -> dict[str, object]:
    """What a model was built with, less what tells only where it came from."""
    if not isinstance(model, ModelMixin):  # a text encoder
        return {field.name: getattr(model.config, field.name) for field in fields(ClipConfig)}
    whole = dict(model.config)
    return {key: value for key, value in whole.items() if not key.startswith(("_", "dtype", "architectures"))}


@pytest.mark.parametrize("part", LOADERS)
def test_weights_and_settings_are_those_diffusers_loads(folder: ModelFiles, theirs: Any, part: str) -> None:
    ours, other = LOADERS[part](folder), getattr(theirs, part)
    expected = other.state_dict()
    found = ours.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name].float()) for name in expected)
    assert settings(ours) == settings(other)


@pytest.mark.parametrize("part", LOADERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_models_come_frozen_whole_and_in_the_precision_asked_for(
    folder: ModelFiles, part: str, dtype: torch.dtype
) -> None:
    model: nn.Module = LOADERS[part](folder, dtype)
    tensors = [*model.parameters(), *model.buffers()]
    assert not model.training
    assert not any(one.requires_grad for one in tensors)
    assert {one.device.type for one in tensors} == {"cpu"}
    assert {one.dtype for one in tensors if one.is_floating_point()} == {dtype}


def test_the_tokenizer_is_the_one_diffusers_loads(folder: ModelFiles, theirs: Any) -> None:
    ours = load_tokenizer(folder)
    for prompt in ("a red cube", "naïve 猫 it's <|endoftext|> 12.5", ""):
        assert ours(prompt).input_ids == theirs.tokenizer(prompt).input_ids
    assert (len(ours), ours.pad_token_id, ours.model_max_length) == (49408, 49407, 77)


def test_an_older_models_vocabulary_reads_alike(copy: Path, folder: ModelFiles) -> None:
    place = copy / "tokenizer"
    whole = json.loads((place / "tokenizer.json").read_text())["model"]
    (place / "vocab.json").write_text(json.dumps(whole["vocab"]))
    (place / "merges.txt").write_text(
        "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in whole["merges"])
    )
    (place / "tokenizer.json").unlink()
    prompt = "a photo of the unforeseeable, naïve 猫"
    expected = load_tokenizer(folder)(prompt).input_ids
    assert load_tokenizer(describe_folder(copy))(prompt).input_ids == expected


def change_tokenizer(copy: Path, change: Callable[[dict[str, Any]], object]) -> ModelFiles:
    place = copy / "tokenizer" / "tokenizer.json"
    whole = json.loads(place.read_text())
    change(whole)
    place.unlink()
    place.write_text(json.dumps(whole))
    return describe_folder(copy)


def test_an_added_token_is_one_token(copy: Path) -> None:
    place = copy / "text_encoder" / "config.json"
    config = json.loads(place.read_text())
    place.unlink()
    place.write_text(json.dumps(config | {"vocab_size": 49409}))
    changed = change_tokenizer(
        copy, lambda whole: whole["added_tokens"].append({"content": "<cat-toy>", "id": 49408})
    )
    assert load_tokenizer(changed)("a <cat-toy>").input_ids == [49406, 320, 49408, 49407]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda whole: whole["added_tokens"].append({"content": "<x>", "id": 49408}), "49,409 tokens"),
        (lambda whole: whole["added_tokens"].append({"content": "<x>", "id": 60000}), "do not follow"),
        (lambda whole: whole["model"].update(vocab={}), "not the vocabulary"),
        (lambda whole: whole["model"].update(merges=["x"]), "not the vocabulary"),
        (lambda whole: whole.update(model=None), "not the vocabulary"),
    ],
)
def test_a_broken_vocabulary_is_refused(
    copy: Path, change: Callable[[dict[str, Any]], object], complaint: str
) -> None:
    with pytest.raises(ModelError, match=complaint):
        load_tokenizer(change_tokenizer(copy, change))


def test_patterns_in_the_folder_are_not_run(copy: Path, folder: ModelFiles) -> None:
    """A vocabulary's own split pattern could be one that never ends; CLIP's own is used instead."""
    changed = change_tokenizer(
        copy, lambda whole: whole["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex="(a+)+$")
    )
    prompt = "a" * 40 + "!"
    assert load_tokenizer(changed)(prompt).input_ids == load_tokenizer(folder)(prompt).input_ids


def rewrite(copy: Path, name: str, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> ModelFiles:
    tensors = change(load_file(copy / name))
    (copy / name).unlink()
    save_file(tensors, copy / name)
    return describe_folder(copy)


def test_names_of_older_releases_are_understood(copy: Path, vae: nn.Module) -> None:
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        for new, former in old.items():
            tensors = {name.replace(f".{new}.", f".{former}."): one for name, one in tensors.items()}
        return tensors

    changed = rewrite(copy, "vae/diffusion_pytorch_model.safetensors", rename)
    expected = vae.state_dict()
    assert all(
        torch.equal(one, expected[name]) for name, one in weights.load_vae(changed).state_dict().items()
    )


def test_a_text_encoder_of_older_releases_is_understood(copy: Path, encoder: nn.Module) -> None:
    def rename(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        older = {f"text_model.{name}": one for name, one in tensors.items()}
        return older | {"text_model.embeddings.position_ids": torch.arange(77)[None]}

    changed = rewrite(copy, "text_encoder/model.safetensors", rename)
    expected = encoder.state_dict()
    found = weights.load_text_encoder(changed).state_dict()
    assert all(torch.equal(one, expected[name]) for name, one in found.items())


def set_value(name: str, value: float) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    def change(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        tensors[name].view(-1)[-1] = value
        return tensors

    return change


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_number_that_is_not_finite_is_found_among_any_others(dtype: torch.dtype) -> None:
    most = torch.finfo(dtype).max
    for kept in ([], [0.0], [most] * 5, [most, -most] * 3, [-most] * 5):  # some of their sums overflow
        numbers = torch.tensor(kept, dtype=dtype)
        assert is_finite(numbers)
        for wrong in ([math.nan], [math.inf], [-math.inf], [math.inf, -math.inf]):
            assert not is_finite(torch.cat([numbers, torch.tensor(wrong, dtype=dtype)]))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(copy: Path, value: float) -> None:
    changed = rewrite(copy, UNET, set_value("conv_in.weight", value))
    with pytest.raises(ModelError, match=r"conv_in\.weight.*NaN or infinity"):
        weights.load_unet(changed)


def test_a_file_is_searched_for_numbers_that_are_not_finite_once(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[Tensor] = []

    def counted(numbers: Tensor) -> bool:
        searched.append(numbers)
        return is_finite(numbers)

    monkeypatch.setattr(stored, "is_finite", counted)
    files = rewrite(copy, UNET, set_value("conv_in.weight", 0.5))
    first, second = weights.load_unet(files), weights.load_unet(files)
    assert len(searched) == len(first.state_dict())
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))
    weights.load_unet(files, torch.float64)
    assert len(searched) == 2 * len(first.state_dict())
    for _ in range(2):
        with pytest.raises(ModelError, match=r"conv_in\.weight.*NaN or infinity"):
            weights.load_unet(rewrite(copy, UNET, set_value("conv_in.weight", math.nan)))


def test_networks_of_one_file_share_no_modules(folder: ModelFiles) -> None:
    first, second = weights.load_unet(folder), weights.load_unet(folder)
    assert {*map(id, first.modules())}.isdisjoint(map(id, second.modules()))
    assert not any(tensor.is_meta for tensor in first.state_dict().values())
    assert not any(one.requires_grad for one in first.parameters())
    assert not any(module.training for module in first.modules())


def test_weights_too_large_for_half_precision_are_refused(copy: Path) -> None:
    changed = rewrite(copy, UNET, lambda tensors: {name: one.float() for name, one in tensors.items()})
    changed = rewrite(copy, UNET, set_value("conv_in.bias", 1e6))
    with pytest.raises(ModelError, match=r"conv_in\.bias.*float16"):
        weights.load_unet(changed, torch.float16)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t | {"conv_in.bias": torch.zeros(63)}, r"conv_in\.bias' has shape \[63\], .* \[64\]"),
        (lambda t: t | {"conv_in.bias": torch.zeros(64, dtype=torch.int32)}, "holds I32"),
        (lambda t: t | {"add_embedding.linear_1.weight": torch.zeros(2)}, "add_embedding.*another model"),
        (lambda t: {name: one for name, one in t.items() if "mid_block" not in name}, "lacks .*mid_block"),
        (lambda t: {}, "lacks"),
    ],
)
def test_weights_of_another_model_are_refused(
    copy: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], complaint: str
) -> None:
    with pytest.raises(ModelError, match=complaint):
        weights.load_unet(rewrite(copy, UNET, change))


def overwrite(copy: Path, change: Callable[[bytes], bytes]) -> ModelFiles:
    whole = (copy / UNET).read_bytes()
    (copy / UNET).unlink()
    (copy / UNET).write_bytes(change(whole))
    return describe_folder(copy)


def with_header(text: bytes) -> Callable[[bytes], bytes]:
    return lambda whole: struct.pack("<Q", len(text)) + text + whole[-1000:]


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: b"",
        lambda whole: whole[:7],
        lambda whole: whole[:1000],
        lambda whole: whole[:-1],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"\x80\x04" + whole,
        lambda whole: struct.pack("<Q", 2**63) + whole[8:],
        with_header(b"[]"),
        with_header(b"{\xff}"),
        with_header(b'{"conv_in.bias": 1}'),
        with_header(b'{"conv_in.bias": {"dtype": "F16", "shape": [64], "data_offsets": [0]}}'),
        with_header(b'{"conv_in.bias": {"dtype": [], "shape": 64, "data_offsets": [0, 128]}}'),
        with_header(b'{"conv_in.bias": {}, "conv_in.bias": {}}'),
        lambda whole: whole + b"\0",
    ],
)
def test_damaged_files_are_refused(copy: Path, change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ModelError, match=r"diffusion_pytorch_model\.safetensors"):
        weights.load_unet(overwrite(copy, change))


def test_a_file_cut_short_tells_by_how_much(copy: Path) -> None:
    """Told from the header, before a byte of weights is read."""
    with pytest.raises(ModelError, match="12,345 bytes too short"):
        weights.load_unet(overwrite(copy, lambda whole: whole[:-12_345]))


def test_shapes_are_checked_before_anything_is_read(copy: Path) -> None:
    """A header may claim a terabyte: it is turned away by its numbers, not by running out of memory."""
    text = json.dumps(
        {"conv_in.bias": {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}}
    ).encode()
    with pytest.raises(ModelError, match="bytes too short"):
        weights.load_unet(overwrite(copy, with_header(text)))


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("unet/config.json", {"down_block_types": ["evil.Block"] * 4}),
        ("unet/config.json", {"attention_head_dim": "x"}),
        ("text_encoder/config.json", {"hidden_act": "os.system"}),
        ("text_encoder/config.json", {"num_attention_heads": 7}),
    ],
)
def test_a_config_no_model_can_be_built_from_is_refused(
    copy: Path, file: str, change: dict[str, object]
) -> None:
    place = copy / file
    config = json.loads(place.read_text())
    place.unlink()
    place.write_text(json.dumps(config | change))
    with pytest.raises(ModelError, match=r"does not describe a|unknown family"):
        LOADERS[place.parent.name](describe_folder(copy))


def test_keys_that_would_load_code_stay_unread(copy: Path, encoder: Any) -> None:
    place = copy / "text_encoder" / "config.json"
    config = json.loads(place.read_text())
    place.unlink()
    place.write_text(
        json.dumps(config | {"attn_implementation": "stranger/kernel", "_attn_implementation": "x/y"})
    )
    assert weights.load_text_encoder(describe_folder(copy)).config == encoder.config
