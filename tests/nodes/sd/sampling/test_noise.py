"""Noise that seeds alone decide."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nodes.sd.sampling.noise import NoiseSource, Variation
from nodes.sd.sampling.philox import PhiloxGenerator, philox


def test_a_batch_equals_its_single_pictures() -> None:
    batch = NoiseSource(7, 3)
    singles = [NoiseSource(7 + i) for i in range(3)]
    for _ in range(2):
        assert torch.equal(batch.draw((4, 8, 8)), torch.cat([one.draw((4, 8, 8)) for one in singles]))


def test_cpu_noise_equals_torch_s() -> None:
    generator = torch.Generator().manual_seed(123)
    source = NoiseSource(123)
    assert torch.equal(source.draw((4, 16, 16)), torch.randn(1, 4, 16, 16, generator=generator))
    assert torch.equal(source.like(torch.zeros(1, 4, 16, 16)), torch.randn(1, 4, 16, 16, generator=generator))


def test_noise_has_the_dtype_of_the_latents() -> None:
    drawn = NoiseSource(1).like(torch.zeros(1, 2, 3, 3, dtype=torch.float16))
    assert drawn.dtype == torch.float16
    assert torch.equal(drawn, NoiseSource(1).draw((2, 3, 3)).half())


def test_batch_seeds_wrap_at_2_to_the_64() -> None:
    batch = NoiseSource(2**64 - 1, 2).draw((4, 4))
    assert torch.equal(batch[1:], NoiseSource(0).draw((4, 4)))


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=str(seed)):
        NoiseSource(seed)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        NoiseSource(1, 0)


def test_another_number_of_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match="2 pictures, but the latents are for 3"):
        NoiseSource(1, 2).like(torch.zeros(3, 4, 8, 8))


def test_later_noise_may_have_another_seed() -> None:
    source = NoiseSource(7, 2, later_shift=31337)
    assert torch.equal(source.draw((4, 8, 8)), NoiseSource(7, 2).draw((4, 8, 8)))
    assert torch.equal(source.draw((4, 8, 8)), NoiseSource(7 + 31337, 2).draw((4, 8, 8)))


def test_comfyui_draws_a_batch_from_one_seed() -> None:
    source = NoiseSource(7, 3, "comfyui")
    generator = torch.Generator().manual_seed(7)
    assert torch.equal(source.draw((4, 8, 8)), torch.randn(3, 4, 8, 8, generator=generator))
    later = PhiloxGenerator(7).randn((3, 4, 8, 8))
    assert torch.equal(source.draw((4, 8, 8)), later)


def slerp(strength: float, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Each column of a picture turns toward the other, at the speed of its angle (A1111's `slerp`)."""
    result = torch.empty_like(low)
    for channel in range(low.shape[0]):
        for column in range(low.shape[2]):
            one, other = low[channel, :, column].double(), high[channel, :, column].double()
            angle = math.acos(float(one @ other / (one.norm() * other.norm())))
            weights = math.sin((1 - strength) * angle), math.sin(strength * angle)
            result[channel, :, column] = (weights[0] * one + weights[1] * other) / math.sin(angle)
    return result


def test_a_variation_mixes_in_the_noise_of_a_second_seed() -> None:
    found = NoiseSource(7, 2, variation=Variation(100, 0.3)).draw((4, 8, 8))
    first = NoiseSource(7).draw((4, 8, 8))[0]
    for number, seed in enumerate((100, 101)):
        # A1111 takes the angle along the columns of noise [channels, height, width]: its dim 1.
        expected = slerp(0.3, first, NoiseSource(seed).draw((4, 8, 8))[0])
        torch.testing.assert_close(found[number], expected, rtol=0, atol=1e-5)
    same = NoiseSource(7, variation=Variation(7, 0.5)).draw((4, 8, 8))
    torch.testing.assert_close(same[0], first)


KNOWN_CUDA = [
    [-0.92466259, -0.42534415, -2.6438457, 0.14518388],
    [-0.12086647, -0.57972564, -0.62285122, -0.32838709],
    [-1.07454231, -0.36314407, -1.67105067, 2.26550497],
]
"""`torch.manual_seed(0); torch.randn(3, 4, device="cuda")`."""


def philox_words(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 in Python's whole numbers, after the paper's definition."""
    for _ in range(10):
        left, right = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [
            (right >> 32) ^ counter[1] ^ key[0],
            right % 2**32,
            (left >> 32) ^ counter[3] ^ key[1],
            left % 2**32,
        ]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_words_of_its_authors(counter: list[int], key: list[int], words: list[int]) -> None:
    """The known answers of the authors' library Random123."""
    found = philox(np.array(counter, dtype=np.uint32)[:, None], (key[0], key[1]))
    assert found[:, 0].tolist() == words == philox_words(counter, key)


def test_nv_noise_is_that_of_a_gpu() -> None:
    np.testing.assert_allclose(NoiseSource(0, 1, "nv").draw((3, 4))[0], KNOWN_CUDA, rtol=2e-6)


@pytest.mark.parametrize("seed", [0, 5, 2**32 + 3, 2**64 - 1])
def test_later_nv_draws_continue_the_random_stream(seed: int) -> None:
    source = NoiseSource(seed, 1, "nv")
    for call in range(3):
        drawn = source.draw((2, 5))[0].reshape(-1)
        for thread, found in enumerate(drawn.tolist()):
            first, second, *_ = philox_words([call, 0, thread, 0], [seed % 2**32, seed >> 32])
            radius = math.sqrt(-2 * math.log((first + 0.5) / 2**32))
            assert found == pytest.approx(radius * math.sin(2 * math.pi * (second + 0.5) / 2**32), abs=1e-5)


def test_an_nv_batch_is_its_singles() -> None:
    batch = NoiseSource(7, 3, "nv")
    singles = [NoiseSource(7 + i, 1, "nv") for i in range(3)]
    for _ in range(2):
        assert torch.equal(batch.draw((4, 8, 8)), torch.cat([one.draw((4, 8, 8)) for one in singles]))
