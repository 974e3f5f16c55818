"""Embeddings as each tool writes them, by the tool's own means: torch.save, safetensors, pillow, zlib."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save_file
from torch import Tensor, nn

N, WIDTH = 3, 768

Write = Callable[[Path, Tensor], None]


def vectors(count: int = N, width: int = WIDTH, seed: int = 7) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def a1111(param: object, **changes: object) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": param},
        "name": "mug",
        "step": 499,
        "sd_checkpoint": "cc6cb27103",
        "sd_checkpoint_name": "v1-5-pruned",
    }
    return {**whole, **changes}


def _save(whole: object, path: Path, *, old: bool = False) -> None:
    torch.save(whole, path, _use_new_zipfile_serialization=not old)


def _old_parameters(tensor: Tensor) -> nn.ParameterDict:
    """A ParameterDict whose state is what torch up to 1.11 kept of it."""
    parameters = nn.ParameterDict({"*": nn.Parameter(tensor)})
    del parameters.__dict__["_keys"]
    return parameters


def _original(tensor: Tensor, *, old: bool) -> dict[str, Any]:
    """As the first repository and A1111 of 2022 wrote it: no name, tensors for tokens."""
    return {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": _old_parameters(tensor)}


def _in_chunk(path: Path, tensor: Tensor) -> None:
    whole = a1111({"TORCHTENSOR": tensor.tolist()})
    info = PngInfo()
    info.add_text("sd-ti-embedding", base64.b64encode(json.dumps(whole).encode()).decode())
    Image.new("RGB", (64, 64), (200, 30, 30)).save(path, "PNG", pnginfo=info)


def hidden(text: bytes, height: int = 96, width: int = 64) -> Image.Image:
    """A picture with text in the low bits of its margins, laid out step by step as the specification says."""
    packed = zlib.compress(text, 9)
    length = len(packed) + (height - len(packed) % height)
    length += 3 * height - length % (3 * height)
    filled = (packed * (length // len(packed) + 1))[:length]
    state, low, high = 0, [], []
    for byte in filled:
        state = (1664525 * state + 1013904223) % 2**32
        low.append((byte & 15) ^ (state % 255 & 15))
        high.append((byte >> 4) ^ (state % 255 & 15))
    columns = length // (3 * height)
    decoration = numpy.random.default_rng(3).integers(1, 15, (height, columns, 3)) << 4
    blocks = [
        (numpy.array(half).reshape(height, columns, 3) | decoration).astype("u1") for half in (low, high)
    ]
    line = numpy.zeros((height, 1, 3), "u1")
    middle = numpy.full((height, width, 3), 171, "u1")
    return Image.fromarray(numpy.concatenate([blocks[0], line, middle, line, blocks[1]], axis=1))


def _in_pixels(suffix: str) -> Write:
    def write(path: Path, tensor: Tensor) -> None:
        picture = hidden(json.dumps(a1111({"TORCHTENSOR": tensor.tolist()})).encode())
        if suffix == "PNG":
            picture.save(path, "PNG")
        else:
            picture.save(path, "WEBP", lossless=True)

    return write


FORMATS: dict[str, Write] = {
    "A1111": lambda path, t: _save(a1111(t), path),
    "A1111, a parameter": lambda path, t: _save(a1111(nn.Parameter(t)), path),
    "A1111, a stream": lambda path, t: _save(a1111(t), path, old=True),
    "A1111, step None": lambda path, t: _save(a1111(t, step=None, sd_checkpoint=None), path),
    "A1111, numbers of numpy's": lambda path, t: _save(a1111(t, step=numpy.int64(499)), path),
    "original": lambda path, t: _save(_original(t, old=False), path),
    "original, a stream": lambda path, t: _save(_original(t, old=True), path, old=True),
    "ParameterDict": lambda path, t: _save(a1111(t, string_to_param=nn.ParameterDict({"*": t})), path),
    "kohya": lambda path, t: save_file({"emb_params": t}, path, {"modelspec.title": "x"}),
    "kohya, pt": lambda path, t: _save({"emb_params": t}, path),
    "OneTrainer": lambda path, t: save_file({"emp_params": t}, path),
    "diffusers, bin": lambda path, t: _save({"<mug>": t}, path),
    "diffusers, safetensors": lambda path, t: save_file({"<mug>": t}, path, {"format": "pt"}),
    "ComfyUI's list": lambda path, t: _save([{"a": t[:1]}, {"b": t[1:]}], path),
    "PNG chunk": _in_chunk,
    "PNG pixels": _in_pixels("PNG"),
    "WEBP pixels": _in_pixels("WEBP"),
}
