"""Initialises an autoencoder so that its latents are the average colours of cells before any training.

Training then only has to add the detail. A colour channel x is carried as the pair +x, -x, which survives
normalisation and SiLU because silu(h) - silu(-h) = h. Two constant channels +A and -A per colour keep the
statistics of the normalisation group, and so its scale, nearly the same in every picture.
"""

from __future__ import annotations

from typing import Any

import torch

ANCHOR = 4.0
PAIRS = {0: 0, 1: 4, 2: 8}
"""The first of the four protected channels (+x, -x, +A, -A) of each colour channel."""
PROTECTED = list(range(12))


@torch.no_grad()
def start_from_average_colours(vae: Any) -> None:
    """Set the weights of a new `AutoencoderKL`: it encodes to cell averages and decodes to flat cells."""
    for half in (vae.encoder, vae.decoder):
        _carry_in(half.conv_in)
        _carry_through(half)
    norm = vae.encoder.conv_norm_out
    per_group = norm.num_channels // norm.num_groups
    encoder_out, decoder_out = vae.encoder.conv_out, vae.decoder.conv_out
    encoder_out.weight[:, PROTECTED] = 0
    encoder_out.weight[:3] = 0
    encoder_out.weight[3] *= 4
    encoder_out.weight[4:] *= 0.1
    encoder_out.bias[4:] = -5.0  # a small posterior variance
    _carry_out(encoder_out, (6 * ANCHOR**2 / per_group + 0.4) ** 0.5)
    decoder_out.weight[:3] = torch.randn_like(decoder_out.weight[:3]) * 0.01
    decoder_out.weight[:3, PROTECTED] = 0
    _carry_out(decoder_out, ANCHOR / 2**0.5 * 1.02)
    for conv in (vae.quant_conv, vae.post_quant_conv):
        torch.nn.init.dirac_(conv.weight)
        conv.bias.zero_()


def _carry_in(conv: Any) -> None:
    conv.weight[PROTECTED] = 0
    conv.bias[PROTECTED] = 0
    for colour, first in PAIRS.items():
        conv.weight[first, colour, 1, 1] = 1
        conv.weight[first + 1, colour, 1, 1] = -1
        conv.bias[first + 2] = ANCHOR
        conv.bias[first + 3] = -ANCHOR


def _carry_through(half: Any) -> None:
    """Pass the protected channels through every block unchanged; they are averaged where the size halves."""
    for module in half.modules():
        kind = type(module).__name__
        if kind == "ResnetBlock2D":
            module.conv2.weight.mul_(0.3)
            module.conv2.weight[PROTECTED] = 0
            module.conv2.bias.zero_()
            if module.conv_shortcut is not None:
                _identity(module.conv_shortcut, (0, 0), (0, 0), 1.0)
        elif kind == "Attention":
            module.to_out[0].weight.mul_(0.1)
            module.to_out[0].weight[PROTECTED] = 0
            module.to_out[0].bias[PROTECTED] = 0
        elif kind == "Downsample2D":
            _identity(module.conv, (0, 0), (1, 1), 0.25)
        elif kind == "Upsample2D":
            _identity(module.conv, (1, 1), (1, 1), 1.0)


def _identity(conv: Any, first: tuple[int, int], last: tuple[int, int], gain: float) -> None:
    conv.weight[PROTECTED] = 0
    conv.bias[PROTECTED] = 0
    for channel in PROTECTED:
        conv.weight[channel, channel, first[0] : last[0] + 1, first[1] : last[1] + 1] = gain


def _carry_out(conv: Any, gain: float) -> None:
    conv.bias[:3] = 0
    for colour, first in PAIRS.items():
        conv.weight[colour, first, 1, 1] = gain
        conv.weight[colour, first + 1, 1, 1] = -gain
