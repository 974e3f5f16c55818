"""Upscale models from files of every layout, against the published formulas."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from nodes.sd.formats.json_file import ModelError
from nodes.sd.inspection.facts import facts_of
from nodes.sd.upscalers.file import UpscaleNetwork, read, weight_count
from tests.nodes.sd.upscalers.files import (
    State,
    as_first_esrgan,
    as_mmsr,
    compact_formula,
    compact_state,
    noise,
    rrdb_formula,
    rrdb_state,
)


def run(network: UpscaleNetwork, picture: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = network.module(picture[None])
    return result


def wrapped(state: State, key: str, path: Path, *more: State) -> Path:
    torch.save({**{f"other{n}": tree for n, tree in enumerate(more)}, key: state}, path)
    return path


LAYOUTS: dict[str, Callable[[State, Path], object]] = {
    "BasicSR": lambda state, path: torch.save({"params": state}, path),
    "averaged": lambda state, path: torch.save(
        {"params": {name: tensor * 0 for name, tensor in state.items()}, "params_ema": state}, path
    ),
    "first ESRGAN": lambda state, path: torch.save(as_first_esrgan(state), path),
    "mmsr": lambda state, path: torch.save(as_mmsr(state), path),
    "plain": torch.save,
    "parallel": lambda state, path: torch.save({f"module.{name}": t for name, t in state.items()}, path),
    "safetensors": save_file,
    "half": lambda state, path: save_file({name: t.half().contiguous() for name, t in state.items()}, path),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_published_network(tmp_path: Path, layout: str) -> None:
    state = rrdb_state()
    if layout == "half":
        state = {name: tensor.half().float() for name, tensor in state.items()}
    path = tmp_path / "x.pth"
    LAYOUTS[layout](state, path)
    (facts,) = facts_of([path])
    assert (facts.kind, facts.code) == ("upscaler", None)
    network = read(path)
    assert (network.scale, network.multiple) == (4, 1)
    assert weight_count(path) == sum(tensor.numel() for tensor in state.values())
    picture = noise(9, 7)
    torch.testing.assert_close(
        run(network, picture).double(), rrdb_formula(state, picture[None]), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    ("ups", "channels", "scale", "multiple"),
    [(0, 3, 1, 1), (1, 3, 2, 1), (3, 3, 8, 1), (2, 12, 2, 2), (2, 48, 1, 4)],
)
@pytest.mark.parametrize("layout", ["BasicSR", "first ESRGAN"])
def test_the_scale_follows_from_the_tensors(
    tmp_path: Path, layout: str, ups: int, channels: int, scale: int, multiple: int
) -> None:
    state = rrdb_state(blocks=1, ups=ups, channels=channels)
    path = tmp_path / "x.pth"
    LAYOUTS[layout](state, path)
    network = read(path)
    assert (network.scale, network.multiple) == (scale, multiple)
    picture = noise(8, 12)
    wanted = rrdb_formula(state, picture[None], multiple)
    assert wanted.shape[2:] == (8 * scale, 12 * scale)
    torch.testing.assert_close(run(network, picture).double(), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("scale", "convolutions"), [(4, 3), (2, 1), (1, 2)])
@pytest.mark.parametrize("layout", ["BasicSR", "safetensors"])
def test_a_compact_network_follows_its_formula(
    tmp_path: Path, layout: str, scale: int, convolutions: int
) -> None:
    state = compact_state(convolutions=convolutions, scale=scale)
    path = tmp_path / "x.pth"
    LAYOUTS[layout](state, path)
    assert facts_of([path])[0].kind == "upscaler"
    network = read(path)
    assert network.scale == scale
    picture = noise(7, 10)
    wanted = compact_formula(state, picture[None], scale)
    torch.testing.assert_close(run(network, picture).double(), wanted, atol=1e-5, rtol=0)


def without(name: str) -> State:
    state = rrdb_state(blocks=1)
    del state[name]
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            {**rrdb_state(blocks=1), "body.0.rdb1.conv1x1.weight": torch.zeros(4, 8, 1, 1)},
            "does not run this",
        ),
        (without("body.0.rdb2.conv3.bias"), "does not run this"),
        ({**rrdb_state(blocks=1), "conv_hr.weight": torch.zeros(8, 8, 1, 1)}, "does not run this"),
        ({**rrdb_state(blocks=1), "conv_hr.bias": torch.full((8,), torch.nan)}, "NaN or infinity"),
        (rrdb_state(blocks=1, channels=4), "takes 4 channels"),
        ({**rrdb_state(blocks=1), "body.600.rdb1.conv1.weight": torch.zeros(1)}, "implausible size"),
        ({"conv_first.weight": torch.zeros(8, 3, 3, 3), "layers.0.x": torch.zeros(1)}, "install spandrel"),
    ],
    ids=["ESRGAN+", "missing", "shape", "NaN", "channels", "deep", "SwinIR"],
)
def test_another_network_is_refused(tmp_path: Path, state: State, message: str) -> None:
    path = tmp_path / "x.pth"
    torch.save(state, path)
    with pytest.raises(ModelError, match=message):
        read(path)


def test_no_code_in_a_pickle_is_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return open, (str(tmp_path / "run"), "w")

    torch.save({"params": rrdb_state(blocks=1), "bomb": Bomb()}, tmp_path / "x.pth")
    with pytest.raises(ModelError):
        read(tmp_path / "x.pth")
    assert not (tmp_path / "run").exists()


def test_other_networks_are_built_by_spandrel_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[State] = []

    class ModelLoader:
        def __init__(self, device: str) -> None:
            assert device == "cpu"

        def load_from_state_dict(self, state: State) -> SimpleNamespace:
            given.append(state)
            sizes = SimpleNamespace(multiple_of=8, minimum=0, square=False)
            model = nn.Upsample(scale_factor=2)
            return SimpleNamespace(
                model=model, scale=2, input_channels=3, output_channels=3, size_requirements=sizes
            )

    spandrel = ModuleType("spandrel")
    spandrel.ModelLoader = ModelLoader  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spandrel", spandrel)
    state = {"conv_first.weight": torch.ones(8, 3, 3, 3), "layers.0.x": torch.ones(1)}
    network = read(wrapped(state, "params", tmp_path / "x.pth"))
    assert (network.scale, network.multiple) == (2, 8)
    assert {name: tensor.tolist() for name, tensor in given[0].items()} == {
        name: tensor.tolist() for name, tensor in state.items()
    }
