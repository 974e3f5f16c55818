"""SRVGGNetCompact, the small network of Real-ESRGAN's general and anime video models."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class CompactNet(nn.Module):
    """Convolutions at the size of the input, and one step of pixel shuffle; with the names of BasicSR.

    Args:
        features: the channels between the convolutions.
        convolutions: the number of convolutions between the first and the last one.
        scale: how much larger the result is.
    """

    def __init__(self, features: int, convolutions: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [nn.Conv2d(3, features, 3, padding=1), nn.PReLU(features)]
        for _ in range(convolutions):
            layers += [nn.Conv2d(features, features, 3, padding=1), nn.PReLU(features)]
        layers.append(nn.Conv2d(features, 3 * scale**2, 3, padding=1))
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale pictures: [n, 3, height, width], RGB from 0 to 1."""
        details = functional.pixel_shuffle(self.body(x), self.scale)
        return details + functional.interpolate(x, scale_factor=self.scale, mode="nearest")
