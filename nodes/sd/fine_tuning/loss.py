"""Chooses the loss of a training by the noise schedule that its model learned."""

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
    """Make the loss for a noise schedule.

    Args:
        schedule: the schedule that the model learned.
        prediction: the prediction type of the model.
        noise: the settings of the noise.
        settings: the settings of the loss; a flow model uses only those of `ErrorSettings`.
        levels: how a flow model draws and weights noise levels; not used for a diffusion model.

    Raises:
        ValueError: the range of timesteps is empty, or a setting does not suit this schedule.
    """
    if isinstance(schedule, Flow):
        table = FlowTable(schedule._replace(levels=schedule.steps))
        return FlowLoss(torch.from_numpy(table.sigmas), noise, settings, levels)
    if prediction == "flow":
        raise ValueError("The model has a diffusion schedule, but the prediction type flow.")
    return DiffusionLoss(NoiseTable(schedule).alphas, prediction, noise, settings)
