"""Small trainings for tests: four pictures of squares, and latents of 4 x 4."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as pillow

from engine.document.graph import Entry, From, Graph, Literal
from engine.run.report import Report

SMALL: dict[str, Any] = {"name": "ink", "width": 32, "height": 32, "sample_every": 0, "batch": 2}


def draw_squares(folder: Path) -> Path:
    """Write four pictures of a square, with captions in their names."""
    for number, colour in enumerate(("red", "blue", "green", "white")):
        pixels = np.full((32, 32, 3), (40, 75, 210), np.uint8)
        pixels[6 + number : 22 + number, 8:24] = (220, 40, 40 * number)
        pillow.fromarray(pixels).save(folder / f"{number}-a {colour} square.png")
    return folder


def training(node: str, pictures: Path, outputs: Iterable[str], **inputs: Any) -> Graph:
    """A graph that trains on a folder with a node, whose id is `train`."""
    wired = {part: From("model", part) for part in ("model", "encoder", "vae")}
    given = {key: Literal(value) for key, value in {**SMALL, **inputs}.items()}
    return Graph(
        nodes={
            "model": Entry("LoadModel@1", {}),
            "data": Entry("LoadDataset@2", {"folder": Literal(str(pictures))}),
            "train": Entry(node, {**wired, "dataset": From("data", "out"), **given}),
        },
        outputs={name: From("train", name) for name in outputs},
    )


def problem_of(report: Report, node: str = "train") -> tuple[str | None, str]:
    """The input and the code of a node's problem."""
    problem = report.nodes[node].problem
    assert problem is not None
    return problem.input, problem.code
