"""Makes the encoders of a training's prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.context import Context
from nodes.sd.families.known import family_named
from nodes.sd.prompts.triggers import Triggers

if TYPE_CHECKING:
    from nodes.sd.fine_tuning.prompt_encoders import PromptEncoders
    from nodes.sd.models.loaded_encoder import LoadedEncoder
    from nodes.training.training_settings import TrainingProcess


def prompt_encoders(
    node: TrainingProcess,
    ctx: Context,
    encoders: Sequence[LoadedEncoder],
    triggers: Triggers,
    trained: str | None = None,
) -> PromptEncoders:
    """Make the encoders of a training's prompts, which encode as EncodePrompt does.

    Args:
        node: the inputs.
        ctx: receives the warning that a prompt is too long for T5.
        encoders: the loaded text encoders, with the adapters in training, if there are any.
        triggers: the embeddings, including the trained one.
        trained: the id of the trained embedding in `triggers`; None if no embedding is trained.
    """
    from nodes.sd.fine_tuning.prompt_encoders import PromptEncoders
    from nodes.sd.prompts.encoding import context_shape

    checkpoint = node.encoder.checkpoint
    shape = context_shape(
        family_named(checkpoint.family), dict(checkpoint.text_widths), checkpoint.context_width
    )
    return PromptEncoders(
        encoders,
        triggers,
        trained,
        dialect=node.dialect,
        clip_skip=node.clip_skip,
        shape=shape,
        warn=ctx.warn,
    )
