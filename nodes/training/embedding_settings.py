"""The inputs of a node that trains an embedding."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.widgets import Advanced, Range, Text
from nodes.sd.embeddings.embedding import Embedding
from nodes.training.training_settings import TrainingData, TrainingProcess
from nodes.values import Dataset


class EmbeddingStart(TrainingData):
    """What the embedding is before the training, and its prompts."""

    dataset: Dataset
    """The pictures to learn from; 5 to 30 are usual."""
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
    prompts and need more pictures. 0: as many as `initial_text` has tokens."""
    template: Literal["subject", "subject_filewords", "style", "style_filewords", "filewords", "name"] = (
        "subject"
    )
    """The prompts to train with: for a thing (`subject`) or a style, with the captions of the pictures
    (`_filewords`) or without. `filewords` is `NAME, CAPTION`, and `name` the name alone."""
    template_text: Text = ""
    """Templates of your own in place of `template`, one per line. `[name]` stands for the embedding,
    `[filewords]` for the caption, and `[artist]` for the column `artist` of the dataset."""


class EmbeddingTraining(TrainingProcess, EmbeddingStart):
    """The inputs of TrainTI."""

    rate: str = "0.005"
    """The learning rate, or a schedule: `0.005:100, 1e-3:1000, 1e-5` is 0.005 up to step 100, 0.001 up to
    step 1000, then 0.00001. Higher rates learn faster, and destroy the embedding if they are too high."""
    template_once: Annotated[bool, Advanced] = False
    """Give each picture one line of the template for the whole training, as A1111 does."""
    keep_length: Annotated[Literal["off", "vocabulary", "initial"], Advanced] = "off"
    """Keep the length of the vectors after each step: the median length of the vocabulary, or that of the
    initial vectors. It prevents an embedding that drowns all other words."""
