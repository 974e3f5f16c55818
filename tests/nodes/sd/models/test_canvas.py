"""The warning about a canvas far larger than a model was trained for, and its estimate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import settings
from engine.devices.memory import in_units
from engine.document.graph import Graph
from engine.document.reader import from_json
from engine.session import Session
from nodes.sd.models.canvas import far_larger
from nodes.sd.models.estimates import decoding_bytes, sampling_bytes, scores_bytes, slower


def test_the_time_is_that_of_a_unet_of_stable_diffusion() -> None:
    """0.803 and 2.148 TFLOP: counted by torch's flop counter for the UNet of SD 1.5 at 512 and 768."""
    assert slower(1.0) == pytest.approx(1.0)
    assert slower((768 / 512) ** 2) == pytest.approx(2.148 / 0.803, rel=0.01)


def test_the_memory_is_that_of_decoding() -> None:
    """Measured with the VAE of SD 1: 1,018 MiB at 512 and 336 MiB at 256, in float32 on a CPU."""
    measured = (1018 - 336) * 2**20
    assert decoding_bytes((512, 512)) - decoding_bytes((256, 256)) == pytest.approx(measured, rel=0.05)


def test_the_memory_of_a_step_is_that_of_sd_15() -> None:
    """Measured in float32 on a CPU for one row: 269 MiB at 512 and 170 MiB at 256."""
    measured = (268.9 - 170.3) * 2**20
    assert sampling_bytes((512, 512), 1) - sampling_bytes((256, 256), 1) == pytest.approx(measured, rel=0.05)
    half = sampling_bytes((512, 512), 2, itemsize=2, config={"block_out_channels": [320, 640]})
    assert half == sampling_bytes((512, 512), 1)


def test_the_memory_of_a_step_is_that_of_flux() -> None:
    """Measured in float32 on a CPU for one row of two blocks with 768 channels at 1024: 243 MiB."""
    config = {"num_attention_heads": 6, "attention_head_dim": 128, "patch_size": 1}
    found = sampling_bytes((1024, 1024), 1, config=config, patch=2, text=512)
    assert found == pytest.approx(243.3 * 2**20, rel=0.05)


def test_twice_the_sides_is_usual_and_more_is_far_larger() -> None:
    assert far_larger((512, 512), (1024, 1024)) is None
    assert far_larger((1024, 1024), (2048, 2048)) is None
    warning = far_larger((512, 512), (2048, 2048))
    assert warning is not None
    assert "2048 x 2048 is 16 times the area" in warning
    assert "52 times as long" in warning
    assert in_units(decoding_bytes((2048, 2048))) in warning
    assert "plain" not in warning


def test_attention_that_keeps_its_scores_is_named_with_what_it_takes() -> None:
    plain, sliced = (far_larger((512, 512), (2048, 2048), kind) for kind in ("plain", "sliced"))
    assert plain is not None
    assert scores_bytes((2048, 2048), "plain") == 65_536**2 * 8 * 2 * 4, "cells squared, heads, rows, float32"
    assert in_units(scores_bytes((2048, 2048), "plain")) in plain
    assert sliced is not None
    assert in_units(scores_bytes((2048, 2048), "sliced")) in sliced


def graph(width: Any, **denoise: Any) -> Graph:
    nodes = {
        "load": {"type": "LoadModel"},
        "lora": {"type": "ApplyHypernetwork", "inputs": {"model": {"from": "load.model"}, "strength": 0.0}},
        "text": {"type": "EncodePrompt", "inputs": {"encoder": {"from": "load.encoder"}, "prompt": ""}},
        "empty": {"type": "EmptyLatent", "inputs": {"width": width, "height": 320}},
        "denoise": {
            "type": "Denoise",
            "inputs": {
                "model": {"from": "lora.out"},
                "positive": {"from": "text.out"},
                "negative": {"from": "text.out"},
                "latent": {"from": "empty.out"},
                "steps": 1,
                "strength": 0.0,
            },
        },
    }
    return from_json({"safelight": 1, "nodes": nodes, "outputs": {"out": {"from": "denoise.latent"}}})


def test_a_check_warns_if_the_size_is_written_in_the_graph_and_a_run_warns_in_any_case(
    tmp_path: Path,
) -> None:
    with Session(settings.load(tmp_path, device="cpu")) as session:
        (advice,) = session.advice(session.check(graph(320)))
        assert (advice.code, advice.node, advice.severity) == ("large_canvas", "denoise", "warning")
        assert advice.message == far_larger((128, 128), (320, 320))
        assert session.advice(session.check(graph(128))) == []
        report = session.run(graph(320))
        assert report.state == "done", report.problems
        assert report.warnings["denoise"] == [advice.message]
