"""Noise that seeds alone decide."""

from __future__ import annotations

import pytest
import torch

from nodes.sd.noise import NoiseSource


def test_a_batch_is_its_singles() -> None:
    batch = NoiseSource(7, 3)
    singles = [NoiseSource(7 + i) for i in range(3)]
    for _ in range(2):
        assert torch.equal(batch.draw((4, 8, 8)), torch.cat([one.draw((4, 8, 8)) for one in singles]))


def test_it_is_the_noise_that_torch_draws_from_the_seed() -> None:
    generator = torch.Generator().manual_seed(123)
    source = NoiseSource(123)
    assert torch.equal(source.draw((4, 16, 16)), torch.randn(1, 4, 16, 16, generator=generator))
    assert torch.equal(source.like(torch.zeros(1, 4, 16, 16)), torch.randn(1, 4, 16, 16, generator=generator))


def test_it_follows_the_dtype_asked_for() -> None:
    drawn = NoiseSource(1).like(torch.zeros(1, 2, 3, 3, dtype=torch.float16))
    assert drawn.dtype == torch.float16
    assert torch.equal(drawn, NoiseSource(1).draw((2, 3, 3)).half())


def test_the_highest_seed_counts_on_from_zero() -> None:
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
    with pytest.raises(ValueError, match="2 pictures, the latents hold 3"):
        NoiseSource(1, 2).like(torch.zeros(3, 4, 8, 8))
