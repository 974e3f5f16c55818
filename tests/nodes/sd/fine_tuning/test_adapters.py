"""The adapters of a LoRA training: losses against peft, kinds, dropout, and the layers that are chosen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nodes.sd.fine_tuning.adapted_network import adapted
from nodes.sd.fine_tuning.adapters import (
    PATTERNS,
    AdaptedLayer,
    AdapterSettings,
    Kind,
    UnfitRankError,
    factors,
    layers_to_train,
    new_adapters,
)
from nodes.sd.fine_tuning.diffusion_loss import DiffusionLoss
from nodes.sd.fine_tuning.dropout import Dropout
from nodes.sd.fine_tuning.latents import CachedPicture
from nodes.sd.fine_tuning.prompt_encoders import EncodedBatch
from nodes.sd.fine_tuning.prompts import CaptionedPicture, Prompts
from nodes.sd.fine_tuning.task import TrainingTask
from nodes.sd.lora.adapter import Adapter
from nodes.sd.training_loop.data_order import DataOrder
from nodes.sd.training_loop.loop import Batch
from nodes.sd.training_loop.random_sources import RandomSources

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore")  # peft's own

RATE, RANK, ALPHA = 1e-3, 2, 1.0
LARGEST_ERROR = {torch.float64: 1e-9, torch.float32: 1e-5}
"""The largest relative difference of a loss from that of peft."""
LAYERS = ("up_blocks.3.attentions.*.to_?", "up_blocks.3.attentions.*.to_out.0")
"""The last block of the UNet, so that the gradient has a short way."""
IN_PEFT = r"up_blocks\.3\.attentions\..*\.to_(q|k|v|out\.0)"


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def as_parameters(adapters: dict[str, Adapter], dtype: torch.dtype) -> dict[str, Adapter]:
    return {
        name: Adapter(
            one.kind,
            {part: nn.Parameter(tensor.to(dtype)) for part, tensor in one.tensors.items()},
            one.alpha,
        )
        for name, one in adapters.items()
    }


def stirred(adapters: dict[str, Adapter]) -> dict[str, Adapter]:
    """The adapters with no tensor of zeros, so that every tensor has a gradient in the first step."""
    for seed, one in enumerate(adapters.values()):
        for part, tensor in one.tensors.items():
            if not tensor.any():
                one.tensors[part].copy_(0.05 * numbers(seed, *tensor.shape))
    return adapters


def into_peft(adapter: Adapter, layer: Any, kind: str) -> None:
    """Copy the tensors of an adapter into a layer of peft."""
    own = adapter.tensors
    names = {
        "lora": {"down": "lora_A", "up": "lora_B"},
        "loha": {part: f"hada_{part}" for part in ("w1_a", "w1_b", "w2_a", "w2_b")},
        "lokr": {f"k{part}": f"lokr_{part}" for part in ("w1", "w2", "w2_a", "w2_b")},
    }[kind]
    with torch.no_grad():
        for part, name in names.items():
            if part in own:
                place = getattr(layer, name)["default"]
                (place.weight if kind == "lora" else place).copy_(
                    own[part].reshape_as(getattr(place, "weight", place))
                )
        if "dora_scale" in own:
            vector = layer.lora_magnitude_vector["default"].weight
            vector.copy_(own["dora_scale"].reshape(vector.shape))


def peft_config(kind: str, dora: bool) -> Any:
    common = {"r": RANK, "target_modules": IN_PEFT}
    if kind == "lora":
        return peft.LoraConfig(lora_alpha=ALPHA, use_dora=dora, **common)
    if kind == "loha":
        return peft.LoHaConfig(alpha=ALPHA, **common)
    return peft.LoKrConfig(alpha=ALPHA, **common)


@pytest.mark.parametrize(
    ("kind", "dora", "dtype", "steps"),
    [
        ("lora", False, torch.float64, 5),
        ("lora", True, torch.float64, 4),
        ("loha", False, torch.float64, 4),
        ("lokr", False, torch.float64, 4),
        *[
            pytest.param("lora", dora, dtype, 50, marks=pytest.mark.slow)
            for dora in (False, True)
            for dtype in LARGEST_ERROR
        ],
    ],
)
def test_losses_are_those_of_peft(
    small_unet: Any,
    kind: Kind,
    dora: bool,
    dtype: torch.dtype,
    steps: int,
    figures: Callable[..., None],
) -> None:
    small_unet = copy.deepcopy(small_unet).to(dtype)
    layers = layers_to_train(small_unet, LAYERS)
    settings = AdapterSettings(kind, RANK, ALPHA, dora)
    made = stirred(new_adapters(layers, settings, torch.Generator().manual_seed(1)))
    ours = as_parameters(made, dtype)
    theirs = peft.inject_adapter_in_model(peft_config(kind, dora), copy.deepcopy(small_unet)).to(dtype)
    assert len(ours) == 24
    for name, adapter in ours.items():
        into_peft(adapter, theirs.get_submodule(name), kind)

    drawn: list[tuple[Tensor, Tensor, Tensor]] = []
    text = {word: numbers(n, 1, 77, 64).to(dtype) for n, word in enumerate(("red", "blue"))}
    unet = adapted(small_unet, ours, Dropout())

    class Kept(DiffusionLoss):
        """Keeps what a step draws."""

        def draw(self, latents: Tensor, generator: torch.Generator) -> Any:
            noise = super().draw(latents, generator)
            drawn.append((latents, noise.target, noise.timesteps))
            return noise

    alphas = torch.linspace(0.999, 0.005, 1000)
    pictures = [
        CaptionedPicture(CachedPicture(numbers(n, 4, 4, 4).to(dtype), None), word)
        for n, word in enumerate(text)
    ]
    prompts = Prompts("", ["[filewords]"])

    def encode(texts: Any) -> EncodedBatch:
        drawn_text.append(list(texts))
        return EncodedBatch(torch.cat([text[word] for word in texts]), None)

    drawn_text: list[list[str]] = []
    order = DataOrder([0, 0], 2, 3)
    task = TrainingTask(encode, unet, (), Kept(alphas, "epsilon"), pictures, prompts, order)
    weights = [tensor for one in ours.values() for tensor in one.tensors.values()]
    other = [weight for weight in theirs.parameters() if weight.requires_grad]
    assert sum(weight.numel() for weight in other) == sum(weight.numel() for weight in weights)
    first, second = (torch.optim.AdamW(group, lr=RATE) for group in (weights, other))
    draws = RandomSources.seeded(0)
    losses: list[list[float]] = [[], []]
    for step in range(steps):
        loss = task.loss(draws, Batch(step, 0.0))
        latents, noise, timesteps = drawn[-1]
        shares = alphas[timesteps].to(dtype)[:, None, None, None]
        noisy = shares.sqrt() * latents + (1 - shares).sqrt() * noise
        hidden = torch.cat([text[word] for word in drawn_text[-1]])
        reference = (theirs(noisy, timesteps, hidden).sample - noise).square().mean()
        for number, (optimizer, value) in enumerate(((first, loss), (second, reference))):
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses[number].append(value.item())
    error = max(abs(a - b) / b for a, b in zip(*losses, strict=True))
    figures(steps=steps, relative_error=f"{error:.1e}")
    assert error < LARGEST_ERROR[dtype]
    assert losses[0][-1] != losses[0][0]


@pytest.mark.parametrize("layer", [nn.Linear(12, 8), nn.Conv2d(6, 8, 3, stride=2, padding=1)])
@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("kind", ["lora", "loha", "lokr"])
def test_new_adapters_change_nothing_and_trained_ones_what_they_say(
    layer: nn.Module, kind: Kind, dora: bool
) -> None:
    settings = AdapterSettings(kind, 2, 3.0, dora)
    (adapter,) = new_adapters({"x": layer}, settings, torch.Generator().manual_seed(1)).values()
    x = torch.randn(3, 12) if isinstance(layer, nn.Linear) else torch.randn(2, 6, 7, 7)
    with torch.no_grad():
        assert torch.allclose(AdaptedLayer(layer, adapter, Dropout())(x), layer(x), atol=1e-5)
        stirred({"x": adapter})
        changed = copy.deepcopy(layer)
        changed.weight += adapter.delta(layer.weight)  # type: ignore[arg-type, operator]
        answer = AdaptedLayer(layer, adapter, Dropout())(x)
    assert torch.allclose(answer, changed(x), atol=1e-5)
    assert not torch.allclose(answer, layer(x), atol=1e-3)


def test_dropout_keeps_the_mean_and_acts_only_in_training_steps() -> None:
    dropout = Dropout(0.25)
    x = torch.ones(100, 200)
    assert torch.equal(dropout(x), x)
    dropout.generator = torch.Generator().manual_seed(1)
    dropped = dropout(x)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.02)


def test_each_choice_of_layers_contains_the_one_before(small_unet: Any) -> None:
    counts = [set(layers_to_train(small_unet, patterns)) for patterns in PATTERNS.values()]
    assert counts[0] < counts[1] < counts[2]
    assert all(".attn" in name for name in counts[0])
    assert any(isinstance(small_unet.get_submodule(name), nn.Conv2d) for name in counts[2] - counts[1])
    assert set(layers_to_train(small_unet, ["mid_block.*.to_?"])) == {
        f"mid_block.attentions.0.transformer_blocks.0.attn{n}.to_{side}" for n in (1, 2) for side in "qkv"
    }


def test_a_rank_beyond_the_layer_is_refused() -> None:
    with pytest.raises(UnfitRankError):
        new_adapters({"x": nn.Linear(8, 4)}, AdapterSettings(rank=5), torch.Generator())


@pytest.mark.parametrize(
    ("size", "factor", "expected"),
    [(320, -1, (16, 20)), (768, -1, (24, 32)), (97, -1, (1, 97)), (320, 8, (8, 40)), (360, 7, (6, 60))],
)
def test_sizes_are_split_as_in_lycoris(size: int, factor: int, expected: tuple[int, int]) -> None:
    from peft.tuners.lokr.layer import factorization

    assert factors(size, factor) == expected == factorization(size, factor)
