"""Models that are damaged, overflow or are replaced during a run: an error or the right picture."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine import settings
from engine.devices.compute import ComputeSettings
from engine.devices.memory import DeviceMemory
from engine.errors import Problem
from engine.events import Event, Progress
from engine.run.report import Report
from engine.session import Session
from engine.sources import source
from engine.testing import run_node
from nodes.files.checkpoints import checkpoint
from nodes.latent.decode import Decode
from nodes.sd.formats.safetensors_header import read_header
from nodes.values import Latent, Vae
from tests.nodes.conftest import GRAPHS, output, warnings
from tests.nodes.sd.families.small import small_model

GRAPH = source.load(GRAPHS / "text_to_image.json")
SMALL: dict[str, Any] = {"prompt": "a cat", "steps": 2, "width": 64, "height": 64}
UNET, VAE = "model.diffusion_model.", "first_stage_model."


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SD 1 model in a file."""
    place = tmp_path_factory.mktemp("model") / "whole.safetensors"
    small_model("sd1").save_file(place)
    return place


@pytest.fixture
def models(home: Path) -> Path:
    place = home / "models" / "checkpoints"
    place.mkdir(parents=True)
    return place


def changed(whole: Path, place: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Write the model with some of its tensors changed."""
    tensors = load_file(whole)
    names = [key for key in tensors if key.startswith(name)]
    assert names
    tensors |= {key: change(tensors[key]) for key in names}
    with safe_open(whole, "pt") as file:
        save_file(tensors, place, file.metadata())


def with_nan(tensor: torch.Tensor) -> torch.Tensor:
    damaged = tensor.clone()
    damaged.view(-1)[-1] = torch.nan
    return damaged


def largest(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.sign() * 3e38


def problem(report: Report, node: str) -> Problem:
    """The only problem of a run."""
    assert [name for name, fared in report.nodes.items() if fared.state == "failed"] == [node]
    found = report.nodes[node].problem
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "change", "node", "code"),
    [
        (f"{UNET}out.2.weight", with_nan, "denoise", "bad_model"),
        (f"{UNET}out.2.weight", largest, "denoise", "not_finite"),
        (f"{VAE}decoder.conv_out.weight", largest, "decode", "not_finite"),
    ],
    ids=["NaN in the UNet", "a UNet that overflows", "a VAE that overflows"],
)
def test_numbers_that_are_not_finite_are_an_error_and_no_black_picture(
    session: Session, whole: Path, models: Path, name: str, change: Any, node: str, code: str
) -> None:
    changed(whole, models / "bad.safetensors", name, change)
    report = session.run(GRAPH, {**SMALL, "model": "bad"})
    assert problem(report, node).code == code
    assert "image" not in report.outputs


@pytest.mark.parametrize(
    ("size", "node", "code"),
    [
        ({"width": 8192, "height": 8192, "batch": 15}, "canvas", "too_large"),
        ({"width": 8192, "height": 8192}, "denoise", "too_large"),
    ],
    ids=["10^9 pixels", "more than the device has"],
)
def test_a_huge_picture_is_refused_before_anything_is_loaded(
    session: Session, monkeypatch: pytest.MonkeyPatch, size: dict[str, int], node: str, code: str
) -> None:
    monkeypatch.setattr(session.residency, "_memory", lambda device: DeviceMemory(2**30, 2**30))
    report = session.run(GRAPH, {**SMALL, **size}, targets=[node])
    assert problem(report, node).code == code
    assert all(row.size < 2**20 or "unet" not in str(row.identity) for row in session.residency.ledger())


def overwrite(path: Path, other: Path) -> None:
    """Write the UNet of another file into a file, as a program does that opens it for writing."""
    data = other.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data[start:])


def rename(path: Path, other: Path) -> None:
    """Put another file in the place of a file, as downloads do."""
    shutil.copy(other, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


@pytest.mark.parametrize(("replace", "fails"), [(overwrite, "denoise"), (rename, "decode")])
def test_a_file_that_is_replaced_during_a_run_never_gives_a_mixture(
    session: Session, whole: Path, models: Path, replace: Callable[[Path, Path], None], fails: str
) -> None:
    """Weights are mapped from the file: what is written into it appears in a UNet that is at work.

    A UNet of a file that was replaced by another has the old bytes and finishes.
    """
    path, other = models / "model.safetensors", models / "other.safetensors"
    shutil.copy(whole, path)
    changed(whole, other, UNET, lambda tensor: tensor * 1.1)
    assert read_header(path).entries.keys() == read_header(other).entries.keys()

    def emit(event: Event) -> None:
        if isinstance(event, Progress) and event.node == "denoise" and path.stat().st_size:
            replace(path, other)

    report = session.run(GRAPH, {**SMALL, "model": "model"}, emit=emit)
    assert problem(report, fails).code == "changed_file"
    after = output(session.run(GRAPH, {**SMALL, "model": "model"}))
    assert np.array_equal(after.pixels, output(session.run(GRAPH, {**SMALL, "model": "other"})).pixels)


def test_a_vae_that_overflows_in_half_precision_decodes_in_float32_with_a_warning(
    home: Path, whole: Path, models: Path
) -> None:
    """As SDXL's VAE does: its weights fit into float16, and its activations do not."""
    changed(whole, models / "large.safetensors", f"{VAE}decoder.conv_in.weight", lambda weight: weight * 2e5)
    latent = Latent(torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)))
    pictures: list[Any] = []
    for dtype in ("float32", "float16", "bfloat16"):
        with Session(settings.load(home, device="cpu", vae_dtype=dtype)) as session:
            events: list[Event] = []
            node = Decode(vae=Vae(checkpoint(session.files, "large")), latent=latent)
            pictures.append(run_node(session, node, emit=events.append)["out"])
            assert len(warnings(events)) == (dtype == "float16")
    exact, again, half = (picture.pixels for picture in pictures)
    assert np.array_equal(exact, again)
    assert not np.array_equal(exact, half), "bfloat16 has the range of float32"


def test_the_precision_of_the_vae_is_part_of_the_key() -> None:
    settled = [ComputeSettings(vae_dtype=dtype).signature for dtype in ("float32", "float16", "bfloat16")]
    assert len(set(settled)) == 3
    assert settled[0] == ComputeSettings().signature
