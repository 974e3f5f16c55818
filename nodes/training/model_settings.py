"""The inputs of a node that trains a whole model."""

from __future__ import annotations

from typing import Annotated

from engine.widgets import Advanced, Range
from nodes.training.training_settings import PriorPreservation, TrainingData, TrainingProcess
from nodes.values import Dataset


class ModelStart(TrainingData):
    """The inputs for the trained model's name, its pictures and its prompts."""

    dataset: Dataset
    """The pictures to learn from: 5 to 30 of a subject, hundreds or more of a style."""
    name: str
    """The name of the trained model."""
    trigger: str = ""
    """Words in front of each caption, such as `zzz dog`, which call up the subject in prompts. With it,
    pictures need no captions: Dreambooth's instance prompt is `a photo of zzz dog`."""


class ModelTraining(TrainingProcess, PriorPreservation, ModelStart):
    """The inputs of TrainModel."""

    rate: str = "2e-6"
    """The learning rate, or a schedule such as `2e-6:400, 1e-6`; 1e-6 to 1e-5 is usual. The whole model
    forgets soon at higher ones."""
    copy_every: Annotated[int, Range(0, 100_000)] = 0
    """Publish the unfinished changes as a file after this many steps; 0 for never. A training that is
    stopped publishes them, too. The file is as large as the model in float32."""
    drop_captions: Annotated[float, Range(0, 1, step=0.05), Advanced] = 0.0
    """The probability of training with an empty prompt; 0.1 keeps guidance effective."""
