"""The lists of A1111's API: samplers, schedulers, models and other files, as its clients expect them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from engine.files import Files
from nodes.files import checkpoints, embedding_files
from nodes.files.file_names import stem
from nodes.files.patch_files import HYPERNETWORKS, LORAS
from nodes.files.upscaler_files import UPSCALERS
from nodes.interchange.file_lists import model_names
from nodes.interchange.graph_from_settings import LATENT_UPSCALERS
from nodes.interchange.sampler_names import A1111_SCHEDULES, a1111_sampler_name
from nodes.sd.sampling.names import SamplerName


def a1111_lists(files: Files) -> Mapping[str, Any]:
    """Return the response of each path below `/sdapi/v1` that lists something, by the path's last part."""
    names = get_args(SamplerName)
    return {
        "samplers": [{"name": a1111_sampler_name(name), "aliases": [name], "options": {}} for name in names],
        "schedulers": [
            _schedule("automatic", "Automatic"),
            *(_schedule(name, label) for name, label in A1111_SCHEDULES.items()),
        ],
        "sd-models": [_model(name) for name in model_names(files, checkpoints.KIND)],
        "sd-vae": [{"model_name": name, "filename": name} for name in model_names(files, "vae")],
        "loras": [
            {"name": stem(name), "alias": stem(name), "path": name, "metadata": {}}
            for name in model_names(files, LORAS)
        ],
        "hypernetworks": [{"name": stem(name), "path": name} for name in model_names(files, HYPERNETWORKS)],
        "embeddings": {
            "loaded": {
                stem(name): {"step": None, "sd_checkpoint": None, "sd_checkpoint_name": None}
                for name in model_names(files, embedding_files.KIND)
            },
            "skipped": {},
        },
        "upscalers": [_upscaler(name, None) for name in ("None", "Lanczos", "Nearest")]
        + [_upscaler(stem(name), name) for name in model_names(files, UPSCALERS)],
        "latent-upscale-modes": [{"name": _written(name)} for name in LATENT_UPSCALERS],
        "face-restorers": [],
        "realesrgan-models": [],
        "prompt-styles": [],
        "scripts": {"txt2img": [], "img2img": []},
    }


def _schedule(name: str, label: str) -> dict[str, Any]:
    return {"name": name, "label": label, "aliases": None, "default_rho": -1.0, "need_inner_model": False}


def _model(name: str) -> dict[str, Any]:
    return {
        "title": name,
        "model_name": stem(name),
        "hash": None,
        "sha256": None,
        "filename": name,
        "config": None,
    }


def _upscaler(name: str, path: str | None) -> dict[str, Any]:
    return {"name": name, "model_name": None, "model_path": path, "model_url": None, "scale": 4}


def _written(name: str) -> str:
    """Return A1111's spelling of a latent upscaler's name."""
    return name[:1].upper() + name[1:]
