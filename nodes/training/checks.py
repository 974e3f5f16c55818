"""Checks of the inputs of a training, before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import NodeError
from nodes.files.patch_files import HYPERNETWORKS
from nodes.node_problem import node_problem
from nodes.sd.families.known import family_named
from nodes.values import Dataset, Model

if TYPE_CHECKING:
    from nodes.sd.fine_tuning.prompts import Prompts
    from nodes.training.training_settings import TrainingData, TrainingProcess

_NAMED = 5


def require_captions(dataset: Dataset, hint: str) -> None:
    """Check that every picture has a caption.

    Args:
        dataset: the pictures.
        hint: the hint of the error.

    Raises:
        NodeError: some pictures have no caption; the message names the first of them.
    """
    missing = [picture.name for picture in dataset.pictures if not picture.caption.strip()]
    if missing:
        named = ", ".join(missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
        raise NodeError(
            f"{len(missing)} of {len(dataset.pictures)} pictures have no caption: {named}",
            hint=hint,
            input="dataset",
            code="missing_captions",
        )


def require_constant_prompts(node: TrainingProcess, prompts: Prompts) -> None:
    """Check that the prompts of all pictures and samples can be parsed and do not change from step to step.

    Raises:
        NodeError: a prompt cannot be used; the message names the picture or the prompt.
    """
    from nodes.sd.fine_tuning.prompt_encoders import constant
    from nodes.sd.prompts import dialects

    hint = "change it, or set `dialect` to plain, which reads brackets as words"
    for input, dataset in (("dataset", node.dataset), ("validation", node.validation), ("test", node.test)):
        for picture in () if dataset is None else dataset.pictures:
            try:
                constant(prompts.fullest(picture.caption, picture.columns), node.dialect)
            except ValueError as error:
                code = getattr(error, "code", "bad_prompt")
                raise NodeError(f"{picture.name}: {error}", hint=hint, input=input, code=code) from None
    for input, text in (("sample_prompts", node.sample_prompts), ("sample_negative", node.sample_negative)):
        for line in text.splitlines():
            with node_problem(input=input, hint=hint):
                constant(line, node.dialect)
            if len(dialects.read(line, node.dialect, negative=input == "sample_negative").parts) > 1:
                message = f"the prompt {line[:80]!r} has parts joined by AND, which samples cannot have"
                raise NodeError(message, hint=hint, input=input, code="changing_prompt")


def require_no_hypernetworks(model: Model) -> None:
    """Check that no hypernetwork is applied to a model; one would change the names of its layers.

    Raises:
        NodeError: the model has a hypernetwork.
    """
    if any(patch.source.kind == HYPERNETWORKS for patch in model.patches):
        hint = "connect the model before ApplyHypernetwork"
        message = "a model with a hypernetwork cannot be trained"
        raise NodeError(message, hint=hint, input="model", code="has_hypernetwork")


def require_unet(model: Model, purpose: str) -> None:
    """Check that a model is a UNet.

    Args:
        model: the model.
        purpose: the feature that needs a UNet, for the message, such as `hypernetworks`.

    Raises:
        NodeError: the model is a transformer.
    """
    checkpoint = model.checkpoint
    network = family_named(checkpoint.family).network
    if not network.is_unet:
        hint = "choose a model of SD 1, SD 2 or SDXL, or train this one with TrainLoRA"
        message = f"{checkpoint.name} is a {network.noun}, and {purpose} need a UNet"
        raise NodeError(message, hint=hint, input="model", code="not_a_unet")


def require_trainable(node: TrainingData) -> None:
    """Check that a model can be trained, and that the text encoder and the VAE fit it.

    Raises:
        NodeError: it is an inpainting model, or the text encoder or the VAE is of another model family.
    """
    checkpoint, encoder, vae = node.model.checkpoint, node.encoder.checkpoint, node.vae.checkpoint
    if checkpoint.unet_channels != checkpoint.latent_channels:
        hint = "train the model that it was made from; the result works with both"
        message = f"{checkpoint.name} is an inpainting model, which cannot be trained"
        raise NodeError(message, hint=hint, input="model", code="inpainting_model")
    family, latents = family_named(checkpoint.family), family_named(vae.family)
    if encoder.context_width != checkpoint.context_width:
        raise NodeError(
            f"the text encoder of {encoder.name} makes text embeddings of width {encoder.context_width};"
            f" {checkpoint.name} reads {checkpoint.context_width}",
            hint="use the text encoder of this model; connect `model` of LoadTextEncoder, if you use it",
            input="encoder",
            code="wrong_family",
        )
    if latents.latents != family.latents or vae.latent_channels != checkpoint.latent_channels:
        raise NodeError(
            f"the VAE of {vae.name} is for {latents.title}, but {checkpoint.name} is of {family.title}",
            hint="use the VAE of this model; connect `model` of LoadVae, if you use it",
            input="vae",
            code="wrong_family",
        )
