"""Random upscale models in the layouts in which people find them, and their formulas written out by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

State = dict[str, Tensor]


def rrdb_state(features: int = 8, growth: int = 4, blocks: int = 2, ups: int = 2, channels: int = 3) -> State:
    """A random RRDBNet with the names of BasicSR."""
    random = torch.Generator().manual_seed(0)
    state: State = {}

    def conv(name: str, inner: int, out: int) -> None:
        state[f"{name}.weight"] = torch.randn(out, inner, 3, 3, generator=random) * (2 / (9 * inner)) ** 0.5
        state[f"{name}.bias"] = torch.randn(out, generator=random) * 0.05

    conv("conv_first", channels, features)
    for block in range(blocks):
        for dense in range(1, 4):
            for n in range(1, 6):
                out = growth if n < 5 else features
                conv(f"body.{block}.rdb{dense}.conv{n}", features + (n - 1) * growth, out)
    conv("conv_body", features, features)
    for up in range(1, ups + 1):
        conv(f"conv_up{up}", features, features)
    conv("conv_hr", features, features)
    conv("conv_last", features, 3)
    return state


def rrdb_formula(state: Mapping[str, Tensor], x: Tensor, unshuffle: int = 1) -> Tensor:
    """ESRGAN's forward pass (arXiv:1809.00219, BasicSR's rrdbnet_arch.py), in float64."""
    weights = {name: tensor.double() for name, tensor in state.items()}

    def conv(name: str, value: Tensor) -> Tensor:
        return functional.conv2d(value, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    def leaky(value: Tensor) -> Tensor:
        return torch.where(value >= 0, value, 0.2 * value)

    def dense(name: str, x0: Tensor) -> Tensor:
        x1 = leaky(conv(f"{name}.conv1", x0))
        x2 = leaky(conv(f"{name}.conv2", torch.cat((x0, x1), 1)))
        x3 = leaky(conv(f"{name}.conv3", torch.cat((x0, x1, x2), 1)))
        x4 = leaky(conv(f"{name}.conv4", torch.cat((x0, x1, x2, x3), 1)))
        return conv(f"{name}.conv5", torch.cat((x0, x1, x2, x3, x4), 1)) * 0.2 + x0

    x = x.double()
    n, c, h, w = x.shape
    s = unshuffle
    x = x.view(n, c, h // s, s, w // s, s).permute(0, 1, 3, 5, 2, 4).reshape(n, c * s * s, h // s, w // s)
    first = conv("conv_first", x)
    inner = first
    for block in range(1 + max(int(name.split(".")[1]) for name in state if name.startswith("body."))):
        start = inner
        for n in (1, 2, 3):
            inner = dense(f"body.{block}.rdb{n}", inner)
        inner = inner * 0.2 + start
    x = first + conv("conv_body", inner)
    for up in range(1, sum(name.startswith("conv_up") for name in state) // 2 + 1):
        x = leaky(conv(f"conv_up{up}", x.repeat_interleave(2, 2).repeat_interleave(2, 3)))
    return conv("conv_last", leaky(conv("conv_hr", x)))


def as_first_esrgan(state: State) -> State:
    """The same tensors as the first ESRGAN names them: `model.1.sub.0.RDB1.conv1.0.weight`."""
    ups = sum(name.startswith("conv_up") for name in state) // 2
    blocks = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("body."))
    top = {"conv_first": 0, "conv_hr": 2 + 3 * ups, "conv_last": 4 + 3 * ups}
    top |= {f"conv_up{up}": 3 * up for up in range(1, ups + 1)}
    renamed = {}
    for name, tensor in state.items():
        layer, kind = name.rsplit(".", 1)
        if match := re.fullmatch(r"body\.(\d+)\.rdb(\d)\.conv(\d)", layer):
            renamed[f"model.1.sub.{match[1]}.RDB{match[2]}.conv{match[3]}.0.{kind}"] = tensor
        elif layer == "conv_body":
            renamed[f"model.1.sub.{blocks}.{kind}"] = tensor
        else:
            renamed[f"model.{top[layer]}.{kind}"] = tensor
    return renamed


def as_mmsr(state: State) -> State:
    """The same tensors as BasicSR's predecessor names them: `RRDB_trunk.0.RDB1.conv1.weight`."""
    words = {"conv_body": "trunk_conv", "conv_up1": "upconv1", "conv_up2": "upconv2", "conv_hr": "HRconv"}
    renamed = {}
    for name, tensor in state.items():
        layer, kind = name.rsplit(".", 1)
        layer = re.sub(r"body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2", words.get(layer, layer))
        renamed[f"{layer}.{kind}"] = tensor
    return renamed


def compact_state(features: int = 8, convolutions: int = 3, scale: int = 4) -> State:
    """A random SRVGGNetCompact with PReLU."""
    random = torch.Generator().manual_seed(1)
    sides = [3, *[features] * (convolutions + 1), 3 * scale**2]
    state = {}
    for n in range(convolutions + 2):
        shape = sides[n + 1], sides[n], 3, 3
        state[f"body.{2 * n}.weight"] = torch.randn(shape, generator=random) * 0.2
        state[f"body.{2 * n}.bias"] = torch.randn(sides[n + 1], generator=random) * 0.05
        if n <= convolutions:
            state[f"body.{2 * n + 1}.weight"] = torch.rand(features, generator=random)
    return state


def compact_formula(state: Mapping[str, Tensor], x: Tensor, scale: int) -> Tensor:
    """SRVGGNetCompact's forward pass (Real-ESRGAN's srvgg_arch.py), in float64."""
    x = value = x.double()
    layers = 1 + max(int(name.split(".")[1]) for name in state)
    for layer in range(0, layers, 2):
        weight, bias = state[f"body.{layer}.weight"].double(), state[f"body.{layer}.bias"].double()
        value = functional.conv2d(value, weight, bias, padding=1)
        if layer + 1 < layers:
            slope = state[f"body.{layer + 1}.weight"].double()[None, :, None, None]
            value = torch.where(value >= 0, value, slope * value)
    n, _, h, w = x.shape
    shuffled = (
        value.view(n, 3, scale, scale, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, 3, h * scale, w * scale)
    )
    return shuffled + x.repeat_interleave(scale, 2).repeat_interleave(scale, 3)


def noise(height: int, width: int) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(2))
