"""Writes models to files that other tools load."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from nodes.sd.families.family import LARGE, SMALL, Betas, Component, EncoderRole, Family, Flow
from nodes.sd.families.key_tables import written
from nodes.sd.formats.safetensors_metadata import sort_metadata
from nodes.sd.models.checkpoint_file import CONFIGS
from nodes.sd.models.configs import network_class
from nodes.sd.models.files import ModelFiles
from nodes.sd.models.folder import tokenizer_files
from nodes.sd.sampling.names import Prediction

_PREDICTIONS: dict[Prediction, str] = {"epsilon": "epsilon", "v_prediction": "v", "sample": "sample"}
"""The prediction types as kohya's scripts write them; they write none for flow models."""

Precision = Literal["float16", "bfloat16", "float32"]


def state(network: nn.Module, precision: Precision) -> dict[str, Tensor]:
    """Convert the tensors of a network to the precision to write.

    Raises:
        ValueError: a number is too large for the precision.
    """
    made = {}
    for name, tensor in network.state_dict().items():
        if name.endswith(("position_ids", "encoder.embed_tokens.weight")):  # T5 has a copy of the latter
            continue
        made[name] = (
            tensor.to(getattr(torch, precision)).contiguous() if tensor.is_floating_point() else tensor
        )
        if not torch.isfinite(made[name]).all():
            raise ValueError(f"{name} is too large for {precision}; save in float32")
    return made


def save_folder(
    target: Path,
    sources: Mapping[Component, ModelFiles],
    states: Mapping[Component, Mapping[str, Tensor]],
    precision: Precision,
    *,
    overwrite: bool,
) -> None:
    """Write a model as a diffusers folder, atomically.

    Args:
        target: the folder to write.
        sources: the model of each network, for its config, the tokenizers and the noise schedule.
        states: the tensors of each network.
        precision: the precision of the tensors, for the configs.
        overwrite: True to replace an existing folder.

    Raises:
        FileExistsError: the folder exists.
        OSError: the folder cannot be written; an existing one is unchanged.
    """
    model = _model(sources)
    scheduler = _scheduler(model)
    index: dict[str, Any] = {"_class_name": model.family.pipelines[0], **model.family.settings}
    if model.zeros_for_empty_negative is not None:
        index["force_zeros_for_empty_prompt"] = model.zeros_for_empty_negative
    index["scheduler"] = ["diffusers", scheduler["_class_name"]]
    with _draft(target) as draft:
        for role in model.family.roles:
            if role.component not in states:
                index |= {role.tokenizer: [None, None], role.component: [None, None]}
                continue
            index[role.tokenizer] = ["transformers", "T5Tokenizer" if role.name == "t5" else "CLIPTokenizer"]
            _save_tokenizer(sources[role.component].tokenizers[role.tokenizer], draft / role.tokenizer, role)
        for part, tensors in states.items():
            folder = draft / part
            folder.mkdir()
            config = {**sources[part].configs[part]}
            text = part.startswith("text_encoder")
            if text:
                config["dtype"] = precision
            index[part] = ["transformers" if text else "diffusers", network_class(model.family, part)]
            _write_json(folder / "config.json", config)
            file = "model" if text else "diffusion_pytorch_model"
            save_file(dict(tensors), folder / f"{file}.safetensors", {"format": "pt"})
        _write_json(draft / "scheduler" / "scheduler_config.json", scheduler)
        _write_json(draft / "model_index.json", index)
        _place(draft, target, overwrite)


