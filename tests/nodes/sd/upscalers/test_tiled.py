"""Upscaling in tiles against the whole picture."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nodes.sd.upscalers.compact import CompactNet
from nodes.sd.upscalers.file import UpscaleNetwork
from nodes.sd.upscalers.rrdb import RRDBNet
from nodes.sd.upscalers.tiled import tile_count, tiles, upscale
from tests.nodes.sd.upscalers.files import compact_state, noise, rrdb_state


def compact() -> UpscaleNetwork:
    module = CompactNet(8, 3, 4)
    module.load_state_dict(compact_state())
    return UpscaleNetwork(module, 4)


def rrdb() -> UpscaleNetwork:
    module = RRDBNet(8, 4, 1, 2, unshuffle=2)
    module.load_state_dict(rrdb_state(blocks=1, channels=12))
    return UpscaleNetwork(module, 2, 2)


def last(network: UpscaleNetwork, picture: Tensor, size: int, overlap: int) -> Tensor:
    *_, result = upscale(network, picture, size, overlap)
    return result


@pytest.mark.parametrize(
    ("make", "overlap", "size"),
    [(compact, 5, 24), (compact, 8, 20), (rrdb, 46, 112), (rrdb, 47, 111)],
    ids=["compact", "compact wide", "rrdb", "rrdb odd"],
)
def test_tiles_that_see_as_far_as_the_network_have_no_seams(
    make: Callable[[], UpscaleNetwork], overlap: int, size: int
) -> None:
    """Compact: 5 convolutions. RRDB: 1 + 3 x 5 + 1 at half the size, and less than 6 pixels after it."""
    network, picture = make(), noise(131, 53)
    whole = last(network, picture, 0, 32)
    assert whole.shape == (3, 131 * network.scale, 53 * network.scale)
    assert tile_count(131, 53, size, overlap, network.multiple) > 1
    torch.testing.assert_close(last(network, picture, size, overlap), whole, atol=5e-5, rtol=0)


def test_tiles_that_see_too_little_differ_little() -> None:
    network, picture = compact(), noise(64, 64)
    whole = last(network, picture, 0, 0)
    errors = [float((last(network, picture, 32, overlap) - whole).abs().mean()) for overlap in (0, 2, 4)]
    assert errors[0] > errors[1] > errors[2] > 0
    assert errors[0] < 0.1 * float((whole - whole.mean()).abs().mean())


@pytest.mark.parametrize("size", [16, 24, 100])
@pytest.mark.parametrize("multiple", [1, 2, 4])
def test_every_pixel_belongs_to_one_tile(size: int, multiple: int) -> None:
    height, width = 52, 36
    covered = torch.zeros(height, width, dtype=torch.int)
    for tile in tiles(height, width, size, 4, multiple):
        covered[tile.top : tile.bottom, tile.left : tile.right] += 1
        seen = (tile.seen_top, tile.seen_left, tile.seen_bottom, tile.seen_right)
        assert all(place % multiple == 0 for place in seen)
        assert tile.seen_bottom - tile.seen_top <= max(size, 4 * multiple + 8)
        assert tile.seen_top == max(0, tile.top - 4)
        assert tile.seen_bottom == min(height, tile.bottom + 4) or tile.seen_bottom == height
    assert (covered == 1).all()


def test_a_picture_smaller_than_the_multiple_is_padded() -> None:
    result = last(rrdb(), noise(3, 1), 0, 0)
    assert result.shape == (3, 6, 2)
    assert torch.isfinite(result).all()
