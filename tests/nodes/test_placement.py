"""Offloading, weights of 8 bits and VAE settings: the pictures, the patches and the ledger under each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine import settings
from engine.devices.compute import ComputeSettings
from engine.devices.residency import Residency
from engine.document.graph import Graph, Literal
from engine.session import Session
from engine.sources import source
from nodes.files.checkpoints import EMBEDDED, checkpoint
from nodes.files.patch_files import LORAS, Patch, PatchFile
from nodes.sd.models.placement import like, placed
from nodes.sd.models.to_device import prepared
from nodes.value_types.recipes import Model, Vae
from tests.nodes.conftest import GRAPHS, output
from tests.nodes.model.test_lora import RECOLOUR
from tests.nodes.model.test_lora import graph as with_loras
from tests.nodes.sd.families.small import small_model

DRAW = source.load(GRAPHS / "text_to_image.json")
SMALL: dict[str, Any] = {"steps": 1, "width": 64, "height": 64, "prompt": "a red circle"}
LORA = with_loras({"lora": RECOLOUR.name, "weight": 1.0})
PLACEMENTS: dict[str, dict[str, Any]] = {
    "components": {"offload": "components"},
    "blocks": {"offload": "blocks"},
    "stored": {"storage_dtype": "float8_e4m3fn"},
    "both": {"offload": "blocks", "storage_dtype": "float8_e4m3fn"},
}


def opened(home: Path, **given: Any) -> Session:
    """A session that stores nothing, so that every run computes everything."""
    folders = {LORAS: [RECOLOUR.parent]}
    return Session(
        settings.load(home, device="cpu", disk_budget=0, memory_budget=0, folders=folders, **given)
    )


def drawn(session: Session, graph: Graph = DRAW, **values: Any) -> Any:
    return output(session.run(graph, {**SMALL, **values})).pixels


def difference(one: Any, other: Any) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The picture without special settings: plain, and with a LoRA."""
    with opened(tmp_path_factory.mktemp("home")) as session:
        plain, patched = drawn(session), drawn(session, LORA)
    assert difference(plain, patched) > 50
    return plain, patched


@pytest.mark.parametrize("placement", ["components", "blocks", "stored"])
def test_pictures_are_the_same_with_patches_and_after_them(
    tmp_path: Path, placement: str, expected: tuple[Any, Any]
) -> None:
    """Offloading moves numbers, so the picture is the same to the bit; 8 bits change it a little."""
    plain, patched = expected
    with opened(tmp_path, **PLACEMENTS[placement]) as session:
        with_lora, without = drawn(session, LORA), drawn(session)
    if placement == "stored":
        assert 0 < np.abs(without.astype(int) - plain).mean() < 12
        assert np.abs(with_lora.astype(int) - patched).mean() < 12
    else:
        assert np.array_equal(with_lora, patched)
        assert np.array_equal(without, plain)


