"""Merged checkpoints against A1111's formulas on their tensors."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.devices.compute import ComputeSettings
from engine.errors import NodeError
from engine.session import Session
from engine.testing import computed, open_session, output, run_graph, run_node
from nodes.files.checkpoints import EMBEDDED
from nodes.model.load import LoadModel
from nodes.model.merge import MergeModels, MergeTextEncoders, MergeVaes
from nodes.model.save_model import SaveModel
from nodes.sd.lora import block_lists
from nodes.sd.models.merging import weighted_sum
from nodes.values import Model, TextEncoder, Vae
from tests.nodes.sd.conftest import TINY

State = Mapping[str, Tensor]
EXACT = ComputeSettings()
PARTS = ("unet", "text_encoder", "vae")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("merge") / "home"


@pytest.fixture(scope="module")
def session(home: Path) -> Iterator[Session]:
    with open_session(home) as opened:
        yield opened


@pytest.fixture(scope="module")
def checkpoints(home: Path) -> Path:
    """The embedded model twice with other numbers, as `b` and `c`."""
    folder = home / "models" / "checkpoints"
    for seed, name in enumerate(("b", "c")):
        random = torch.Generator().manual_seed(seed)
        shutil.copytree(TINY, folder / name)
        for file in (folder / name).rglob("*.safetensors"):
            state = load_file(file)
            save_file(
                {
                    key: (
                        tensor.float() * (0.9 + 0.2 * torch.rand(tensor.shape, generator=random))
                        if tensor.is_floating_point()
                        else tensor
                    )
                    for key, tensor in state.items()
                },
                file,
            )
    return folder


def parts(session: Session, name: str) -> tuple[Model, TextEncoder, Vae]:
    loaded = run_node(session, LoadModel(model=name))
    model, encoder, vae = loaded["model"], loaded["encoder"], loaded["vae"]
    assert isinstance(model, Model)
    assert isinstance(encoder, TextEncoder)
    assert isinstance(vae, Vae)
    return model, encoder, vae


def state(session: Session, recipe: Any) -> State:
    loaded, _ = recipe.load(EXACT, session.files)
    network: nn.Module = loaded[0].encoder if isinstance(loaded, tuple) else loaded
    return dict(network.named_parameters())


FORMULAS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "weighted sum": lambda a, b, c: (1 - 0.3) * a + 0.3 * b,
    "add difference": lambda a, b, c: a + 0.3 * (b - c),
    "add": lambda a, b, c: a + 0.3 * b,
    "subtract": lambda a, b, c: 0.3 * (a - b),
}


@pytest.mark.parametrize(
    ("method", "part"), [*((method, 2) for method in FORMULAS), ("weighted sum", 0), ("add difference", 1)]
)
def test_every_tensor_follows_the_formula(
    session: Session, checkpoints: Path, method: Any, part: int
) -> None:
    a, b, c = (parts(session, name)[part] for name in (EMBEDDED, "b", "c"))
    node: Any = (MergeModels, MergeTextEncoders, MergeVaes)[part]
    third = {"c": c} if method == "add difference" else {}
    merged = run_node(session, node(a=a, b=b, **third, method=method, amount=0.3))["out"]
    states = [state(session, recipe) for recipe in (a, b, c)]
    found = state(session, merged)
    assert found.keys() == states[0].keys()
    for name, tensor in found.items():
        wanted = FORMULAS[method](*(one[name] for one in states))
        exact = method == "weighted sum"
        torch.testing.assert_close(tensor, wanted, atol=0 if exact else 1e-6, rtol=0 if exact else 1e-6)


PLACES = {
    "conv_in": 1,
    "down_blocks.0.resnets.0.conv1": 2,
    "down_blocks.0.downsamplers.0.conv": 4,
    "down_blocks.1.resnets.1.conv2": 6,
    "mid_block.resnets.0.conv1": 13,
    "up_blocks.0.resnets.0.conv1": 14,
    "up_blocks.3.resnets.2.conv2": 25,
    "time_embedding.linear_1": 0,
    "conv_out": 0,
}
"""The place of a layer in a list of BASE, IN00 to IN11, M00, OUT00 to OUT11 (A1111's names of SD 1)."""


def test_the_rest_of_the_network_may_be_part_of_the_list() -> None:
    assert block_lists.amounts("", 0.5) == ()
    for blocks in (25, 19):
        numbers = [n / 100 for n in range(blocks)]
        text = ",".join(map(str, numbers))
        assert block_lists.amounts(text, 0.5) == (0.5, *numbers)
        assert block_lists.amounts(f"0.75, {text}", 0.5) == (0.75, *numbers)


def test_block_merge_uses_the_amount_of_each_block(session: Session, checkpoints: Path) -> None:
    a, b = (parts(session, name)[0] for name in (EMBEDDED, "b"))
    amounts = [0.5, *(n / 25 for n in range(25))]
    text = ", ".join(map(str, amounts[1:]))
    merged = run_node(session, MergeModels(a=a, b=b, amount=0.5, blocks=text))["out"]
    one, two, found = (state(session, recipe) for recipe in (a, b, merged))
    present = {name for name in PLACES if f"{name}.weight" in found}
    assert len(present) > 5
    for name in present:
        amount = amounts[PLACES[name]]
        wanted = (1 - amount) * one[f"{name}.weight"] + amount * two[f"{name}.weight"]
        torch.testing.assert_close(found[f"{name}.weight"], wanted, atol=1e-6, rtol=0)


def test_merges_may_be_merged_and_keep_their_patches_apart(session: Session, checkpoints: Path) -> None:
    a, b, c = (parts(session, name)[0] for name in (EMBEDDED, "b", "c"))
    whole = run_node(session, MergeModels(a=a, b=b, c=c, method="add difference", amount=1.0))["out"]
    change = run_node(session, MergeModels(a=b, b=c, method="subtract", amount=1.0))["out"]
    assert isinstance(change, Model)
    step = run_node(session, MergeModels(a=a, b=change, method="add", amount=1.0))["out"]
    assert isinstance(step, Model)
    assert isinstance(whole, Model)
    assert step.identity != whole.identity
    assert step.digests == whole.digests == {one.checkpoint.digest for one in (a, b, c)}
    one, two = state(session, step), state(session, whole)
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, two[name], atol=2e-6, rtol=0)


