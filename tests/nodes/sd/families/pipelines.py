"""Pipelines of diffusers for small models."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, StableDiffusion3Pipeline
from transformers.models.t5.tokenization_t5 import T5Tokenizer

from tests.nodes.sd.families.latents import parts_of
from tests.nodes.sd.families.small import PIECES, SmallModel, small_model

FLUX_SCHEDULERS = {
    "flux": FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
    "flux-schnell": FlowMatchEulerDiscreteScheduler(shift=1.0),
}
"""As in the published folders of FLUX.1 dev and schnell."""
LENGTHS = {"flux": 512, "flux-schnell": 256}
"""The usual numbers of tokens of T5."""


def sd3_pipeline(folder: Path, *, t5: bool) -> Any:
    """A small SD 3, which is written into a folder, as diffusers' pipeline."""
    return pipeline_of(small_model("sd3", optional=t5), folder)


def pipeline_of(model: SmallModel, folder: Path) -> Any:
    """A small SD 3 that is written into a folder, as diffusers' pipeline of the same networks."""
    model.save_folder(folder)
    parts = parts_of(model)
    has_t5 = "text_encoder_3" in parts
    parts["tokenizer_3"] = T5Tokenizer(vocab=PIECES, extra_ids=0) if has_t5 else None
    parts.setdefault("text_encoder_3", None)
    pipeline: Any = StableDiffusion3Pipeline(scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), **parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def flux_parts(model: SmallModel) -> dict[str, Any]:
    """The networks, tokenizers and scheduler of a small FLUX.1, for diffusers' pipelines."""
    tokenizer = T5Tokenizer(vocab=PIECES, extra_ids=0)
    return {**parts_of(model), "tokenizer_2": tokenizer, "scheduler": FLUX_SCHEDULERS[model.family.name]}


def flux_pipeline(folder: Path, name: str) -> Any:
    """A small FLUX.1, which is written into a folder, as diffusers' pipeline of the same networks."""
    model = small_model(name)
    model.save_folder(folder)
    parts = flux_parts(model)
    pipeline: Any = FluxPipeline(**parts | {"tokenizer": copy.deepcopy(parts["tokenizer"])})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
