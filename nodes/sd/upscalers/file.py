"""Reads upscale models: RRDBNet and SRVGGNetCompact, and other networks where spandrel is installed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.json_file import ModelError
from nodes.sd.formats.read import read_tensors
from nodes.sd.formats.upscaler_names import in_basicsr, unwrapped
from nodes.sd.upscalers.compact import CompactNet
from nodes.sd.upscalers.rrdb import RRDBNet

_WIDEST, _DEEPEST, _LARGEST_SCALE = 512, 256, 16
"""Limits of a plausible network."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class UpscaleNetwork:
    """A network that makes pictures larger."""

    module: nn.Module
    """Takes and gives [n, 3, height, width], RGB from 0 to 1."""
    scale: int
    """How much larger the result is."""
    multiple: int = 1
    """The sides of the input must be multiples of it."""


def weight_count(path: Path) -> int:
    """Count the weights that `read` would load; reads only the header of the file.

    Raises:
        ModelError: the file is damaged.
    """
    try:
        tensors = read_tensors(path)
    except BadFileError as error:
        raise ModelError(str(error)) from None
    return sum(tensors.entries[stored].count for stored in unwrapped(tensors).values())


def read(path: Path) -> UpscaleNetwork:
    """Read an upscale model, in float32 on the CPU, in eval mode, frozen.

    Raises:
        ModelError: it is of an unknown network, is damaged, or holds NaN or infinity.
    """
    try:
        tensors = read_tensors(path)
        names = in_basicsr(tensors)
        shapes = {name: tensors.entries[stored].shape for name, stored in names.items()}
        network = _network(path, shapes)
        loaded = tensors.some(unwrapped(tensors).values())
    except BadFileError as error:
        raise ModelError(str(error)) from None
    for stored, tensor in loaded.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(f"{path}: {stored[:200]!r} holds NaN or infinity. Download it again.")
    if network is None:
        plain = {name: loaded[stored] for name, stored in unwrapped(tensors).items()}
        return _by_spandrel(path, plain)
    state: dict[str, Tensor] = {name: loaded[stored].float() for name, stored in names.items()}
    network.module.load_state_dict(state, assign=True)
    network.module.eval().requires_grad_(False)
    return network


def _network(path: Path, shapes: Shapes) -> UpscaleNetwork | None:
    """Build the network that tensors of these shapes belong to, on the meta device; None if it is unknown.

    Raises:
        ModelError: the tensors are those of a known network, but some are missing or have other shapes.
    """
    if "body.0.rdb1.conv1.weight" in shapes and "conv_last.weight" in shapes:
        network = _rrdb(path, shapes)
    elif "body.0.weight" in shapes and "body.1.weight" in shapes and len(shapes["body.1.weight"]) == 1:
        network = _compact(path, shapes)
    else:
        return None
    wanted = {name: tuple(tensor.shape) for name, tensor in network.module.state_dict().items()}
    for name in wanted.keys() | shapes.keys():
        if wanted.get(name) != shapes.get(name):
            found = list(shapes[name]) if name in shapes else "nothing"
            fitting = list(wanted[name]) if name in wanted else "nothing"
            raise ModelError(
                f"{path} is like a {type(network.module).__name__}, but holds {found} as {name!r}, where that"
                f" has {fitting}. Safelight does not run this variant."
            )
    return network


def _rrdb(path: Path, shapes: Shapes) -> UpscaleNetwork:
    features, channels = _sides(path, shapes, "conv_first.weight")
    growth, _ = _sides(path, shapes, "body.0.rdb1.conv1.weight")
    blocks = 1 + max(int(match[1]) for name in shapes if (match := re.match(r"body\.(\d{1,4})\.", name)))
    doublings = sum(bool(re.fullmatch(r"conv_up\d\.weight", name)) for name in shapes)
    unshuffle = math.isqrt(channels // 3)
    if channels != 3 * unshuffle**2 or unshuffle not in (1, 2, 4) or 2**doublings % unshuffle:
        raise ModelError(f"{path} takes {channels} channels, and not RGB pictures.")
    if max(features, growth, blocks) > _WIDEST or 2**doublings > _LARGEST_SCALE:
        raise ModelError(f"{path} describes a network of an implausible size.")
    with torch.device("meta"):
        module = RRDBNet(features, growth, blocks, doublings, unshuffle)
    return UpscaleNetwork(module, 2**doublings // unshuffle, unshuffle)


def _compact(path: Path, shapes: Shapes) -> UpscaleNetwork:
    features, channels = _sides(path, shapes, "body.0.weight")
    last = max(int(match[1]) for name in shapes if (match := re.match(r"body\.(\d{1,4})\.", name)))
    out, _ = _sides(path, shapes, f"body.{last}.weight")
    scale = math.isqrt(out // 3)
    if channels != 3 or out != 3 * scale**2 or scale < 1:
        raise ModelError(f"{path} takes {channels} channels and gives {out}, and not RGB pictures.")
    if features > _WIDEST or last > 2 * _DEEPEST or scale > _LARGEST_SCALE or last % 2 or last < 2:
        raise ModelError(f"{path} describes a network of an implausible size.")
    with torch.device("meta"):
        module = CompactNet(features, last // 2 - 1, scale)
    return UpscaleNetwork(module, scale)


def _sides(path: Path, shapes: Shapes, name: str) -> tuple[int, int]:
    """Return the numbers of output and input channels of a convolution.

    Raises:
        ModelError: the tensor is missing, or is not the weight of a convolution.
    """
    shape = shapes.get(name, ())
    if len(shape) != 4:
        raise ModelError(f"{path} lacks the convolution {name!r}. Download it again.")
    return shape[0], shape[1]


def _by_spandrel(path: Path, state: dict[str, Tensor]) -> UpscaleNetwork:
    """Build a network of any other kind with spandrel, from tensors that are read already.

    Raises:
        ModelError: spandrel is not installed, or does not know the network.
    """
    try:
        import spandrel  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise ModelError(
            f"{path} is neither an ESRGAN (RRDBNet) nor a compact Real-ESRGAN (SRVGGNetCompact). To run other"
            " upscale models, install spandrel: pip install safelight[upscalers]"
        ) from None
    try:
        model: Any = spandrel.ModelLoader(device="cpu").load_from_state_dict(state)
    except Exception as error:  # its loaders raise any exception for tensors that they do not expect
        raise ModelError(f"spandrel does not know the upscale model in {path}: {error}") from None
    if model.input_channels != 3 or model.output_channels != 3:
        raise ModelError(f"{path} takes {model.input_channels} channels, and not RGB pictures.")
    needs = model.size_requirements
    multiple = math.lcm(int(needs.multiple_of or 1), 1)
    module: nn.Module = model.model.float().eval().requires_grad_(False)
    return UpscaleNetwork(module, int(model.scale), multiple)