def save_single(
    target: Path,
    sources: Mapping[Component, ModelFiles],
    states: Mapping[Component, Mapping[str, Tensor]],
    metadata: Mapping[str, str],
    *,
    overwrite: bool,
) -> None:
    """Write a model as one safetensors file for A1111 and ComfyUI, atomically.

    Args:
        target: the file to write.
        sources: the model of each network, for its config and the noise schedule.
        states: the tensors of each network.
        metadata: further metadata for the header; configs and prediction type are written in any case.
        overwrite: True to replace an existing file.

    Raises:
        FileExistsError: the file exists.
        OSError: the file cannot be written; an existing one is unchanged.
    """
    model = _model(sources)
    tensors = in_single_file(model.family, states)
    # The marks that ComfyUI reads: empty tensors, which other tools ignore.
    if model.prediction == "v_prediction":
        tensors["v_pred"] = torch.zeros(0)
    if isinstance(model.noise, Betas) and model.noise.zero_snr:
        tensors["ztsnr"] = torch.zeros(0)
    configs = {part: {**sources[part].configs[part]} for part in states}
    own = {
        "modelspec.architecture": model.family.architecture,
        CONFIGS: json.dumps({**configs, "scheduler": _scheduler(model)}),
    }
    if model.prediction in _PREDICTIONS:
        own["modelspec.prediction_type"] = _PREDICTIONS[model.prediction]
    with _draft(target) as draft:
        save_file(tensors, draft, {"format": "pt", **own, **metadata})
        sort_metadata(draft)
        _place(draft, target, overwrite)


def _model(sources: Mapping[Component, ModelFiles]) -> ModelFiles:
    """Return the model whose UNet or transformer is saved."""
    return next(model for part, model in sources.items() if part == model.family.network.component)


def in_single_file(family: Family, states: Mapping[Component, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Rename the tensors of a model to their names in a single file of its family."""
    layout = family.layout
    tensors = {
        layout.prefixes[part] + name: tensor
        for part, state in states.items()
        for name, tensor in written(layout.tables[part], dict(state)).items()
    }
    return tensors | (layout.added(tensors) if layout.added is not None else {})


def _save_tokenizer(source: Path, target: Path, role: EncoderRole) -> None:
    """Copy the vocabulary of a tokenizer, and set its padding token."""
    target.mkdir(parents=True)
    for name in tokenizer_files(source, role):
        shutil.copyfile(source / name, target / name)
    if role.name == "t5":
        _write_json(target / "tokenizer_config.json", {"tokenizer_class": "T5Tokenizer"})
        return
    start, end = "<|startoftext|>", "<|endoftext|>"
    special = {
        "bos_token": start,
        "eos_token": end,
        "unk_token": end,
        "pad_token": end if role.pad is None else "!",
    }
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True}
    _write_json(target / "tokenizer_config.json", {**settings, **special})


def _scheduler(model: ModelFiles) -> dict[str, Any]:
    betas = model.noise
    if isinstance(betas, Flow):
        flow = {
            "_class_name": "FlowMatchEulerDiscreteScheduler",
            "num_train_timesteps": betas.steps,
            "shift": betas.shift,
        }
        if betas.by_size is None:
            return flow
        small, large = betas.by_size
        by_size = {"base_shift": small, "max_shift": large}
        by_size |= {"base_image_seq_len": SMALL, "max_image_seq_len": LARGE}
        return {**flow, "use_dynamic_shifting": True, **by_size}
    return {
        "_class_name": "EulerDiscreteScheduler",
        "beta_end": betas.end,
        "beta_schedule": betas.schedule,
        "beta_start": betas.start,
        "num_train_timesteps": betas.steps,
        "prediction_type": model.prediction,
        "rescale_betas_zero_snr": betas.zero_snr,
        "steps_offset": 1,
        "timestep_spacing": "trailing" if betas.zero_snr else "leading",
    }


def _write_json(place: Path, content: Mapping[str, Any]) -> None:
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """Provide a temporary path beside the target inside a `with` block; remove it at the end if it exists."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.parent / f".{uuid.uuid4().hex}.part"
    try:
        yield draft
    finally:
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def _place(draft: Path, target: Path, overwrite: bool) -> None:
    if not overwrite and draft.is_file():
        os.link(draft, target)  # unlike a rename, a link never replaces a file
        return
    if not overwrite and os.path.lexists(target):
        raise FileExistsError(target)
    if target.is_dir() and not target.is_symlink():
        aside = target.parent / f".{uuid.uuid4().hex}.part"
        target.rename(aside)
        try:
            draft.rename(target)
        except OSError:
            aside.rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)
        return
    draft.replace(target)


def merged_from(patches: Any) -> str:
    """List the digest and the weight of each merged file as JSON, for the metadata."""
    return json.dumps([{"sha256": patch.source.digest, "weight": patch.strength} for patch in patches])
