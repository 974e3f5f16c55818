"""Telling what a folder holds, and refusing the folders that are not what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from nodes.sd.families.family import Betas
from nodes.sd.formats.json_file import ModelError
from nodes.sd.models import weights
from nodes.sd.models.files import ModelFiles
from nodes.sd.models.folder import describe_folder

Change = Callable[[dict[str, Any]], object]


def edit(place: Path, change: Change) -> None:
    config = json.loads(place.read_text())
    change(config)
    place.unlink()
    place.write_text(json.dumps(config))


def test_the_tiny_model_is_described(folder: ModelFiles) -> None:
    assert folder.family.name == "sd1"
    assert folder.prediction == "v_prediction"
    assert folder.noise == Betas("scaled_linear", 0.00085, 0.012, 1000)
    assert (folder.latent_channels, folder.vae_scale, folder.size, folder.text_widths) == (
        4,
        8,
        (128, 128),
        {"clip_l": 64},
    )
    assert folder.files == (
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    )


def test_the_facts_are_those_diffusers_finds(folder: ModelFiles) -> None:
    theirs = StableDiffusionPipeline.from_pretrained(folder.path, local_files_only=True)
    assert theirs.vae_scale_factor == folder.vae_scale
    assert theirs.unet.config.sample_size * theirs.vae_scale_factor == folder.size[0]
    assert theirs.scheduler.config.prediction_type == folder.prediction
    assert theirs.text_encoder.config.hidden_size == folder.text_widths["clip_l"]


def write(place: Path, content: object) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(content))


def test_a_folder_as_sd15_was_published_is_described(tmp_path: Path) -> None:
    """Configs of the first releases say less, and say it in older words."""
    parts = {
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    write(
        tmp_path / INDEX,
        {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.6.0"} | parts,
    )
    noise = {"beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085}
    write(
        tmp_path / NOISE,
        {
            "_class_name": "PNDMScheduler",
            "num_train_timesteps": 1000,
            "skip_prk_steps": True,
            "steps_offset": 1,
        }
        | {"trained_betas": None, "clip_sample": False, "set_alpha_to_one": False}
        | noise,
    )
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    write(
        tmp_path / TEXT,
        {"architectures": ["CLIPTextModel"], "vocab_size": 49408, "max_position_embeddings": 77}
        | {"hidden_act": "quick_gelu", "eos_token_id": 2, "bos_token_id": 0, "torch_dtype": "float32"}
        | text,
    )
    unet = {"in_channels": 4, "out_channels": 4, "layers_per_block": 2, "cross_attention_dim": 768}
    write(
        tmp_path / UNET,
        {
            "_class_name": "UNet2DConditionModel",
            "sample_size": 64,
            "block_out_channels": [320, 640, 1280, 1280],
        }
        | unet,
    )
    vae = {"latent_channels": 4, "layers_per_block": 2, "sample_size": 512}
    write(
        tmp_path / "vae" / "config.json",
        {"_class_name": "AutoencoderKL", "block_out_channels": [128, 256, 512, 512]} | vae,
    )
    for name in ("vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json"):
        write(tmp_path / "tokenizer" / name, {})
    for place in (
        "text_encoder/model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "safety_checker/model.safetensors",
    ):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"")

    found = describe_folder(tmp_path)
    assert (found.family.name, found.prediction, found.noise) == ("sd1", "epsilon", Betas())
    assert (found.size, found.vae_scale, found.text_widths) == ((512, 512), 8, {"clip_l": 768})
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in found.files
    assert not [name for name in found.files if "safety" in name or "non_ema" in name]


def test_planning_does_not_import_torch() -> None:
    heavy = ["torch", "diffusers", "transformers", "numpy", "safetensors"]
    imports = "import nodes.sd.models.folder, nodes.sd.sampling.names, sys"
    code = f"{imports}; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_linked_files_are_followed(copy: Path, folder: ModelFiles) -> None:
    """The way a hub's cache lays models out."""
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    os.symlink(
        folder.path / "unet" / "diffusion_pytorch_model.safetensors",
        copy / "unet" / "diffusion_pytorch_model.safetensors",
    )
    assert describe_folder(copy).files == folder.files


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.fp16.safetensors", "model.safetensors"])
def test_other_names_of_weights_are_found(copy: Path, name: str) -> None:
    (copy / "vae" / "diffusion_pytorch_model.safetensors").rename(copy / "vae" / name)
    assert describe_folder(copy).networks["vae"].files == (copy / "vae" / name,)


