"""A model with all that lies over it, baked into files that other tools load."""

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

from nodes.sd.folder import Component, ModelFolder, tokenizer_files
from nodes.sd.lora.single_file import single_file

Precision = Literal["float16", "bfloat16", "float32"]


def state(network: nn.Module, precision: Precision) -> dict[str, Tensor]:
    """A network's tensors, ready to be written.

    Raises:
        ValueError: a number is too large for the precision.
    """
    made = {}
    for name, tensor in network.state_dict().items():
        if name.endswith("position_ids"):
            continue
        made[name] = (
            tensor.to(getattr(torch, precision)).contiguous() if tensor.is_floating_point() else tensor
        )
        if not torch.isfinite(made[name]).all():
            raise ValueError(f"{name} is too large for {precision}; save in float32")
    return made


def save_folder(
    target: Path,
    sources: Mapping[Component, ModelFolder],
    states: Mapping[Component, Mapping[str, Tensor]],
    precision: Precision,
    *,
    overwrite: bool,
) -> None:
    """Write a model as a diffusers folder: whole or not at all.

    Args:
        target: the folder to make.
        sources: the folder that each part comes from; its config is taken over, and the text encoder's
            tokenizer and the UNet's scheduler with it.
        states: the tensors of each part.
        precision: what the configs shall say of them.
        overwrite: whether what lies there may be replaced.

    Raises:
        FileExistsError: something lies there.
        OSError: it cannot be written; what lay there still does.
    """
    with _draft(target) as draft:
        model, words = sources["unet"].path, sources["text_encoder"].path
        for name in ("model_index.json", "scheduler/scheduler_config.json"):
            _copy(model / name, draft / name)
        for name in (*tokenizer_files(words), "tokenizer/tokenizer_config.json"):
            if (words / name).is_file():
                _copy(words / name, draft / name)
        for part, tensors in states.items():
            folder = draft / part
            folder.mkdir()
            config = json.loads((sources[part].path / part / "config.json").read_text("utf-8"))
            if part == "text_encoder":
                config["dtype"] = precision
            (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
            file = "model" if part == "text_encoder" else "diffusion_pytorch_model"
            save_file(dict(tensors), folder / f"{file}.safetensors", {"format": "pt"})
        _place(draft, target, overwrite)


def save_single(
    target: Path,
    states: Mapping[Component, Mapping[str, Tensor]],
    metadata: Mapping[str, str],
    *,
    overwrite: bool,
) -> None:
    """Write a model as one safetensors file, as A1111 and ComfyUI load it: whole or not at all.

    Raises:
        FileExistsError: something lies there.
        OSError: it cannot be written; what lay there still does.
    """
    tensors = single_file(states["unet"], states["vae"], states["text_encoder"])
    with _draft(target) as draft:
        save_file(tensors, draft, {"format": "pt", **metadata})
        _place(draft, target, overwrite)


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """A name beside the target that nobody else uses; gone afterwards unless it got the target's."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.parent / f".{uuid.uuid4().hex}.part"
    try:
        yield draft
    finally:
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _place(draft: Path, target: Path, overwrite: bool) -> None:
    if not overwrite and draft.is_file():
        os.link(draft, target)  # unlike a rename, this never replaces a file
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
    """What was baked in, for the metadata: the digest and weight of each file."""
    return json.dumps([{"sha256": patch.source.digest, "weight": patch.weight} for patch in patches])
