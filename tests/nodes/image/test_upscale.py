"""LoadUpscaler and UpscaleImage in a home, and how `safelight models` lists upscale models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.cli import main
from engine.devices.compute import ComputeSettings
from engine.errors import NodeError
from engine.events import Progress
from engine.session import Session
from engine.testing import computed, output, run_graph, run_node
from nodes.files.upscaler_files import Upscaler
from nodes.image.upscale import LoadUpscaler, UpscaleImage
from nodes.values import Image
from tests.nodes.sd.upscalers.files import compact_formula, compact_state, rrdb_state

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 20, 24, 3), np.uint8)


@pytest.fixture
def models(home: Path) -> Path:
    folder = home / "models" / "upscale_models"
    (folder / "esrgan").mkdir(parents=True)
    torch.save({"params_ema": rrdb_state(blocks=1)}, folder / "esrgan" / "x4.pth")
    save_file(compact_state(), folder / "general.safetensors")
    return folder


def upscaler(session: Session, name: str = "general") -> Upscaler:
    found = run_node(session, LoadUpscaler(upscaler=name))["out"]
    assert isinstance(found, Upscaler)
    return found


def test_a_picture_becomes_larger_as_the_formula_says(session: Session, models: Path) -> None:
    events: list[Any] = []
    node = UpscaleImage(upscaler=upscaler(session), image=Image(PIXELS), tile=64, overlap=8)
    image = run_node(session, node, emit=events.append)["out"]
    assert isinstance(image, Image)
    assert image.pixels.shape == (2, 80, 96, 3)
    picture = torch.from_numpy(PIXELS[1]).permute(2, 0, 1)[None].double() / 255
    wanted = compact_formula(compact_state(), picture, 4)[0].permute(1, 2, 0).clamp(0, 1) * 255
    assert np.abs(image.pixels[1] - wanted.numpy()).max() <= 0.51
    progress = [event for event in events if isinstance(event, Progress)]
    assert (progress[-1].value, progress[-1].total) == (2, 2)


def test_tiles_give_the_same_picture(session: Session, models: Path) -> None:
    recipe = upscaler(session)
    whole, tiled = (
        run_node(session, UpscaleImage(upscaler=recipe, image=Image(PIXELS), tile=tile, overlap=8))["out"]
        for tile in (0, 20)
    )
    assert isinstance(whole, Image)
    assert isinstance(tiled, Image)
    assert np.abs(whole.pixels.astype(int) - tiled.pixels).max() <= 1


def test_the_size_is_known_before_the_model_is_loaded(session: Session, models: Path) -> None:
    for name in ("general", "x4"):
        recipe = upscaler(session, name)
        for compute in (ComputeSettings(), ComputeSettings(dtype="bfloat16")):
            _, size = recipe.load(compute, session.files)
            assert size == recipe.size(compute, session.files) > 0


def test_a_moved_model_is_found_and_a_changed_one_is_another(
    home: Path, models: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "a.png"
    Image(PIXELS).pil().save(picture)
    graph = {
        "safelight": 1,
        "nodes": {
            "picture": {"type": "LoadImage", "inputs": {"image": str(picture)}},
            "load": {"type": "LoadUpscaler", "inputs": {"upscaler": "general"}},
            "up": {
                "type": "UpscaleImage",
                "inputs": {"upscaler": {"from": "load.out"}, "image": {"from": "picture.out"}},
            },
        },
        "outputs": {"image": {"from": "up.out"}},
    }
    first = run_graph(graph, home=home)
    assert output(first).pixels.shape == (1, 80, 96, 3)
    (models / "general.safetensors").rename(models / "esrgan" / "general.safetensors")
    assert "up" not in computed(run_graph(graph, home=home))
    save_file(compact_state(scale=2), models / "esrgan" / "general.safetensors")
    again = run_graph(graph, home=home)
    assert output(again).pixels.shape == (1, 40, 48, 3)


def test_models_are_listed_with_their_kind(
    home: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "--home", str(home), "--json", "--kind", "upscaler"]) == 0
    rows = json.loads(capsys.readouterr().out)["models"]
    assert {row["file"]: (row["kind"], row["problem"]) for row in rows} == {
        "general.safetensors": ("upscaler", None),
        "esrgan/x4.pth": ("upscaler", None),
    }


def test_a_lora_is_not_an_upscale_model(session: Session, models: Path) -> None:
    key = "lora_unet_mid_block_attentions_0_proj_in"
    pair = {f"{key}.lora_{side}.weight": torch.zeros(4, 4) for side in ("up", "down")}
    save_file(pair, models / "ink.safetensors")
    with pytest.raises(NodeError, match="is a LoRA, not an upscale model") as caught:
        run_node(session, LoadUpscaler(upscaler="ink"))
    assert (caught.value.input, caught.value.code) == ("upscaler", "wrong_kind")
    with pytest.raises(NodeError, match="nothing"):
        run_node(session, LoadUpscaler(upscaler="nothing"))


def test_a_result_without_room_is_refused(session: Session, models: Path) -> None:
    wide = Image(np.zeros((1, 3000, 3000, 3), np.uint8))
    with pytest.raises(NodeError, match="would be 12000 x 12000") as caught:
        run_node(session, UpscaleImage(upscaler=upscaler(session), image=wide))
    assert caught.value.input == "image"


def test_numbers_that_overflow_are_an_error_and_not_a_white_picture(session: Session, models: Path) -> None:
    state = {name: tensor * 1e9 for name, tensor in compact_state().items()}
    save_file(state, models / "huge.safetensors")
    with pytest.raises(NodeError, match="NaN") as caught:
        run_node(session, UpscaleImage(upscaler=upscaler(session, "huge"), image=Image(PIXELS)))
    assert caught.value.code == "not_finite"
