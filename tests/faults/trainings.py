"""Trains in children of one process with torch, and kills them on request."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
import typing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image as pillow

from engine import failpoints, settings
from engine.document.graph import Entry, From, Graph, Literal
from engine.events import Event, Metrics, Warned
from engine.failpoints import Fault
from engine.session import Session
from engine.values import sha256

ROOT = Path(__file__).parents[2]
STEPS = 6
MODEL = "small.safetensors"
EVERY = 2
"""A checkpoint is saved after so many steps."""
HANGS_AFTER = 240
"""Seconds."""
OWN: dict[str, dict[str, Any]] = {
    "embedding": {"initial_text": "shape"},
    "lora": {
        "rank": 2,
        "dropout": 0.3,
        "text_rate": "1e-3",
        "patterns": "up_blocks.1.*.to_?, encoder.layers.1.*.q_proj",
    },
    "pivotal": {"initial_text": "shape", "rank": 2, "dropout": 0.3, "patterns": "up_blocks.1.*.to_?"},
    "hypernetwork": {"layer_structure": "1, 2, 2, 1", "activation": "relu", "dropout": 0.3, "rate": "1e-3"},
    "model": {"drop_captions": 0.3},
}
"""The inputs of each kind of training."""
NODES: dict[str, tuple[str, str, str, str]] = {
    "embedding": ("TrainTI@1", "embedding", "SaveEmbedding@1", "embedding"),
    "lora": ("TrainLoRA@1", "lora", "SaveLoRA@1", "lora"),
    "pivotal": ("TrainPivotal@1", "lora", "SaveLoRA@1", "lora"),
    "hypernetwork": ("TrainHypernetwork@1", "hypernetwork", "SaveHypernetwork@1", "hypernetwork"),
    "model": ("TrainModel@1", "model", "SaveModel@1", "model"),
}
"""The node that trains and its output, and the node that saves and its input."""
Kind = typing.Literal["embedding", "lora", "pivotal", "hypernetwork", "model"]


@dataclass(frozen=True)
class TrainingJob:
    """One run of a graph that trains for `STEPS` steps and saves the result to a file."""

    home: str
    data: str
    """The folder that `draw_data` filled."""
    trained: Kind = "embedding"
    kill_in: int | None = None
    """The step, counted from 1, in which the process kills itself after the gradient is computed."""
    fault: tuple[str, str] | None = None
    """A site and the kind of a fault, when a checkpoint is written."""
    fault_at: int = 0
    """The step at whose checkpoint the fault is."""


@dataclass(frozen=True)
class TrainingEnd:
    """How a run ended."""

    killed: bool
    state: str = ""
    steps: list[int] = field(default_factory=list)
    """The steps that it trained."""
    digest: str = ""
    """The sha256 of the saved file."""
    warnings: list[str] = field(default_factory=list)
    error: str = ""


class Trainings:
    """The process whose children train."""

    def __init__(self) -> None:
        line = [sys.executable, "-m", "tests.faults.trainings"]
        self._process = subprocess.Popen(
            line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, *jobs: TrainingJob) -> list[TrainingEnd]:
        """Do jobs at the same time, and wait for all of them."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([asdict(job) for job in jobs]) + "\n")
        self._process.stdin.flush()
        return [TrainingEnd(**ended) for ended in json.loads(self._process.stdout.readline())]

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=HANGS_AFTER)


def draw_data(folder: Path) -> None:
    """Write pictures to train on, one that is held out, and a model with a UNet of two levels."""
    from tests.nodes.sd.families.small import small_model

    for number in range(5):
        place = folder / ("held_out" if number == 4 else "pictures")
        place.mkdir(exist_ok=True)
        pixels = np.full((32, 32, 3), (40, 75, 210), np.uint8)
        pixels[6 + number : 22 + number, 8:24] = (220, 40, 40)
        pillow.fromarray(pixels).save(place / f"{number}-red square.png")
    levels: dict[str, Any] = {
        "block_out_channels": [32, 32],
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
        "layers_per_block": 1,
    }
    small_model("sd1", **levels).save_file(folder / MODEL)


