"""One side of a comparison at the true size of a family, as a process: `python -m … SIDE FAMILY FOLDER`.

The sides are `build` (a single file of random weights), `ours` and `theirs`. Each writes into the folder.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nodes.sd.families.family import Component, Family
from nodes.sd.families.known import family_named
from nodes.sd.formats.json_file import read_object
from nodes.sd.models import saved, weights
from nodes.sd.models.checkpoint_file import describe_file
from nodes.sd.sampling.names import Prediction
from tests.nodes.sd.families.converted import converted
from tests.nodes.sd.families.latents import drawn, ours, theirs
from tests.nodes.sd.families.small import SmallModel

SIDE, STEPS, SEED = 32, 2, 3
"""Pictures of 256 pixels."""
DTYPES = {"sd1": torch.float32, "sd2": torch.float32, "sdxl": torch.float16}
"""The precision of the file. Both sides compute in float32."""
PREDICTIONS: dict[str, Prediction] = {"sd2": "v_prediction"}
"""As SD 2.1 for 768 pixels: the biases of the random file deviate by 0.1, which is how Safelight tells it."""


def random_state(network: nn.Module, dtype: torch.dtype, generator: torch.Generator) -> dict[str, Tensor]:
    """Random tensors for a network on the meta device, of a size that keeps activations near 1."""
    state = {}
    for name, tensor in network.state_dict().items():
        if name.endswith("position_ids"):
            continue
        made = torch.randn(tensor.shape, generator=generator, dtype=torch.float32)
        if tensor.ndim > 1:
            made *= 1 / math.sqrt(tensor[0].numel())
        else:
            made = made * 0.1 + (name.endswith("weight") and 1.0)
        state[name] = made.to(dtype)
    return state


def build(family: Family, folder: Path) -> None:
    """Write a single file of random weights, without any metadata."""
    generator = torch.Generator().manual_seed(SEED)
    states: dict[Component, dict[str, Tensor]] = {}
    for part in family.components:
        with torch.device("meta"):
            network = weights.build(family, part, read_object(family.configs / f"{part}.json"))
        states[part] = random_state(network, DTYPES[family.name], generator)
    save_file(saved.in_single_file(family, states), folder / "model.safetensors")


def our_side(family: Family, folder: Path) -> None:
    """The latents of Safelight."""
    file = describe_file(folder / "model.safetensors")
    assert file.family is family
    save_file({"latents": ours(file, drawn(SEED, SIDE), steps=STEPS)}, folder / "ours.safetensors")


def their_side(family: Family, folder: Path) -> None:
    """The latents of diffusers, whose own converters read the file."""
    stored = load_file(folder / "model.safetensors")
    configs = {part: read_object(family.configs / f"{part}.json") for part in family.components}
    networks: dict[Component, nn.Module] = {}
    for part in family.components:
        with torch.device("meta"):
            network = weights.build(family, part, configs[part])
        state = converted(family, part, stored, configs[part])
        network.load_state_dict(
            {name: tensor.float() for name, tensor in state.items()}, assign=True, strict=False
        )
        if part.startswith("text_encoder"):
            embeddings: Any = getattr(network, "text_model", network).embeddings
            embeddings.position_ids = torch.arange(77).expand((1, -1))
        networks[part] = network.eval().requires_grad_(False)
    model = SmallModel(family, configs, networks, PREDICTIONS.get(family.name, "epsilon"))
    latents = theirs(model, SEED, SIDE, STEPS)
    save_file({"latents": latents.contiguous()}, folder / "theirs.safetensors")


SIDES: dict[str, Callable[[Family, Path], None]] = {"build": build, "ours": our_side, "theirs": their_side}

if __name__ == "__main__":
    side, name, folder = sys.argv[1:]
    SIDES[side](family_named(name), Path(folder))
