"""The inputs of a node that trains an embedding."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.widgets import Advanced, Text
from nodes.training.word_settings import WordStart, WordTraining
from nodes.values import Dataset


class EmbeddingStart(WordStart):
    """The inputs that describe the embedding before the training, and the prompts to train it with."""

    dataset: Dataset
    """The pictures to learn from; 5 to 30 are usual."""
    template: Literal["subject", "subject_filewords", "style", "style_filewords", "filewords", "name"] = (
        "subject"
    )
    """The prompts to train with: for a thing (`subject`) or a style, with the captions of the pictures
    (`_filewords`) or without. `filewords` is `NAME, CAPTION`, and `name` the name alone."""
    template_text: Text = ""
    """Templates of your own in place of `template`, one per line. `[name]` stands for the embedding,
    `[filewords]` for the caption, and `[artist]` for the column `artist` of the dataset. Connect LoadText to
    take them from a file."""


class EmbeddingTraining(WordTraining, EmbeddingStart):
    """The inputs of TrainTI."""

    rate: str = "0.005"
    """The learning rate, or a schedule: `0.005:100, 1e-3:1000, 1e-5` is 0.005 up to step 100, 0.001 up to
    step 1000, then 0.00001. Higher rates learn faster, and destroy the embedding if they are too high."""
    template_once: Annotated[bool, Advanced] = False
    """Give each picture one line of the template for the whole training, as A1111 does."""
    keep_length: Annotated[Literal["off", "vocabulary", "initial"], Advanced] = "off"
    """Keep the length of the vectors after each step: the median length of the vocabulary, or that of the
    initial vectors. It prevents an embedding that drowns all other words."""
