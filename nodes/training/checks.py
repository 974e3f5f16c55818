"""Checks of the inputs of a training, before it starts."""

from __future__ import annotations

from engine.errors import NodeError
from nodes.files.patch_files import HYPERNETWORKS
from nodes.values import Dataset, Model

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