def test_full_precision_is_preferred(copy: Path, folder: ModelFiles) -> None:
    (copy / "vae" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"")
    assert describe_folder(copy).files == folder.files


def test_an_older_models_vocabulary_is_found(copy: Path) -> None:
    (copy / "tokenizer" / "tokenizer.json").unlink()
    for name in ("vocab.json", "merges.txt"):
        (copy / "tokenizer" / name).write_text("{}")
    files = describe_folder(copy).files
    assert {"tokenizer/vocab.json", "tokenizer/merges.txt"} < set(files)
    assert files == tuple(sorted(files))


@pytest.mark.parametrize(
    "missing",
    [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "tokenizer/tokenizer.json",
        "unet/diffusion_pytorch_model.safetensors",
    ],
)
def test_a_missing_file_is_named(copy: Path, missing: str) -> None:
    (copy / missing).unlink()
    with pytest.raises(ModelError, match=Path(missing).stem):
        describe_folder(copy)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a folder"):
        describe_folder(tmp_path / "nothing")


INDEX = "model_index.json"
UNET = "unet/config.json"
TEXT = "text_encoder/config.json"
NOISE = "scheduler/scheduler_config.json"


@pytest.mark.parametrize(
    ("file", "change", "complaint"),
    [
        (INDEX, {"_class_name": "StableDiffusionXLPipeline"}, "text_encoder_2 must be"),
        (INDEX, {"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}, "SD 1 and SD 2 models"),
        (INDEX, {"_class_name": ["../evil", "Pipeline"]}, "asks for"),
        (INDEX, {"unet": ["evil_package", "Payload"]}, "unet must be a UNet2DConditionModel, not 'Payload'"),
        (INDEX, {"unet": ["diffusers", "UNet2DConditionModel", "extra"]}, "unet must be"),
        (INDEX, {"vae": [None, None]}, "vae must be"),
        (INDEX, {"../../evil": ["evil", "Evil"]}, "names a part '../../evil'"),
        (INDEX, {"controlnet": ["diffusers", "ControlNetModel"]}, "names a part 'controlnet'"),
        (UNET, {"_class_name": "os.system"}, "is for 'os.system'"),
        (UNET, {"auto_map": {"AutoModel": "evil.py--Evil"}}, "auto_map"),
        (TEXT, {"auto_map": {"AutoModel": "evil.py--Evil"}}, "auto_map"),
        (TEXT, {"architectures": ["Evil"]}, "CLIPTextModel is expected"),
        (TEXT, {"architectures": None}, "CLIPTextModel is expected"),
        (TEXT, {"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
        (TEXT, {"hidden_size": "64"}, "hidden_size is '64'"),
        (TEXT, {"hidden_act": "tanh"}, "unknown family"),
        (UNET, {"layers_per_block": True}, "layers_per_block is True"),
        (UNET, {"block_out_channels": []}, "block_out_channels"),
        (UNET, {"block_out_channels": [64] * 9}, "block_out_channels"),
        (UNET, {"in_channels": 8}, "edit pictures by instructions"),
        (UNET, {"in_channels": 6}, "reads 6 channels"),
        (UNET, {"cross_attention_dim": 768}, "different models"),
        (UNET, {"addition_embed_type": "text_time"}, "unknown family"),
        (UNET, {"transformer_layers_per_block": [1, 2, 10]}, "unknown family"),
        (UNET, {"sample_size": -1}, "sample_size"),
        (NOISE, {"prediction_type": "flow"}, "not flow"),
        (NOISE, {"beta_schedule": "squaredcos_cap_v2"}, "beta_schedule"),
        (NOISE, {"beta_start": 0.5, "beta_end": 0.1}, "beta_start"),
        (NOISE, {"num_train_timesteps": 0}, "num_train_timesteps"),
        (NOISE, {"trained_betas": [0.1]}, "trained_betas"),
        (NOISE, {"rescale_betas_zero_snr": 1}, "rescale_betas_zero_snr"),
    ],
)
def test_a_folder_of_no_known_family_is_refused(
    copy: Path, file: str, change: dict[str, object], complaint: str
) -> None:
    edit(copy / file, lambda config: config.update(change))
    with pytest.raises(ModelError, match=complaint) as caught:
        describe_folder(copy)
    assert str(copy) in str(caught.value)
    assert len(str(caught.value)) < len(str(copy)) + 200


def test_a_strangers_words_are_shown_short_and_plain(copy: Path) -> None:
    edit(copy / INDEX, lambda config: config.update(_class_name="\x1b[31m\n" * 10_000))
    with pytest.raises(ModelError) as caught:
        describe_folder(copy)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(copy)) + 200


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"_class_name": "A", "_class_name": "B"}',
        '{"a": NaN}',
        '{"a": 1e999}',
        "{" * 100_000,
        '{"a": ' * 100_000 + "1" + "}" * 100_000,
        '{"a": ' + "9" * 10_000 + "}",
    ],
)
def test_malformed_json_is_refused(copy: Path, text: str) -> None:
    (copy / INDEX).write_text(text)
    with pytest.raises(ModelError, match=r"model_index\.json"):
        describe_folder(copy)


