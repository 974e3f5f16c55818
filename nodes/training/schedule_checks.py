"""Checks that the settings of a training suit the noise schedule that its model learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.context import Context
from engine.errors import NodeError
from nodes.files.checkpoints import Checkpoint
from nodes.sd.families.family import Flow

if TYPE_CHECKING:
    from nodes.training.training_settings import TrainingProcess

_FOR_DIFFUSION = {
    "min_snr": "weighs noise levels by their signal-to-noise ratio",
    "debiased": "weighs noise levels by their signal-to-noise ratio",
    "velocity_as_noise": "weighs noise levels by their signal-to-noise ratio",
    "noise_offset": "is for diffusion models, which are never trained on pure noise",
    "adaptive_noise_offset": "is for diffusion models, which are never trained on pure noise",
    "multires_noise": "is for diffusion models, which are never trained on pure noise",
}
"""The settings that do not apply to a flow model, with their purpose."""
_FOR_FLOW = ("noise_levels", "logit_mean", "logit_std", "mode_scale")
"""The settings that apply only to a flow model."""
_NEEDS = {"logit_mean": "logit_normal", "logit_std": "logit_normal", "mode_scale": "mode"}
"""The settings that need a certain value of `noise_levels`, with that value."""


def require_settings_for(checkpoint: Checkpoint, node: TrainingProcess, ctx: Context) -> None:
    """Check that the settings of a training suit the noise schedule of its model.

    Warns about each changed setting that has no effect with the chosen `noise_levels`.

    Raises:
        NodeError: a changed setting does not suit the noise schedule; the message names the setting.
    """
    if not isinstance(checkpoint.noise, Flow):
        for name in _FOR_FLOW:
            if _is_changed(node, name):
                raise NodeError(
                    f"`{name}` is for flow models (SD 3, FLUX.1); {checkpoint.name} is a diffusion model",
                    hint=f"set `{name}` to its default",
                    input=name,
                    code="not_a_flow",
                )
        return
    for name, effect in _FOR_DIFFUSION.items():
        if _is_changed(node, name):
            raise NodeError(
                f"{checkpoint.name} is a flow model; `{name}` {effect}",
                hint=f"set `{name}` to its default; use `noise_levels` to weight the noise levels",
                input=name,
                code="flow_model",
            )
    if node.loss in ("huber", "smooth_l1") and node.huber_schedule == "snr":
        raise NodeError(
            f"{checkpoint.name} is a flow model, for which the huber schedule `snr` is not defined",
            hint="set `huber_schedule` to exponential or constant",
            input="huber_schedule",
            code="flow_model",
        )
    for name, levels in _NEEDS.items():
        if _is_changed(node, name) and node.noise_levels != levels:
            ctx.warn(f"`{name}` has no effect: `noise_levels` is {node.noise_levels}, not {levels}")


def _is_changed(node: TrainingProcess, name: str) -> bool:
    """Return whether an input differs from its default."""
    return bool(getattr(node, name) != type(node).model_fields[name].default)
