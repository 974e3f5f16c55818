"""Warns about classifier-free guidance of models that were trained to do without it."""

from __future__ import annotations

from nodes.sd.families.family import DenoisingNetwork


def unsuited(network: DenoisingNetwork, guidance: float) -> str | None:
    """Return a warning about the guidance scale of a distilled model; None if it suits the model."""
    if not network.is_distilled or guidance == 1:
        return None
    return (
        f"guidance {guidance:g} asks the model twice in each step, and this model is made for guidance 1; set"
        " its own guidance with SetDistilledGuidance"
    )