def test_bytes_that_are_no_text_are_refused(copy: Path) -> None:
    (copy / INDEX).write_bytes(b"\xff\xfe{}")
    with pytest.raises(ModelError, match="not text"):
        describe_folder(copy)


def test_a_config_of_a_gigabyte_is_not_read(copy: Path) -> None:
    with (copy / INDEX).open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ModelError, match=r"model_index\.json"):
        describe_folder(copy)


@pytest.mark.parametrize("name", ["model_index.json", "unet/diffusion_pytorch_model.safetensors"])
def test_links_in_a_circle_are_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    os.symlink(copy / name, copy / name)
    with pytest.raises(ModelError, match=str(copy)):
        describe_folder(copy)


@pytest.mark.parametrize("name", ["model_index.json", "tokenizer/tokenizer.json"])
def test_a_pipe_is_not_waited_for(copy: Path, name: str) -> None:
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(ModelError, match="not a regular file"):
        describe_folder(copy)


def test_safetensors_are_preferred_to_a_pickle(copy: Path) -> None:
    (copy / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"")
    assert "unet/diffusion_pytorch_model.safetensors" in describe_folder(copy).files
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert "unet/diffusion_pytorch_model.bin" in describe_folder(copy).files


UNET_NAME = "diffusion_pytorch_model"


def split(folder: Path, variant: str = "") -> None:
    """Splits the UNet's weights into two files with an index, under the names that diffusers gives them."""
    whole = folder / f"{UNET_NAME}.safetensors"
    tensors = load_file(whole)
    whole.unlink()
    names = [f"{UNET_NAME}{variant}-0000{number}-of-00002.safetensors" for number in (1, 2)]
    halves = {name: dict(list(tensors.items())[start::2]) for start, name in enumerate(names)}
    for name, half in halves.items():
        save_file(half, folder / name)
    table = {tensor: name for name, half in halves.items() for tensor in half}
    (folder / f"{UNET_NAME}.safetensors.index{variant}.json").write_text(json.dumps({"weight_map": table}))


@pytest.mark.parametrize("variant", ["", ".fp16"])
def test_weights_in_several_files_are_joined(copy: Path, folder: ModelFiles, variant: str) -> None:
    split(copy / "unet", variant)
    found = describe_folder(copy)
    assert len([name for name in found.files if name.startswith("unet/")]) == 4
    expected = weights.load_unet(folder).state_dict()
    joined = weights.load_unet(found).state_dict()
    assert all(torch.equal(joined[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({}, "names 0 files"),
        ({"a": "../evil.safetensors"}, "not a file of weights in its folder"),
        ({"a": "evil.py"}, "not a file of weights in its folder"),
        ({"a": "gone.safetensors"}, "gone.safetensors is missing"),
    ],
)
def test_an_index_that_names_other_files_is_refused(
    copy: Path, table: dict[str, str], complaint: str
) -> None:
    split(copy / "unet")
    index = copy / "unet" / f"{UNET_NAME}.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": table}))
    with pytest.raises(ModelError, match=complaint):
        describe_folder(copy)
