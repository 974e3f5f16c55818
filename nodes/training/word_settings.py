"""The inputs of nodes that train a new word of a model's vocabulary."""

from __future__ import annotations

from typing import Annotated

from engine.widgets import Range
from nodes.sd.embeddings.embedding import Embedding
from nodes.training.training_settings import TrainingData, TrainingProcess


class WordStart(TrainingData):
    """The inputs for the new word: its name, and its vectors before the training."""

    name: str
    """The name of the embedding, which is its trigger in prompts. Choose a word without another meaning."""
    embedding: Embedding | None = None
    """An embedding to train further. Its vectors replace `initial_text` and `vectors`, its earlier steps are
    counted, and so is the state of its optimizer, if its file had one (A1111's `.optim`)."""
    initial_text: str = "*"
    """The text whose vectors are the initial ones (initialization text). A word for the kind of thing, such
    as `cat` or `painting`, is usual."""
    vectors: Annotated[int, Range(0, 75)] = 1
    """How many vectors the embedding has, 0 to 75; 1 to 8 is usual. More hold more detail, take more room in
    prompts and need more pictures. 0: as many as `initial_text` has tokens of CLIP."""


class WordTraining(TrainingProcess, WordStart):
    """The inputs of a node that trains a new word."""
