"""Operations on latents, and pictures prepared for inpainting, against simple formulas."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as pillow
from PIL import ImageFilter, ImageOps

from engine.errors import NodeError
from engine.session import Session
from engine.testing import open_session, run_node
from nodes.latent.inpaint import CropAroundMask
from nodes.latent.latents import (
    CompositeLatent,
    CropLatent,
    FlipLatent,
    JoinLatents,
    LatentFromBatch,
    MaskLatent,
    RepeatLatent,
    ResizeLatent,
    RotateLatent,
    ScaleLatent,
)
from nodes.sd.latents import masked_picture
from nodes.sd.latents.resize import resize
from nodes.values import Image, Latent, Mask


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with open_session() as session:
        yield session


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def made(session: Session, node: Any) -> Latent:
    found = run_node(session, node)["out"]
    assert isinstance(found, Latent)
    return found


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "area"])
def test_flat_latents_stay_flat_in_every_method(session: Session, method: Any) -> None:
    flat = torch.tensor([1.0, -2.0, 0.5, 3.0])[None, :, None, None].expand(2, 4, 16, 24)
    found = made(session, ResizeLatent(latent=Latent(flat), width=320, height=96, method=method)).samples
    assert found.shape == (2, 4, 12, 40)
    torch.testing.assert_close(found, flat[:, :, :1, :1].expand(2, 4, 12, 40))


def slerp(one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
    angle = math.acos(float(one @ other / (one.norm() * other.norm())))
    length = one.norm() * (1 - share) + other.norm() * share
    turned = math.sin((1 - share) * angle) * one / one.norm() + math.sin(share * angle) * other / other.norm()
    between: torch.Tensor = turned / math.sin(angle) * length
    return between


def test_bislerp_turns_between_neighbours_and_keeps_their_length() -> None:
    samples = noise(1, 4, 1, 4).double()
    found = resize(samples.float(), 8, 1, "bislerp")[0, :, 0]
    cells = samples[0, :, 0]
    for place in range(8):
        source = max((place + 0.5) / 2 - 0.5, 0)
        left = min(int(source), 3)
        share = source - left
        right = min(left + 1, 3)
        expected = (
            cells[:, left] if share == 0 or left == right else slerp(cells[:, left], cells[:, right], share)
        )
        torch.testing.assert_close(found[:, place].double(), expected, rtol=1e-4, atol=1e-4)


def test_a_crop_keeps_proportions(session: Session) -> None:
    columns = torch.arange(24.0).expand(1, 4, 8, 24)
    node = ResizeLatent(latent=Latent(columns), width=64, height=64, method="nearest", fit="crop")
    assert made(session, node).samples[0, 0, 0].tolist() == list(range(8, 16))


def test_a_factor_rounds_to_cells(session: Session) -> None:
    assert made(session, ScaleLatent(latent=Latent(noise(1, 4, 9, 11)), factor=1.5)).samples.shape[-2:] == (
        14,
        16,
    )


@pytest.mark.parametrize(("inputs", "side"), [({"x": 136}, "x"), ({"y": 72}, "y")])
def test_a_rectangle_beyond_the_latent_is_refused_as_beyond_a_picture(
    session: Session, inputs: dict[str, int], side: str
) -> None:
    latent = Latent(noise(1, 4, 16, 24))
    with pytest.raises(NodeError) as error:
        made(session, CropLatent(latent=latent, width=64, height=64, **inputs))
    assert (error.value.code, error.value.input) == ("outside", side)


def test_cut_mirror_and_turn_move_the_mask_as_well(session: Session) -> None:
    samples = noise(2, 4, 16, 24)
    mask = torch.zeros(1, 128, 192)
    mask[:, :64, :64] = 1  # the cells [:8, :8]
    latent = Latent(samples, mask)
    cut = made(session, CropLatent(latent=latent, width=96, height=64, x=32, y=16))
    assert torch.equal(cut.samples, samples[..., 2:10, 4:16])
    assert cut.mask is not None
    assert cut.mask.shape == (1, 8, 12)
    assert float(cut.mask.sum()) == 6 * 4
    assert torch.equal(made(session, FlipLatent(latent=latent)).samples, samples.flip(3))
    assert torch.equal(
        made(session, FlipLatent(latent=latent, direction="vertical")).samples, samples.flip(2)
    )
    turned = made(session, RotateLatent(latent=latent, angle="90"))
    assert torch.equal(turned.samples[..., 0, -1], samples[..., 0, 0]), "the corner goes to the right"
    assert turned.mask is not None
    assert float(turned.mask[0, :8, -8:].sum()) == 64


def test_a_composite_covers_fades_and_is_cut(session: Session) -> None:
    below, above = torch.zeros(2, 4, 16, 16), torch.ones(1, 4, 8, 8)
    plain = made(session, CompositeLatent(base=Latent(below), top=Latent(above), x=96, y=32)).samples
    assert float(plain.sum()) == 2 * 4 * 8 * 4
    assert bool((plain[..., 4:12, 12:] == 1).all())
    faded = made(
        session, CompositeLatent(base=Latent(below), top=Latent(above), x=32, y=0, feather=16)
    ).samples[0, 0]
    assert faded[0, 3:13].tolist() == [0, 0.5, 1, 1, 1, 1, 1, 1, 0.5, 0]
    assert faded[:9, 8].tolist() == [1, 1, 1, 1, 1, 1, 1, 0.5, 0], "the side at the edge does not fade"
    half = np.zeros((1, 8, 8), np.float32)
    half[:, :, 4:] = 0.25
    masked = made(session, CompositeLatent(base=Latent(below), top=Latent(above), mask=Mask(half))).samples
    assert float(masked.sum()) == 2 * 4 * 8 * 4 * 0.25


def test_batches_are_joined_repeated_and_taken_apart(session: Session) -> None:
    one, two = noise(1, 4, 8, 8), noise(2, 4, 8, 8) + 1
    joined = made(session, JoinLatents(first=Latent(one), second=Latent(two)))
    assert torch.equal(joined.samples, torch.cat([one, two]))
    assert len(made(session, JoinLatents(first=Latent(one), second=Latent(noise(1, 4, 16, 24)))).samples) == 2
    repeated = made(session, RepeatLatent(latent=Latent(two, torch.ones(1, 8, 8)), times=3))
    assert torch.equal(repeated.samples, torch.cat([two] * 3))
    assert repeated.mask is not None
    assert len(repeated.mask) == 1
    taken = made(session, LatentFromBatch(latent=joined, first=1, count=5))
    assert torch.equal(taken.samples, two)
    with pytest.raises(NodeError, match="has 3 pictures"):
        run_node(session, LatentFromBatch(latent=joined, first=3))
    with pytest.raises(NodeError, match="2 masks for 3 pictures"):
        run_node(session, MaskLatent(latent=joined, mask=Mask(np.ones((2, 8, 8), np.float32))))


def test_a_grown_mask_reaches_as_far_as_comfyui_s_convolution() -> None:
    levels = (noise(1, 40, 32) > 2.2).float().numpy()
    for pixels in (1, 6, 7):
        kernel = torch.ones(1, 1, pixels, pixels)
        around = math.ceil((pixels - 1) / 2)
        reached = torch.nn.functional.conv2d(torch.from_numpy(levels)[:, None], kernel, padding=around)
        expected = reached.clamp(0, 1)[:, 0, :40, :32].numpy()
        np.testing.assert_array_equal(masked_picture.grown(levels, pixels), expected)
    assert masked_picture.grown(levels * np.float32(0.3), 0).max() == np.float32(0.3)


def test_hidden_parts_are_grey_or_have_the_colours_around() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8)
    levels = np.zeros((1, 48, 64), np.float32)
    levels[:, 10:30, 20:50] = 1
    grey = masked_picture.greyed(pictures, levels)
    assert (grey[:, 10:30, 20:50] == 128).all()
    assert (grey[:, 30:] == pictures[:, 30:]).all()
    found = masked_picture.filled(pictures, levels)
    assert (found[:, 30:] == pictures[:, 30:]).all()
    for picture, ours in zip(pictures, found, strict=True):  # A1111's modules/masking.py, step by step
        image, mask = pillow.fromarray(picture), pillow.fromarray((levels[0] * 255).astype(np.uint8))
        result = pillow.new("RGBA", image.size)
        seen = pillow.new("RGBa", image.size)
        seen.paste(image.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask))
        for radius, repeats in [(256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1)]:
            blurred = seen.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
            for _ in range(repeats):
                result.alpha_composite(blurred)
        np.testing.assert_array_equal(ours, np.asarray(result.convert("RGB")))


def expanded(region: list[int], working: tuple[int, int], size: tuple[int, int]) -> list[int]:
    """`expand_crop_region` of A1111's modules/masking.py, for both of its branches at once."""
    ends = [[region[0], region[2]], [region[1], region[3]]]
    sides = [end - start for start, end in ends]
    side = 1 if sides[0] / sides[1] > working[0] / working[1] else 0
    wanted = sides[1 - side] * working[side] / working[1 - side]
    missing = int(wanted - sides[side])
    start, end = ends[side][0] - missing // 2, ends[side][1] + missing - missing // 2
    if end >= size[side]:
        start, end = start - (end - size[side]), size[side]
    if start < 0:
        start, end = 0, end - start
    ends[side] = [start, min(end, size[side])]
    return [ends[0][0], ends[1][0], ends[0][1], ends[1][1]]


