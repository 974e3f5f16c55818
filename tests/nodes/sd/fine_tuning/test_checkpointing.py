"""Gradient checkpointing: the same bits, with dropout, from fewer kept values."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from nodes.sd.fine_tuning.adapted_network import adapted
from nodes.sd.fine_tuning.adapters import AdapterSettings, layers_to_train, new_adapters, parameters
from nodes.sd.fine_tuning.checkpointing import checkpointed
from nodes.sd.fine_tuning.dropout import Dropout


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradients(unet: Any, share: float, *, on: bool) -> tuple[list[Tensor], int, Tensor]:
    """The gradients of a LoRA, the bytes that were kept for them, and the state of the generator after it."""
    made = new_adapters(
        layers_to_train(unet, ("*.attn2.to_k", "mid_block.*.to_q")),
        AdapterSettings("lora", 2, 2.0),
        torch.Generator().manual_seed(1),
    )
    for one in made.values():
        one.tensors["up"].normal_(generator=torch.Generator().manual_seed(2))
    adapters = parameters(made, torch.device("cpu"))
    dropout, generator = Dropout(share), torch.Generator().manual_seed(3)
    network = adapted(unet, adapters, dropout)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with checkpointed(network, dropout) if on else nullcontext():
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            with dropout.drawing_from(generator):
                answer = network(numbers(4, 1, 4, 8, 8), torch.tensor([7]), numbers(5, 1, 77, 64)).sample
            bytes_kept = sum(kept.values())
        answer.square().mean().backward()
    weights = [tensor for one in adapters.values() for tensor in one.tensors.values()]
    assert all(weight.grad is not None for weight in weights)
    return [weight.grad for weight in weights if weight.grad is not None], bytes_kept, generator.get_state()


def test_gradients_have_the_same_bits_and_fewer_values_are_kept(small_unet: Any) -> None:
    before = {name: dict(module.__dict__) for name, module in small_unet.named_modules()}
    for share in (0.0, 0.4):
        plain, much, state = gradients(small_unet, share, on=False)
        again, little, other = gradients(small_unet, share, on=True)
        assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True)), share
        assert torch.equal(state, other)
        assert little < 0.5 * much
        assert any(gradient.any() for gradient in plain)
    for name, module in small_unet.named_modules():
        assert module.__dict__.keys() == before[name].keys()
        assert getattr(module, "gradient_checkpointing", False) is False
