"""Recipes on the device: their sizes, the compute settings, and what patches share with their base."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.devices.compute import ComputeSettings
from engine.devices.residency import Residency
from engine.session import Session
from nodes.files.checkpoints import EMBEDDED, checkpoint
from nodes.files.patch_files import HYPERNETWORKS, LORAS, Patch, PatchFile
from nodes.sd.hypernetworks import network as hypernetwork
from nodes.sd.lora.patched import shared_copy
from nodes.value_types.recipes import CheckpointPart, Model, TextEncoder, Vae
from tests.nodes.model.test_hypernetwork import saved
from tests.nodes.model.test_lora import rand, small, text_lora

CPU = ComputeSettings()


def tensors(loaded: Any) -> Iterable[Tensor]:
    networks = [one.encoder for one in loaded] if isinstance(loaded, tuple) else [loaded]
    return [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]


def patches(session: Session, home: Path) -> tuple[Patch, ...]:
    """A LoRA on the UNet and the text encoder, and a hypernetwork."""
    folder = home / "models"
    lora, hyper = folder / LORAS / "ink.safetensors", folder / HYPERNETWORKS / "soft.pt"
    small(lora.parent, lora.name, text_lora())
    hyper.parent.mkdir(parents=True, exist_ok=True)
    saved(hyper, activation_func="relu", second="linear.2")
    return (
        Patch(PatchFile(LORAS, session.files.digest(lora), lora.name), 0.7),
        Patch(PatchFile(HYPERNETWORKS, session.files.digest(hyper), hyper.name), 0.4),
    )


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("part", [Model, TextEncoder, Vae])
def test_a_recipe_tells_its_size_before_it_is_loaded(
    session: Session, part: type[CheckpointPart], dtype: str
) -> None:
    compute = ComputeSettings(dtype=dtype)
    recipe = part(checkpoint(session.files, EMBEDDED))  # type: ignore[call-arg]
    size = recipe.size(compute, session.files)
    loaded, taken = recipe.load(compute, session.files)
    assert taken == sum(tensor.nbytes for tensor in tensors(loaded))
    assert taken - 1024 < size <= taken, "all but a few integers are told by the header"
    precisions = {tensor.dtype for tensor in tensors(loaded) if tensor.is_floating_point()}
    assert precisions == {torch.float32 if part is Vae else getattr(torch, dtype)}


@pytest.mark.parametrize("part", [Model, TextEncoder])
def test_a_patched_copy_tells_its_size_before_it_is_composed(
    session: Session, home: Path, part: type[Any]
) -> None:
    lora, hyper = patches(session, home)
    recipe = part(checkpoint(session.files, EMBEDDED), (lora, hyper) if part is Model else (lora,))
    base = recipe.base.load(CPU, session.files)[0]
    layers = [layer.load(CPU, session.files)[0] for layer in recipe.layers]
    size = recipe.composed_size(base, layers, CPU)
    composed, taken = recipe.compose(base, layers, CPU)
    theirs = {tensor.data_ptr() for tensor in tensors(base)}
    theirs |= (
        {
            tensor.data_ptr()
            for pair in layers[-1].pairs.values()
            for net in pair
            for tensor in net.parameters()
        }
        if part is Model
        else set()
    )
    own = sum(tensor.nbytes for tensor in tensors(composed) if tensor.data_ptr() not in theirs)
    assert size == taken == own > 0


def test_the_ledger_counts_the_bytes_that_are_taken(session: Session, home: Path) -> None:
    lora, hyper = patches(session, home)
    found = checkpoint(session.files, EMBEDDED)
    residency = Residency(1 << 30)
    kept = [residency.use(recipe, CPU, session.files) for recipe in (Model(found, (lora, hyper)), Vae(found))]
    files = [residency.use(patch.source, CPU, session.files) for patch in (lora, hyper)]
    assert len(kept) == 2
    unique = {tensor.data_ptr(): tensor.nbytes for one in kept for tensor in tensors(one)}
    base = residency.use(Model(found), CPU, session.files)
    unique |= {tensor.data_ptr(): tensor.nbytes for tensor in tensors(base)}
    unique |= {
        tensor.data_ptr(): tensor.nbytes
        for one in files[0].adapters.values()
        for tensor in one.tensors.values()
    }
    assert sum(row.size for row in residency.ledger()) == sum(unique.values())


def test_a_hypernetwork_is_copied_to_a_device_and_stays_on_the_host(tmp_path: Path) -> None:
    saved(tmp_path / "x.pt", activation_func="relu", second="linear.2")
    loaded = hypernetwork.read(tmp_path / "x.pt")
    with torch.device("meta"):
        attention = nn.Module()
        attention.to_k, attention.to_v = nn.Linear(64, 8, bias=False), nn.Linear(64, 8, bias=False)
    result, added = hypernetwork.apply(nn.Sequential(attention), [(1.0, loaded)])
    assert {tensor.device.type for tensor in result.parameters()} == {"meta"}
    assert {
        tensor.device.type for pair in loaded.pairs.values() for net in pair for tensor in net.parameters()
    } == {"cpu"}
    assert added == loaded.nbytes


@pytest.mark.parametrize("attention", ["sliced", "plain"])
def test_every_attention_comes_to_the_same_within_rounding(session: Session, attention: str) -> None:
    found = checkpoint(session.files, EMBEDDED)
    x, context = rand(1, 1, 4, 8, 8), rand(2, 1, 77, found.context_width)
    with torch.no_grad():
        drawn, decoded = [], []
        for way in ("sdpa", attention):
            compute = ComputeSettings(attention=way)
            unet, vae = (recipe.load(compute, session.files)[0] for recipe in (Model(found), Vae(found)))
            kinds = {
                type(one).__name__ for one in (*unet.attn_processors.values(), *vae.attn_processors.values())
            }
            assert kinds == {
                {"sdpa": "AttnProcessor2_0", "sliced": "SlicedAttnProcessor"}.get(way, "AttnProcessor")
            }
            drawn.append(unet(x, torch.tensor(500.0), encoder_hidden_states=context).sample)
            decoded.append(vae.decode(x).sample)
    assert torch.allclose(drawn[0], drawn[1], atol=1e-4)
    assert torch.allclose(decoded[0], decoded[1], atol=1e-4)


def test_a_copy_of_a_compiled_network_computes_with_its_own_weights() -> None:
    network = nn.Sequential(nn.Linear(2, 2, bias=False))
    network.compile(backend="eager")
    copied = shared_copy(network, ["0"])
    copied.get_submodule("0")._parameters["weight"] = nn.Parameter(torch.zeros(2, 2))
    assert not copied(torch.ones(1, 2)).any()
    assert network(torch.ones(1, 2)).any()
