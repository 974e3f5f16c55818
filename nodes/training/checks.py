"""Checks of the inputs of a training, before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import NodeError
from nodes.files.checkpoints import Checkpoint
from nodes.files.patch_files import HYPERNETWORKS
from nodes.sd.families.family import Betas
from nodes.values import Dataset, Model

if TYPE_CHECKING:
    from nodes.sd.training.diffusion_loss import Prediction

_NAMED = 5


def require_captions(dataset: Dataset, hint: str) -> None:
    """Check that every picture has a caption.

    Args:
        dataset: the pictures.
        hint: what to do if some have none.

    Raises:
        NodeError: some have none; the message names the first of them.
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


def require_no_hypernetworks(model: Model) -> None:
    """Check that a model has no hypernetworks, under which its layers have other names.

    Raises:
        NodeError: it has some.
    """
    if any(patch.source.kind == HYPERNETWORKS for patch in model.patches):
        hint = "connect the model before ApplyHypernetwork"
        message = "a model with a hypernetwork cannot be trained"
        raise NodeError(message, hint=hint, input="model", code="has_hypernetwork")


def diffusion_of(checkpoint: Checkpoint) -> tuple[Betas, Prediction]:
    """The noise schedule and the prediction type of a model.

    Raises:
        NodeError: it is an inpainting model, or learned a flow; neither can be trained on.
    """
    if checkpoint.unet_channels != checkpoint.latent_channels:
        hint = "train on the model that it was made from; the result works with both"
        message = f"{checkpoint.name} is an inpainting model, which cannot be trained on"
        raise NodeError(message, hint=hint, input="model", code="inpainting_model")
    noise, prediction = checkpoint.noise, checkpoint.prediction
    if not isinstance(noise, Betas) or prediction == "flow":
        hint = "train on a model of SD 1, SD 2 or SDXL"
        message = f"{checkpoint.name} learned a flow, which cannot be trained on"
        raise NodeError(message, hint=hint, input="model", code="flow_model")
    return noise, prediction