@pytest.mark.parametrize("place", [(10, 20, 40, 30), (70, 5, 96, 12), (0, 0, 3, 60), (30, 30, 31, 31)])
@pytest.mark.parametrize("working", [(64, 64), (128, 64), (64, 192)])
def test_the_part_around_a_mask_has_the_proportions_to_work_at(
    session: Session, place: tuple[int, int, int, int], working: tuple[int, int]
) -> None:
    left, top, right, bottom = place
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    levels = np.zeros((1, 64, 96), np.float32)
    levels[:, top:bottom, left:right] = 1
    node = CropAroundMask(
        image=Image(pixels), mask=Mask(levels), padding=4, width=working[0], height=working[1]
    )
    found: dict[str, Any] = dict(run_node(session, node))
    padded = [max(left - 4, 0), max(top - 4, 0), min(right + 4, 96), min(bottom + 4, 64)]
    x1, y1, x2, y2 = expanded(padded, working, (96, 64))
    assert (found["x"], found["y"], found["width"], found["height"]) == (x1, y1, x2 - x1, y2 - y1)
    np.testing.assert_array_equal(found["cover"].levels, levels[:, y1:y2, x1:x2])
    part = pillow.fromarray(pixels[0, y1:y2, x1:x2]).resize(working, pillow.Resampling.LANCZOS)
    np.testing.assert_array_equal(found["image"].pixels[0], np.asarray(part))
    assert found["mask"].levels.shape[1:] == working[::-1]


def test_a_mask_that_is_off_has_no_part(session: Session) -> None:
    blank = Image(np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(NodeError, match="entirely black"):
        run_node(session, CropAroundMask(image=blank, mask=Mask(np.zeros((1, 8, 8), np.float32))))
