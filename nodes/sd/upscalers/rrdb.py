"""RRDBNet, the network of ESRGAN and Real-ESRGAN (arXiv:1809.00219, arXiv:2107.10833)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def _conv(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1)


def _leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.2)


class DenseBlock(nn.Module):
    """A residual dense block: five convolutions, each of which sees the results of all before it."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        for n in range(1, 6):
            self.add_module(f"conv{n}", _conv(features + (n - 1) * growth, growth if n < 5 else features))

    def forward(self, x: Tensor) -> Tensor:
        """The input plus 0.2 times the last convolution."""
        results = [x]
        for n in range(1, 5):
            results.append(_leaky(self.get_submodule(f"conv{n}")(torch.cat(results, 1))))
        last: Tensor = self.get_submodule("conv5")(torch.cat(results, 1))
        return last * 0.2 + x


class Block(nn.Module):
    """A residual in residual dense block (RRDB): three dense blocks in a row."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(features, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """The input plus 0.2 times what the blocks give."""
        inner: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return inner * 0.2 + x


class RRDBNet(nn.Module):
    """The network, with the names of BasicSR.

    Args:
        features: the channels between the blocks.
        growth: the channels that each convolution of a dense block adds.
        blocks: the number of RRDBs; 23 in ESRGAN, 6 in Real-ESRGAN's model for anime.
        doublings: how often it doubles the size.
        unshuffle: how many pixels along a side become channels before the first convolution; 2 in
            Real-ESRGAN's x2 model, which doubles twice.
    """

    def __init__(self, features: int, growth: int, blocks: int, doublings: int, unshuffle: int = 1) -> None:
        super().__init__()
        self.unshuffle, self.doublings = unshuffle, doublings
        self.conv_first = _conv(3 * unshuffle**2, features)
        self.body = nn.Sequential(*(Block(features, growth) for _ in range(blocks)))
        self.conv_body = _conv(features, features)
        for n in range(1, doublings + 1):
            self.add_module(f"conv_up{n}", _conv(features, features))
        self.conv_hr, self.conv_last = _conv(features, features), _conv(features, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale pictures: [n, 3, height, width], RGB from 0 to 1, with sides that `unshuffle` divides."""
        first = self.conv_first(functional.pixel_unshuffle(x, self.unshuffle))
        features = first + self.conv_body(self.body(first))
        for n in range(1, self.doublings + 1):
            larger = functional.interpolate(features, scale_factor=2, mode="nearest")
            features = _leaky(self.get_submodule(f"conv_up{n}")(larger))
        picture: Tensor = self.conv_last(_leaky(self.conv_hr(features)))
        return picture
