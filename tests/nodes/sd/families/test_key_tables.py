"""The names of tensors in single files: diffusers' own conversion reads what the tables write."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_flux_transformer_checkpoint_to_diffusers,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn

from nodes.sd.families import key_tables
from nodes.sd.families.family import Component, Family
from nodes.sd.families.flux.stored_names import stored_names
from nodes.sd.families.key_tables import KeyTable, Stored, written
from nodes.sd.families.known import families, family_named
from nodes.sd.formats.json_file import read_object
from nodes.sd.models import weights
from nodes.sd.models.checkpoint_file import usual_config
from nodes.sd.models.configs import check_class, check_config, check_match

PARAMETERS = {
    ("flux", "transformer"): 11_901_408_320,
    ("flux", "vae"): 83_819_683,
    ("flux", "text_encoder"): 123_060_480,
    ("flux", "text_encoder_2"): 4_762_310_656,
    ("flux-schnell", "transformer"): 11_891_178_560,
    ("sd1", "unet"): 859_520_964,
    ("sd1", "vae"): 83_653_863,
    ("sd1", "text_encoder"): 123_060_480,
    ("sd2", "unet"): 865_910_724,
    ("sd2", "text_encoder"): 340_387_840,
    ("sdxl", "unet"): 2_567_463_684,
    ("sdxl", "vae"): 83_653_863,
    ("sdxl", "text_encoder"): 123_060_480,
    ("sdxl", "text_encoder_2"): 694_659_840,
    ("sdxl-refiner", "text_encoder_2"): 694_659_840,
}
"""The numbers of parameters of the published models."""


def network(family: Family, part: Component) -> nn.Module:
    with torch.device("meta"):
        config = read_object(family.configs / f"{part}.json")
        return weights.build(family, part, config)


@pytest.mark.parametrize(("name", "part"), PARAMETERS)
def test_the_configs_are_of_the_published_sizes(name: str, part: Component) -> None:
    whole = sum(parameter.numel() for parameter in network(family_named(name), part).parameters())
    assert whole == PARAMETERS[name, part]


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_the_configs_pass_the_checks_of_a_folder(family: Family) -> None:
    configs = {part: read_object(family.configs / f"{part}.json") for part in family.components}
    for part, config in configs.items():
        check_config(family, part, config, part)
        check_class(family, part, config, part)
    check_match(family, configs, "unet")
    assert [
        one.name for one in families() if set(one.components) == set(configs) and one.recognise(configs)
    ] == [family.name]


@pytest.mark.parametrize("name", ["flux", "flux-schnell"])
def test_the_published_files_of_flux_give_the_config_of_diffusers(name: str) -> None:
    """By the names and shapes that diffusers' network of this config has in a file of its authors."""
    family = family_named(name)
    guidance = name == "flux"
    with torch.device("meta"):
        theirs = FluxTransformer2DModel(guidance_embeds=guidance)  # diffusers' defaults are those of FLUX.1
    shapes = {key: tuple(tensor.shape) for key, tensor in theirs.state_dict().items()}
    meta = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    file = {key: tuple(tensor.shape) for key, tensor in written(stored_names, meta).items()}
    assert len(file) == (780 if guidance else 776)
    assert file["double_blocks.18.img_attn.qkv.weight"] == (9216, 3072)
    assert file["single_blocks.37.linear1.weight"] == (21504, 3072)
    for names in (shapes, file):
        found = usual_config(family, "transformer", names)
        expected = {
            key: list(one) if isinstance(one, tuple) else one
            for key, one in theirs.config.items()
            if not key.startswith("_")
        }
        assert found == {**expected, "_class_name": "FluxTransformer2DModel", "out_channels": 64}
        other = family_named("flux-schnell" if guidance else "flux")
        assert family.network.widths(names) == (4096, 768)
        assert other.network.widths(names) == (None, None)


def test_diffusers_converts_a_written_flux_of_the_published_height() -> None:
    """Its converter knows only the height of the published matrices, so they have a single column here."""
    with torch.device("meta"):
        network = FluxTransformer2DModel(num_layers=1, num_single_layers=1, guidance_embeds=True)
    tensors = {
        name: torch.arange(len(tensor), dtype=torch.float32)[:, None] + 1e5 * number
        for number, (name, tensor) in enumerate(network.state_dict().items())
    }
    found = convert_flux_transformer_checkpoint_to_diffusers(written(stored_names, tensors))
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def numbered(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Tensors of these shapes, each of numbers that no other has."""
    return {name: torch.full(shape, float(number)) for number, (name, shape) in enumerate(shapes.items(), 1)}


UNET = {
    "block_out_channels": (32, 64),
    "layers_per_block": 2,
    "norm_num_groups": 8,
    "cross_attention_dim": 16,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}


def test_diffusers_reads_a_written_unet() -> None:
    unet = UNet2DConditionModel(**UNET)
    tensors = numbered({name: tuple(tensor.shape) for name, tensor in unet.state_dict().items()})
    file = {f"model.diffusion_model.{name}": one for name, one in written(key_tables.unet, tensors).items()}
    found = convert_ldm_unet_checkpoint(file, dict(unet.config))
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_diffusers_reads_a_written_vae() -> None:
    blocks = 2
    vae = AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=2,
    )
    tensors = numbered({name: tuple(tensor.shape) for name, tensor in vae.state_dict().items()})
    file = {f"first_stage_model.{name}": one for name, one in written(key_tables.vae, tensors).items()}
    found = convert_ldm_vae_checkpoint(file, dict(vae.config))
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name].reshape(tensor.shape), tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    "table",
    [key_tables.unet, key_tables.vae, key_tables.clip, key_tables.open_clip],
    ids=lambda t: t.__name__,
)
def test_a_key_table_reads_the_names_that_it_writes(table: KeyTable) -> None:
    part: Component = {"unet": "unet", "vae": "vae"}.get(table.__name__, "text_encoder")  # type: ignore[assignment]
    shapes = {name: tuple(one.shape) for name, one in network(family_named("sd1"), part).state_dict().items()}
    small = {name: (3, *(1 if side == 1 else 2 for side in shape[1:])) for name, shape in shapes.items()}
    tensors = numbered(small)
    file = written(table, tensors)
    for name, (stored, *_) in table(tensors).items():
        assert stored.shape_of(tuple(file[stored.name].shape)) == small[name]
        assert torch.equal(stored.taken_from(file[stored.name]), tensors[name])


def test_a_matrix_stored_as_a_kernel_is_read_either_way() -> None:
    matrix = torch.arange(6.0).reshape(2, 3)
    stored = Stored("q.weight", kernel=True)
    for kept in (matrix, matrix[..., None, None]):
        assert stored.shape_of(tuple(kept.shape)) == (2, 3)
        assert torch.equal(stored.taken_from(kept), matrix)