def numbers(network: nn.Module) -> str:
    """A digest of all tensors of a network."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode() + tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def memory(network: nn.Module) -> Iterator[tuple[int, int]]:
    """The place and the bytes of each tensor."""
    for tensor in (*network.parameters(), *network.buffers()):
        yield tensor.data_ptr(), tensor.nbytes


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_the_master_stays_and_the_ledger_counts_every_tensor_once(tmp_path: Path, placement: str) -> None:
    with opened(tmp_path, **PLACEMENTS[placement]) as session:
        files, compute = session.files, session.compute
        found = checkpoint(files, EMBEDDED)
        lora = Patch(PatchFile(LORAS, files.digest(RECOLOUR), RECOLOUR.name), 1.0)
        master = compute.whole
        residency = Residency(1 << 30)
        pins = residency.pins()
        recipes = Model(found), Model(found, (lora,))
        plain, patched = (residency.use(recipe, master, files, pins) for recipe in recipes)
        before = numbers(plain), numbers(patched)
        made = [residency.use(recipe, compute, files, pins) for recipe in recipes]
        x, context = torch.ones(1, 4, 8, 8), torch.ones(1, 77, found.context_width)
        with torch.no_grad():
            seen = [network(x, torch.tensor(500.0), context).sample for network in (*made, plain, patched)]
        assert (numbers(plain), numbers(patched)) == before
        assert not torch.equal(seen[0], seen[1])
        tolerance = 0.2 if compute.storage_dtype else 0.0
        assert all(
            torch.allclose(one, other, atol=tolerance) for one, other in zip(seen[:2], seen[2:], strict=True)
        )
        weights = dict(pair for network in (plain, patched, *made) for pair in memory(network))
        rows = [row for row in residency.ledger() if row.label.startswith("Model")]
        assert sum(row.size for row in rows) == sum(weights.values())


def test_eight_bits_take_a_quarter_and_compute_in_the_precision_of_the_master() -> None:
    network: Any = small_model("sd1").networks["unet"]
    made, size = placed(network, ComputeSettings(storage_dtype="float8_e4m3fn"))
    whole = sum(bytes for _, bytes in memory(network))
    norms = sum(tensor.nbytes for name, tensor in network.named_parameters() if "norm" in name)
    assert size == (whole - norms) // 4 + norms
    assert (like(made).dtype, like(network).dtype) == (torch.float32, torch.float32)
    assert made.conv_in.weight.dtype == torch.float8_e4m3fn
    assert network.conv_in.weight.dtype == torch.float32


def test_only_the_network_in_use_stays(tmp_path: Path) -> None:
    with opened(tmp_path, offload="components") as session:
        drawn(session)
        assert [row.label.split()[0] for row in session.residency.ledger()] == ["Vae"]


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_an_offloaded_transformer_draws_the_same(tmp_path: Path, family: str) -> None:
    (tmp_path / "models" / "checkpoints").mkdir(parents=True)
    small_model(family).save_folder(tmp_path / "models" / "checkpoints" / "three")
    values = {"model": "three", "sampler": "euler", "schedule": "normal"}
    graph = source.load(GRAPHS / "text_to_image.json")
    for name, value in (("sampler", "euler"), ("schedule", "normal")):
        graph.nodes["denoise"].inputs[name] = Literal(value)
    graph.nodes["model"].inputs["model"] = Literal(values["model"])
    with opened(tmp_path) as session:
        expected = drawn(session, graph)
    with opened(tmp_path, offload="blocks") as session:
        assert np.array_equal(drawn(session, graph), expected)


def test_settings_that_only_change_the_order_of_computing_change_rounding(tmp_path: Path) -> None:
    pair = source.load(GRAPHS / "text_to_image.json")
    pair.nodes["canvas"].inputs["batch"] = Literal(2)
    with opened(tmp_path) as session:
        expected = drawn(session, pair)
    with opened(tmp_path, channels_last=True, vae_slicing=True) as session:
        found = drawn(session, pair)
        loaded = session.residency.use(
            Vae(checkpoint(session.files, EMBEDDED)), session.compute, session.files
        )
    assert difference(found, expected) <= 1
    assert loaded.use_slicing
    weight = loaded.decoder.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


def test_vae_tiling_is_the_input_tiled_of_every_node(tmp_path: Path) -> None:
    wide: dict[str, Any] = {"width": 384, "height": 128, "steps": 1}
    tiled = source.load(GRAPHS / "text_to_image.json")
    tiled.nodes["decode"].inputs["tiled"] = Literal(True)
    with opened(tmp_path) as session:
        plain, expected = drawn(session, **wide), drawn(session, tiled, **wide)
    assert not np.array_equal(plain, expected)
    with opened(tmp_path, vae_tiling=True) as session:
        assert np.array_equal(drawn(session, **wide), expected)


def test_repeated_blocks_are_compiled_once_and_patched_ones_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile(self: nn.Module) -> None:
        self._compiled_call_impl = object()  # type: ignore[assignment]  # nothing is called here

    monkeypatch.setattr(nn.Module, "compile", compile)
    compute = ComputeSettings(compile="blocks")
    with opened(tmp_path) as session:
        files = session.files
        found = checkpoint(files, EMBEDDED)
        lora = Patch(PatchFile(LORAS, files.digest(RECOLOUR), RECOLOUR.name), 1.0)
        recipe = Model(found, (lora,))
        base = Model(found).load(compute, files)[0]
        patched, _ = recipe.compose(base, [layer.load(compute, files)[0] for layer in recipe.layers], compute)

    def blocks(network: nn.Module) -> list[nn.Module]:
        return [one for one in network.modules() if type(one).__name__ == "BasicTransformerBlock"]

    before: list[Tensor | Any] = [one._compiled_call_impl for one in blocks(base)]
    assert all(before)
    assert all(one._compiled_call_impl for one in blocks(patched))
    shared = [one for one in blocks(patched) if any(one is other for other in blocks(base))]
    own = [one for one in blocks(patched) if all(one is not other for other in blocks(base))]
    assert own, "the LoRA acts in attention"
    assert {id(one._compiled_call_impl) for one in own}.isdisjoint(map(id, before))
    assert all(one._compiled_call_impl in before for one in shared)
    transformer = prepared(small_model("sd3").networks["transformer"], compute)
    kinds = {type(one).__name__ for one in transformer.modules() if one._compiled_call_impl is not None}
    assert kinds == {"JointTransformerBlock"}
    transformer = prepared(small_model("flux").networks["transformer"], compute)
    kinds = {type(one).__name__ for one in transformer.modules() if one._compiled_call_impl is not None}
    assert kinds == {"FluxTransformerBlock", "FluxSingleTransformerBlock"}


@pytest.mark.slow
def test_compiled_blocks_draw_the_same_within_rounding(tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        plain, patched = drawn(session), drawn(session, LORA)
    with opened(tmp_path, compile="blocks") as session:
        assert difference(drawn(session), plain) <= 2
        assert difference(drawn(session, LORA), patched) <= 2
        assert difference(drawn(session), plain) <= 2
