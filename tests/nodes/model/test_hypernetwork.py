"""Hypernetworks against their formula, written out by hand, and in a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.devices.compute import ComputeSettings
from engine.document.graph import Entry, From, Graph, Literal
from engine.errors import GraphError
from engine.session import Session
from nodes.files.checkpoints import EMBEDDED, checkpoint
from nodes.files.patch_files import HYPERNETWORKS, LORAS, Patch, PatchFile
from nodes.sd.formats.json_file import ModelError
from nodes.sd.hypernetworks import network as hypernetwork
from nodes.values import Model
from tests import matrix
from tests.nodes.model.test_lora import drawn, graph, small, text_lora

COMPUTE = ComputeSettings()

CROSS = "down_blocks.0.attentions.0.transformer_blocks.0.attn2"


def rand(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.2


def saved(path: Path, width: int = 64, old: bool = False, **settings: Any) -> dict[Any, Any]:
    """A file as A1111 writes it, with one hidden layer of twice the width."""
    names = ("linear1", "linear2") if old else ("linear.0", settings.pop("second", "linear.1"))
    pair = []
    for side in range(2):
        made = {
            f"{names[0]}.weight": rand(10 * side + 1, 2 * width, width),
            f"{names[0]}.bias": rand(10 * side + 2, 2 * width),
            f"{names[1]}.weight": rand(10 * side + 3, width, 2 * width),
            f"{names[1]}.bias": rand(10 * side + 4, width),
        }
        pair.append(made)
    tree: dict[Any, Any] = {width: pair, "step": 100, "name": "x", "layer_structure": [1, 2, 1], **settings}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tree, path)
    return tree


def formula(state: dict[str, Tensor], x: Tensor, inner: Any = None, outer: Any = None) -> Tensor:
    """x + f(x) in float64."""
    same = lambda value: value  # noqa: E731
    (w1, b1), (w2, b2) = list(zip(*[iter(t.double() for t in state.values())] * 2, strict=True))
    hidden = (inner or same)(x.double() @ w1.T + b1)
    whole: Tensor = x.double() + (outer or same)(hidden @ w2.T + b2)
    return whole


@pytest.mark.parametrize(
    ("settings", "inner", "outer"),
    [
        ({}, None, None),
        ({"activation_func": "relu", "second": "linear.2"}, torch.relu, torch.relu),
        ({"activation_func": "relu", "second": "linear.2", "activate_output": False}, torch.relu, None),
        (
            {"activation_func": "swish", "second": "linear.2"},
            nn.functional.hardswish,
            nn.functional.hardswish,
        ),
        ({"activation_func": "tanh", "second": "linear.2", "activate_output": True}, torch.tanh, torch.tanh),
        ({"use_dropout": True, "second": "linear.1"}, None, None),
        ({"dropout_structure": [0, 0.3, 0], "second": "linear.2"}, None, None),
    ],
)
def test_keys_and_values_are_read_through_it(
    session: Session, tmp_path: Path, settings: dict[str, Any], inner: Any, outer: Any
) -> None:
    tree = saved(tmp_path / "x.pt", **settings)
    loaded = hypernetwork.read(tmp_path / "x.pt")
    base = session.residency.use(Model(checkpoint(session.files, EMBEDDED)), COMPUTE, session.files)
    network, added = hypernetwork.apply(base, [(0.6, loaded)])
    assert added == 0, "on the host, the hypernetwork itself is used"
    attention, plain = network.get_submodule(CROSS), base.get_submodule(CROSS)
    x = rand(99, 2, 7, 64) * 5
    worst = 0.0
    for place, side in enumerate(("to_k", "to_v")):
        weight = plain.get_submodule(side).get_parameter("weight").double()
        whole = formula(tree[64][place], x, inner, outer)
        wanted = (x.double() + 0.6 * (whole - x.double())) @ weight.T
        found = attention.get_submodule(side)(x).double()
        worst = max(worst, float((found - wanted).abs().max() / wanted.abs().max()))
    assert worst < 1e-6
    assert torch.equal(attention.get_submodule("to_q")(x), plain.get_submodule("to_q")(x))
    case = ", ".join(f"{key} {value}" for key, value in settings.items() if key != "second") or "linear"
    matrix.record("Hypernetworks (A1111)", case, "x + s·f(x) before to_k and to_v", error=worst)


def test_two_in_a_row_and_over_a_lora(session: Session, home: Path) -> None:
    folder = home / "models"
    for number in (1, 2):
        saved(folder / "hypernetworks" / f"{number}.pt", activation_func="relu", second="linear.2")
    small(folder / "loras", "both.safetensors", text_lora())
    files = session.files
    found = checkpoint(files, EMBEDDED)
    lora = Patch(
        PatchFile(LORAS, files.digest(folder / "loras" / "both.safetensors"), "both.safetensors"), 0.5
    )
    nets = [
        Patch(
            PatchFile(HYPERNETWORKS, files.digest(folder / "hypernetworks" / f"{n}.pt"), f"{n}.pt"), 0.3 * n
        )
        for n in (1, 2)
    ]
    whole = session.residency.use(Model(found, (nets[0], lora, nets[1])), COMPUTE, files)
    only = session.residency.use(Model(found, (lora,)), COMPUTE, files)
    states = [hypernetwork.read(folder / "hypernetworks" / f"{n}.pt") for n in (1, 2)]
    x = rand(99, 1, 7, 64)
    fed = x
    for strength, state in zip((0.3, 0.6), states, strict=True):
        fed = fed + strength * state.pairs[64][0](fed)
    wanted = only.get_submodule(CROSS).get_submodule("to_k")(fed)
    assert torch.allclose(whole.get_submodule(CROSS).get_submodule("to_k")(x), wanted, atol=1e-6)


def with_hypernetwork(**inputs: Any) -> Graph:
    made = graph()
    links: dict[str, Any] = {"model": From("model", "model")}
    links |= {key: Literal(value) for key, value in inputs.items()}
    made.nodes["hyper"] = Entry("ApplyHypernetwork@1", links)
    made.nodes["denoise"].inputs["model"] = From("hyper", "out")
    return made


def test_a_hypernetwork_changes_a_picture_except_at_strength_0(session: Session, home: Path) -> None:
    saved(home / "models" / "hypernetworks" / "x.pt")
    plain = drawn(session, graph())
    assert np.array_equal(drawn(session, with_hypernetwork(hypernetwork="x.pt", strength=0.0)), plain)
    assert not np.array_equal(drawn(session, with_hypernetwork(hypernetwork="x.pt")), plain)
    assert np.array_equal(drawn(session, graph()), plain)


def test_files_of_2022_name_their_layers_otherwise(tmp_path: Path) -> None:
    new, old = tmp_path / "new.pt", tmp_path / "old.pt"
    saved(new)
    saved(old, old=True)
    x = rand(5, 3, 64)
    one, two = (hypernetwork.read(path).pairs[64][0](x) for path in (new, old))
    assert torch.equal(one, two)


@pytest.mark.parametrize(
    "damage",
    [
        {"layer_structure": [2, 1]},
        {"layer_structure": [1, 10_000, 1]},
        {"layer_structure": "1,2,1"},
        {"layer_structure": [1, 3, 1]},
        {"activation_func": "system"},
        {64: "no pair"},
        {64: [{"linear.0.weight": 3}, {}]},
        {64: [{"linear.0.weight": torch.full((128, 64), torch.nan)}, {}]},
        {"is_layer_norm": True},
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, damage: dict[Any, Any]) -> None:
    tree = {**saved(tmp_path / "x.pt"), **damage}
    torch.save(tree, tmp_path / "x.pt")
    with pytest.raises(ModelError, match=r"x\.pt"):
        hypernetwork.read(tmp_path / "x.pt")


def test_a_lora_in_its_place_is_refused_by_name(session: Session, home: Path) -> None:
    small(home / "models" / "hypernetworks", "lora.safetensors", text_lora())
    with pytest.raises(GraphError, match=r"lora\.safetensors") as refused:
        session.run(with_hypernetwork(hypernetwork="lora.safetensors"))
    assert refused.value.problems[0].code == "wrong_kind"
