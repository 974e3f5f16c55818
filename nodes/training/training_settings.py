"""The inputs that nodes for training on pictures share."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.node import Node
from engine.widgets import Advanced, Range, Seed, Text
from nodes.values import Dataset, Image, Model, TextEncoder, Vae


class TrainingData(Node):
    """The inputs for the model to train, and for the pictures."""

    model: Model
    """The model to train on, which stays as it is. It may have LoRAs."""
    encoder: TextEncoder
    """The text encoder of the model, which reads the captions."""
    vae: Vae
    """The VAE of the model, which encodes the pictures."""
    dataset: Dataset
    """The pictures to learn from."""
    name: str
    """The name of the result."""
    validation: Dataset | None = None
    """Held-out pictures. Their loss is measured every `validate_every` steps and shows whether the training
    still generalises."""
    test: Dataset | None = None
    """Pictures whose loss is measured once, at the end."""


class TrainingProcess(TrainingData):
    """The inputs for the course of the training: steps, rates, noise, loss, and reports."""

    steps: Annotated[int, Range(0, 1_000_000)] = 1000
    """The total number of steps. If you raise it, a finished training continues where it ended."""
    rate: str = "1e-4"
    """The learning rate, or a schedule such as `1e-4:1000, 1e-5`."""
    batch: Annotated[int, Range(1, 256)] = 1
    """Pictures per batch, 1 to 256. More give steadier steps and take more memory and time."""
    accumulate: Annotated[int, Range(1, 1024)] = 1
    """Batches per step (gradient accumulation): acts like a larger batch without its memory."""
    seed: Seed = 0
    """The seed of the order of the pictures, of noise, timesteps and prompts."""
    width: Annotated[int, Range(0, 4096, step=8)] = 0
    """The width to train at, in pixels. 0: the size that the model was trained with."""
    height: Annotated[int, Range(0, 4096, step=8)] = 0
    """The height to train at, in pixels. 0: the size that the model was trained with."""
    resize: Literal["crop", "stretch", "none"] = "crop"
    """How to resize pictures. `crop` cuts off the sides that do not fit; `stretch` changes the proportions,
    as A1111 does; `none` keeps each picture's own size and puts equal sizes into a batch."""
    sample_every: Annotated[int, Range(0, 100_000)] = 250
    """Draw sample pictures after this many steps; 0 for none."""
    sample_prompts: Text = ""
    """Prompts of the samples, one per line. Empty: the first prompt of the training."""
    validate_every: Annotated[int, Range(0, 100_000)] = 100
    """Measure the loss of `validation` after this many steps; 0 for never."""
    copy_every: Annotated[int, Range(0, 100_000)] = 500
    """Publish the unfinished result as a file after this many steps; 0 for never. A training that is stopped
    publishes it, too."""
    checkpoint_every: Annotated[int, Range(1, 100_000), Advanced] = 200
    """Save the state of the training at least after this many steps. It is also saved every minute."""
    shuffle_tags: Annotated[bool, Advanced] = False
    """Shuffle the tags of captions, which commas separate, each time."""
    drop_tags: Annotated[float, Range(0, 1, step=0.1), Advanced] = 0.0
    """The probability of leaving out each tag of a caption, 0 to 1."""
    keep_tags: Annotated[int, Range(0, 100), Advanced] = 0
    """The number of tags at the beginning of a caption that are neither shuffled nor left out."""
    latent_sampling: Annotated[Literal["once", "deterministic", "random"], Advanced] = "once"
    """How to draw latents from the VAE: one random sample, the mean, or a new sample each time."""
    rate_warmup: Annotated[int, Range(0, 100_000), Advanced] = 0
    """The steps in which `rate` rises from 0 to its value. A tenth of the steps is usual, 0 is off."""
    rate_decay: Annotated[Literal["none", "linear", "cosine"], Advanced] = "none"
    """How `rate` falls to 0 until the last step. With a decay, more steps begin a new training, since the
    rate of each step depends on their number."""
    clip: Annotated[Literal["norm", "value", "off"], Advanced] = "norm"
    """Limit the gradient by its norm, by each number, or not at all."""
    clip_limit: Annotated[str, Advanced] = "1.0"
    """The limit of `clip`, a number or a schedule like `rate`."""
    optimizer: Annotated[
        Literal["adamw", "adam", "sgd", "lion", "adafactor", "prodigy", "schedulefree"], Advanced
    ] = "adamw"
    """How the weights follow the gradient. `lion` wants a third of AdamW's rate or less. `prodigy` finds its
    rate itself: set `rate` to 1. `schedulefree` averages the weights. The last two need the extra `train`."""
    weight_decay: Annotated[float, Range(0, 1, step=0.01), Advanced] = 0.0
    """How strongly the optimizer draws the weights to zero."""
    loss: Annotated[Literal["l2", "l1", "huber", "smooth_l1"], Advanced] = "l2"
    """How errors count: their square (`l2`), their size (`l1`), or small ones by their square and large ones
    by their size (`huber`, `smooth_l1`), which ignores outliers among the pictures."""
    huber_threshold: Annotated[float, Range(0.001, 10, step=0.01), Advanced] = 0.1
    """Where a small error ends for `huber` and `smooth_l1`; 0.1 is usual (huber_c)."""
    huber_schedule: Annotated[Literal["snr", "exponential", "constant"], Advanced] = "snr"
    """How the threshold depends on the noise level: with less noise it is larger, or it is constant."""
    min_snr: Annotated[float, Range(0, 20, step=0.5), Advanced] = 0.0
    """The gamma of min-SNR weighting, which makes steps steadier; 5 is usual, 0 turns it off."""
    debiased: Annotated[bool, Advanced] = False
    """Weigh noise levels by debiased estimation: high noise counts more. Use it or `min_snr`, not both."""
    velocity_as_noise: Annotated[bool, Advanced] = False
    """For models that predict velocity: weigh noise levels as for models that predict noise."""
    noise_offset: Annotated[float, Range(0, 1, step=0.01), Advanced] = 0.0
    """Noise that is equal over a whole channel, for very dark and bright pictures; up to 0.1 is usual."""
    adaptive_noise_offset: Annotated[float, Range(-1, 1, step=0.01), Advanced] = 0.0
    """How much the offset grows with the brightness of a picture (the mean of its latent)."""
    multires_noise: Annotated[float, Range(0, 1, step=0.05), Advanced] = 0.0
    """The share of coarser noise at each larger scale (multi-resolution noise); 0.3 is usual, 0 is off."""
    input_noise: Annotated[float, Range(0, 1, step=0.01), Advanced] = 0.0
    """Noise in the input only (input perturbation), against overfitting; 0.1 is usual, 0 is off."""
    first_timestep: Annotated[int, Range(0, 999), Advanced] = 0
    """The lowest noise level to train at, 0 to 999. Low levels teach fine texture; leave them out to learn
    shapes sooner."""
    last_timestep: Annotated[int, Range(0, 999), Advanced] = 999
    """The highest noise level to train at, 0 to 999. High levels teach composition and brightness."""
    noise_levels: Annotated[Literal["logit_normal", "uniform", "mode", "sigma_sqrt", "cosmap"], Advanced] = (
        "logit_normal"
    )
    """For models that learned a flow (SD 3, FLUX.1): how often each noise level is drawn. `logit_normal` and
    `mode` prefer those in the middle, `uniform` none. `sigma_sqrt` and `cosmap` draw uniformly and weigh the
    loss: `sigma_sqrt` by 1 / sigma², so low noise counts most; `cosmap` little."""
    logit_mean: Annotated[float, Range(-5, 5, step=0.1), Advanced] = 0.0
    """The centre of `logit_normal`: positive values prefer low noise and detail, negative ones high noise and
    composition."""
    logit_std: Annotated[float, Range(0.01, 5, step=0.1), Advanced] = 1.0
    """The width of `logit_normal`: larger values draw the lowest and highest levels more often."""
    mode_scale: Annotated[float, Range(-1, 1.75, step=0.05), Advanced] = 1.29
    """How strongly `mode` prefers the levels in the middle; 0 is uniform, negative values avoid them."""
    loss_mask: Annotated[bool, Advanced] = False
    """Weigh the loss by the mask of each picture, or by its transparency (alpha)."""
    average: Annotated[float, Range(0, 0.9999, step=0.001), Advanced] = 0.0
    """The decay of averaged weights (EMA), which become the result; 0.99 to 0.999 is usual, 0 is off."""
    clip_skip: Annotated[int, Range(1, 12), Advanced] = 1
    """The layer of the text encoder whose output is used, counted from the last; as in EncodePrompt."""
    dialect: Annotated[Literal["a1111", "comfy", "plain"], Advanced] = "a1111"
    """The syntax of templates and captions; `plain` reads brackets as ordinary words."""
    keep: Annotated[Literal["last", "best"], Advanced] = "last"
    """The weights to return: the last ones, or those with the best validation loss."""
    patience: Annotated[int, Range(0, 1000), Advanced] = 0
    """End the training after this many validations without a better loss; 0 for never."""
    precision: Annotated[Literal["auto", "float32", "float16", "bfloat16"], Advanced] = "auto"
    """The precision in which the networks compute; `auto` is that of the settings. `float32` is the
    safest, and takes twice the memory of the others. What is trained is always float32."""
    gradient_checkpointing: Annotated[bool, Advanced] = False
    """Compute the inner values of the UNet or transformer again for the gradient instead of keeping them:
    takes far less memory and about a third more time, with the same result."""
    sample_steps: Annotated[int, Range(1, 200), Advanced] = 20
    """The sampling steps of samples."""
    sample_guidance: Annotated[float, Range(0, 30, step=0.5), Advanced] = 7.0
    """The guidance (CFG scale) of samples. Those of FLUX.1 are drawn with 1."""
    sample_negative: Annotated[Text, Advanced] = ""
    """The negative prompt of samples."""
    sample_seed: Annotated[Seed, Advanced] = 0
    """The seed of samples. It is the same in all of them, so that only the training changes them."""
    tensorboard: Annotated[bool, Advanced] = False
    """Publish an event file for TensorBoard, too. It needs the extra `train`."""
    license: Annotated[str, Advanced] = ""
    """A note on the rights to the pictures, kept in the metadata of the result."""
    source: Annotated[str, Advanced] = ""
    """A note on where the pictures are from, kept in the metadata of the result."""


class PriorPreservation(TrainingData):
    """The inputs of prior preservation: pictures of a class to keep (Dreambooth, arXiv:2208.12242)."""

    class_images: Annotated[list[Image], Advanced] = []  # noqa: RUF012  # pydantic copies defaults
    """Pictures of the class that a subject belongs to, such as dogs for a certain dog. They are trained on
    beside the dataset, so that the model does not forget the class. DrawClassPictures draws them with the
    model itself; LoadImageFolder loads your own. 50 to 200 are usual."""
    class_prompt: Annotated[str, Advanced] = ""
    """The prompt of `class_images`, without the trigger, such as `a dog`."""
    prior_weight: Annotated[float, Range(0, 10, step=0.1), Advanced] = 1.0
    """The weight of the loss of `class_images`."""
