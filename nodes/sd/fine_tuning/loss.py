"""The loss of a training, for the noise schedule that its model learned."""

from __future__ import annotations

import torch

from nodes.sd.families.family import Flow, NoiseSchedule
from nodes.sd.fine_tuning.added_noise import NoiseSettings
from nodes.sd.fine_tuning.diffusion_loss import DiffusionLoss, LossSettings
from nodes.sd.fine_tuning.flow_loss import FlowLoss, LevelSettings
from nodes.sd.sampling.flow_table import FlowTable
from nodes.sd.sampling.names import Prediction
from nodes.sd.sampling.noise_table import NoiseTable

PictureLoss = DiffusionLoss | FlowLoss
"""The loss of a batch of latents."""


def loss_for(
    schedule: NoiseSchedule,
    prediction: Prediction,
    noise: NoiseSettings,
    settings: LossSettings,
    levels: LevelSettings,
) -> PictureLoss:
    """The loss for a noise schedule.

    Args:
        schedule: the schedule that the model learned.
        prediction: what it predicts.
        noise: the settings of the noise.
        settings: those of the loss; for a flow only how errors become a loss.
        levels: those of the noise levels of a flow; not used for a diffusion model.

    Raises:
        ValueError: the range of timesteps is empty, or a setting is not for this schedule.
    """
    if isinstance(schedule, Flow):
        return FlowLoss(torch.from_numpy(FlowTable(schedule).sigmas), noise, settings, levels)
    if prediction == "flow":
        raise ValueError("A model with a diffusion schedule cannot predict a flow.")
    return DiffusionLoss(NoiseTable(schedule).alphas, prediction, noise, settings)