def graph(job: TrainingJob) -> Graph:
    """Trains on latents of 4 x 4, with everything on that a checkpoint must hold."""
    given: dict[str, Any] = {
        "name": "zzz",
        "width": 32,
        "height": 32,
        "batch": 2,
        "steps": STEPS,
        "checkpoint_every": EVERY,
        "sample_every": 0,
        "copy_every": 0,
        "validate_every": 5,
        "average": 0.9,
        "latent_sampling": "random",
    }
    given |= OWN[job.trained]
    train, output, save, input = NODES[job.trained]
    wired = {part: From("model", part) for part in ("model", "encoder", "vae")}
    data = {"dataset": From("data", "out"), "validation": From("held_out", "out")}
    inputs: dict[str, Any] = {**wired, **data, **{k: Literal(v) for k, v in given.items()}}
    more: dict[str, Any] = {}
    if job.trained == "model":
        more = {part: From("model", part) for part in ("encoder", "vae")} | {"format": Literal("file")}
    return Graph(
        nodes={
            "model": Entry("LoadModel@1", {"model": Literal(f"{job.data}/{MODEL}")}),
            "data": Entry("LoadDataset@2", {"folder": Literal(f"{job.data}/pictures")}),
            "held_out": Entry("LoadDataset@2", {"folder": Literal(f"{job.data}/held_out")}),
            "train": Entry(train, inputs),
            "save": Entry(save, {**more, input: From("train", output)}),
        },
        outputs={"file": From("save", "out")},
    )


def do(job: TrainingJob) -> TrainingEnd:
    """Run the graph in this process."""
    from nodes.sd.training_loop.loop import Training

    whole_backward, whole_save = Training._backward, Training.save
    events: list[Event] = []

    def backward(self: Training, loss: Any) -> tuple[float, float]:
        found = whole_backward(self, loss)
        if self.done + 1 == job.kill_in:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    def save(self: Training) -> None:
        if job.fault is not None and self.done == job.fault_at:
            failpoints.arm(Fault(job.fault[0], 1, job.fault[1], 1))  # type: ignore[arg-type]
        try:
            whole_save(self)
        finally:
            failpoints.disarm()

    with (
        mock.patch.object(Training, "_backward", backward),
        mock.patch.object(Training, "save", save),
        Session(settings.load(Path(job.home), device="cpu")) as session,
    ):
        report = session.run(graph(job), emit=events.append)
    rows = [row for event in events if isinstance(event, Metrics) for row in event.rows]
    resumed = max((number for number, row in enumerate(rows) if "resumed" in row), default=-1)
    saved = report.outputs.get("file")
    return TrainingEnd(
        killed=False,
        state=report.state,
        steps=[int(row["step"] or 0) for row in rows[resumed + 1 :] if "loss" in row],
        digest="" if saved is None else sha256(Path(str(saved.meta)).read_bytes()),
        warnings=[event.message for event in events if isinstance(event, Warned)],
    )


def _serve() -> None:
    import torch

    import nodes.sd.fine_tuning.samples
    import nodes.sd.fine_tuning.task  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        jobs = [TrainingJob(**job) for job in json.loads(line)]
        print(json.dumps([asdict(ended) for ended in _all(jobs)]), flush=True)


def _all(jobs: list[TrainingJob]) -> list[TrainingEnd]:
    born = []
    for job in jobs:
        reading, writing = os.pipe()
        if not (pid := os.fork()):
            _child(job, writing)
        os.close(writing)
        born.append((pid, reading))
    ends = []
    for pid, reading in born:
        with os.fdopen(reading) as pipe:
            text = pipe.read()
        status = os.waitpid(pid, 0)[1]
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        ends.append(TrainingEnd(killed=True) if killed else TrainingEnd(**json.loads(text)))
    return ends


def _child(job: TrainingJob, writing: int) -> None:
    signal.alarm(HANGS_AFTER)
    try:
        ended = do(job)
    except BaseException:
        ended = TrainingEnd(killed=False, error=traceback.format_exc())
    try:
        os.write(writing, json.dumps(asdict(ended)).encode())
    finally:
        os._exit(0)


if __name__ == "__main__":
    _serve()
