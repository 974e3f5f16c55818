"""The inputs of a node that trains a LoRA."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.widgets import Advanced, FileIn, Range, Text
from nodes.files.patch_files import LORAS
from nodes.sd.embeddings.embedding import Embedding
from nodes.training.training_settings import PriorPreservation, TrainingData, TrainingProcess
from nodes.training.word_settings import WordTraining
from nodes.values import Dataset


class LoraLayers(TrainingData):
    """The inputs that describe the LoRA before the training."""

    dataset: Dataset
    """The pictures to learn from, each with a caption; 20 to 100 are usual."""
    kind: Literal["lora", "loha", "lokr"] = "lora"
    """How the changes of a weight are built: LoRA from two narrow matrices, LoHa from two such pairs
    multiplied, LoKr from a Kronecker product, which makes small files. `lora` with `targets` `all` is
    LoCon."""
    rank: Annotated[int, Range(1, 1024)] = 16
    """How many independent changes each layer may have (dimension); 4 to 64 is usual. More learn more detail,
    make larger files, and learn pictures by heart sooner."""
    alpha: Annotated[float, Range(0.001, 1024, step=1)] = 16.0
    """Changes are multiplied by alpha / rank. `alpha` = `rank` is usual; a smaller one acts like a lower
    rate."""
    targets: Literal["attention", "transformer", "all"] = "attention"
    """Which layers to change: those of attention, all of the transformer blocks (as kohya's LoRA), or all
    layers of the blocks with their convolutions (LoCon), which learn textures better. On SD 3 and FLUX.1,
    `transformer` leaves out the modulation of the blocks, and `all` has it, too."""
    dora: bool = False
    """Train the length of each row of the weights apart from its direction (DoRA): often learns more at a
    low rank, and takes more time."""


class LoraTraining(TrainingProcess, PriorPreservation, LoraLayers):
    """The inputs that TrainLoRA and TrainPivotal share."""

    rate: str = "1e-4"
    """The learning rate of the UNet or transformer, or a schedule such as `1e-4:1000, 1e-5`; 5e-5 to 5e-4 is
    usual."""
    text_rate: str = "0"
    """The learning rate of the text encoder, or a schedule; 0 leaves it as it is, which saves time. Half of
    `rate` is usual."""
    dropout: Annotated[float, Range(0, 0.9, step=0.05), Advanced] = 0.0
    """The probability of setting each input of the LoRA to zero in a step, against learning by heart."""
    drop_captions: Annotated[float, Range(0, 1, step=0.05), Advanced] = 0.0
    """The probability of training with an empty prompt; 0.1 keeps guidance effective."""
    patterns: Annotated[str, Advanced] = ""
    """Names of layers in place of `targets`, separated by commas, with `*` and `?`, such as
    `mid_block.*.to_k, *.attn2.*`. They are the names of diffusers and transformers."""
    initial: Annotated[str, FileIn(LORAS), Advanced] = ""
    """A LoRA file to train further. Its kind, ranks and layers replace the settings above."""
    lokr_factor: Annotated[int, Range(-1, 64), Advanced] = -1
    """The size of the first factor of LoKr; larger ones make larger files. -1: the most even split."""


class LoraStart(LoraLayers):
    """The name of the LoRA, and its prompts."""

    name: str
    """The name of the LoRA."""
    trigger: str = ""
    """Words in front of each caption, such as `zzz style`, which call up the LoRA in prompts."""


class PlainLoraTraining(LoraTraining, LoraStart):
    """The inputs of TrainLoRA."""


class PivotalTraining(WordTraining, LoraTraining):
    """The inputs of TrainPivotal."""

    name: str
    """The name of the LoRA and of the embedding, which is the trigger in prompts. Choose a word without
    another meaning."""
    embedding: Embedding | None = None
    """An embedding to train further. Its vectors replace `initial_text` and `vectors`."""
    embedding_rate: str = "0.001"
    """The learning rate of the embedding, or a schedule such as `0.002:300, 0`, which stops its training at
    a step (the pivot) while the LoRA learns further; 5e-4 to 5e-3 is usual."""
    template_text: Text = ""
    """Templates of prompts, one per line. `[name]` stands for the embedding and `[filewords]` for the
    caption. Empty: `[name], [filewords]`."""
