"""The inputs of a node that trains a hypernetwork."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.widgets import Advanced, Range, Text
from nodes.training.training_settings import PriorPreservation, TrainingData, TrainingProcess
from nodes.values import Dataset


class HypernetworkStart(TrainingData):
    """The inputs that describe the hypernetwork before the training, and the prompts to train it with."""

    dataset: Dataset
    """The pictures to learn from, with captions; 20 to 100 are usual."""
    name: str
    """The name of the hypernetwork."""
    layer_structure: str = "1, 2, 1"
    """The widths of the layers, as multiples of the width of what they read; 1 at both ends. `1, 2, 1` is
    usual; `1, 2, 2, 1` learns more, and more slowly."""
    activation: Literal[
        "linear", "relu", "leakyrelu", "elu", "swish", "tanh", "sigmoid", "gelu", "silu", "mish", "softsign"
    ] = "linear"
    """The activation between the layers, by A1111's names. `linear` is none; `swish` and `softsign` are
    usual for deeper structures."""
    template_text: Text = ""
    """Templates of prompts, one per line; `[filewords]` stands for the caption. Empty: the captions
    themselves."""


class HypernetworkTraining(TrainingProcess, PriorPreservation, HypernetworkStart):
    """The inputs of TrainHypernetwork."""

    rate: str = "5e-6"
    """The learning rate, or a schedule such as `5e-6:1000, 5e-7`. Hypernetworks need very low rates: 5e-7 to
    5e-5."""
    weight_decay: Annotated[float, Range(0, 1, step=0.01), Advanced] = 0.01
    """How strongly the optimizer draws the weights to zero; A1111 uses 0.01."""
    drop_captions: Annotated[float, Range(0, 1, step=0.05), Advanced] = 0.0
    """The probability of training with an empty prompt; 0.1 keeps guidance effective."""
    widths: Annotated[str, Advanced] = ""
    """The widths of what the networks read, separated by commas, such as `768, 320, 640, 1280` for SD 1.5,
    where 768 is the prompt. Empty: all of the model."""
    weight_init: Annotated[
        Literal["Normal", "XavierUniform", "XavierNormal", "KaimingUniform", "KaimingNormal"], Advanced
    ] = "Normal"
    """How the first weights are drawn. `Normal` begins with nearly no effect; the Kaiming methods are for
    `relu` and similar ones, the Xavier methods for `tanh` and `sigmoid`."""
    activate_output: Annotated[bool, Advanced] = False
    """Also apply the activation behind the last layer."""
    layer_norm: Annotated[bool, Advanced] = False
    """Normalise the output of each layer (LayerNorm)."""
    dropout: Annotated[float, Range(0, 0.9, step=0.05), Advanced] = 0.0
    """The dropout of the hidden layers, against learning by heart. It needs a structure with more than one
    hidden layer, such as `1, 2, 2, 1`, as in A1111, which has none before the last layer."""