def drawn(amount: float) -> dict[str, Any]:
    nodes = {
        "a": ("LoadModel", {"model": EMBEDDED}),
        "b": ("LoadModel", {"model": "b"}),
        "merge": (
            "MergeModels",
            {"a": {"from": "a.model"}, "b": {"from": "b.model"}, "amount": amount},
        ),
        "encoders": (
            "MergeTextEncoders",
            {"a": {"from": "a.encoder"}, "b": {"from": "b.encoder"}, "amount": amount},
        ),
        "text": ("EncodePrompt", {"encoder": {"from": "encoders.out"}, "prompt": "a red circle"}),
        "canvas": ("EmptyLatent", {"width": 64, "height": 64}),
        "denoise": (
            "Denoise",
            {
                "model": {"from": "merge.out"},
                "positive": {"from": "text.out"},
                "negative": {"from": "text.out"},
                "latent": {"from": "canvas.out"},
                "steps": 2,
            },
        ),
        "decode": ("Decode", {"vae": {"from": "a.vae"}, "latent": {"from": "denoise.latent"}}),
    }
    return {
        "safelight": 1,
        "nodes": {name: {"type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()},
        "outputs": {"image": {"from": "decode.out"}},
    }


def test_a_merge_draws_and_is_cached(home: Path, checkpoints: Path) -> None:
    pictures = {amount: run_graph(drawn(amount), home=home) for amount in (0.0, 0.5)}
    plain = drawn(0.0)
    plain["nodes"]["denoise"]["inputs"]["model"] = {"from": "a.model"}
    plain["nodes"]["text"]["inputs"]["encoder"] = {"from": "a.encoder"}
    alone = output(run_graph(plain, home=home)).pixels
    assert np.array_equal(output(pictures[0.0]).pixels, alone)
    assert not np.array_equal(output(pictures[0.5]).pixels, alone)
    assert computed(run_graph(drawn(0.5), home=home)) == set()


def test_a_merge_is_saved_as_a_checkpoint(session: Session, checkpoints: Path, home: Path) -> None:
    first, second = parts(session, EMBEDDED), parts(session, "b")
    nodes = (MergeModels, MergeTextEncoders, MergeVaes)
    merged: Any = [
        run_node(session, node(a=a, b=b, amount=0.3))["out"]
        for node, a, b in zip(nodes, first, second, strict=True)
    ]
    save = SaveModel(model=merged[0], encoder=merged[1], vae=merged[2], precision="float32")
    folder = Path(str(run_node(session, save)["out"]))
    for part, a, b in zip(PARTS, first, second, strict=True):
        (file,) = (folder / part).glob("*.safetensors")
        written, one, two = load_file(file), state(session, a), state(session, b)
        name = next(name for name in one if name.endswith("weight"))
        stored = next(key for key in written if key.endswith(name))
        torch.testing.assert_close(written[stored], 0.7 * one[name] + 0.3 * two[name], atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    ("inputs", "input", "message"),
    [
        ({"method": "add difference"}, "c", "needs the input c"),
        ({"blocks": "1,2,3"}, "blocks", "there are 3 amounts"),
        ({"blocks": ",".join(["1"] * 24 + ["x"])}, "blocks", "amount 25 is 'x'"),
        ({"blocks": ",".join(["1"] * 24 + ["nan"])}, "blocks", "not a number"),
    ],
)
def test_incompatible_models_are_not_merged(
    session: Session, checkpoints: Path, inputs: dict[str, Any], input: str, message: str
) -> None:
    a, b = (parts(session, name)[0] for name in (EMBEDDED, "b"))
    with pytest.raises(NodeError, match=message) as caught:
        run_node(session, MergeModels(a=a, b=b, **inputs))
    assert caught.value.input == input


class Net(nn.Module):
    """A convolution over some channels."""

    def __init__(self, channels: int, value: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, 1, bias=False)
        nn.init.constant_(self.conv.weight, value)


def test_an_inpainting_model_keeps_its_further_channels() -> None:
    """A1111's rule for a 9-channel A and a 4-channel B."""
    weight = weighted_sum([Net(9, 1.0), Net(4, 3.0)], [(0.5, ()), (0.5, ())]).conv.weight
    assert torch.equal(weight[:, :4], torch.full((2, 4, 1, 1), 2.0))
    assert torch.equal(weight[:, 4:], torch.full((2, 5, 1, 1), 1.0))
    with pytest.raises(ValueError, match="shapes"):
        weighted_sum([Net(4, 1.0), Net(9, 3.0)], [(0.5, ()), (0.5, ())])


def test_infinite_sums_are_refused() -> None:
    with pytest.raises(ValueError, match="infinite numbers in conv"):
        weighted_sum([Net(4, 3e38), Net(4, 3e38)], [(1.0, ()), (1.0, ())])
