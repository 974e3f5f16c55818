"""Noise from Brownian paths, against numbers of torchsde 0.2.6 and pictures of k-diffusion 0.1.1."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from nodes.sd.sampling.brownian import BrownianPath
from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.noise_table import NoiseTable
from nodes.sd.sampling.samplers import sample
from nodes.sd.sampling.schedules import schedule

TREE = {
    (0.03, 14.6): [1.322482, -3.3863103, -0.7454399, -2.8630123],
    (0.03, 1.0): [0.7922252, -0.163418, 0.0139805, 0.0333165],
    (1.0, 1.5): [1.1587092, -0.4632306, 0.1289986, -0.8927175],
    (3.25, 7.125): [-3.5590742, 1.7966944, -1.2346233, -0.0283092],
}
"""The first row of `torchsde.BrownianTree(0.03, torch.zeros(4, 4), 14.6, entropy=5)(start, end)`."""
RESULTS = {
    "dpmpp_sde": [-0.558959, 0.504574, -0.517263, -0.667617, 0.672989, 0.703353, 0.019308, -0.04907],
    "dpmpp_2m_sde": [-0.689763, 0.601086, -0.393963, -0.722108, 0.691622, 0.664299, 0.465787, 0.477629],
    "dpmpp_2m_sde_heun": [-0.713662, 0.670685, -0.47712, -0.750524, 0.696218, 0.640024, 0.603593, 0.501769],
    "dpmpp_3m_sde": [-0.211089, 0.52395, -0.689712, -0.594647, 0.286698, 0.689354, -0.243308, -0.368445],
}
"""k-diffusion's results for the setting of the test below, with its noise sampler seeded [5, 6]."""


def drawn(seed: int, shape: Sequence[int]) -> Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))


def bent(x: Tensor, sigma: Tensor) -> Tensor:
    return torch.tanh(x / (1 + sigma)) + 0.1 * torch.sin(3 * x) / (1 + sigma**2)


def test_the_increments_are_those_of_torchsde() -> None:
    for order in (TREE, reversed(TREE)):  # they do not depend on what was asked for before
        low, high = torch.tensor([0.03, 14.6]).tolist()
        path = BrownianPath(5, (4, 4), low, high, drawn)
        for levels in order:
            found = path.increment(*torch.tensor(levels).tolist())[0]
            torch.testing.assert_close(found, torch.tensor(TREE[levels]), rtol=0, atol=1e-6)


def test_increments_add_up_and_keep_their_variance() -> None:
    path = BrownianPath(3, (64, 64), 0.03, 14.6, drawn)
    parts = path.increment(0.03, 2.2) + path.increment(2.2, 9.7) + path.increment(9.7, 14.6)
    torch.testing.assert_close(parts, path.increment(0.03, 14.6), rtol=0, atol=1e-5)
    assert float(path.increment(2.2, 9.7).var()) == pytest.approx(7.5, rel=0.05)
    assert float((path.increment(0.03, 2.2) * path.increment(2.2, 9.7)).mean()) == pytest.approx(0, abs=0.2)
    assert torch.equal(path.increment(2.2, 2.2), torch.zeros(64, 64))


@pytest.mark.parametrize("name", RESULTS)
def test_sde_samplers_are_those_of_k_diffusion(name: str) -> None:
    sigmas = schedule("karras", 8, NoiseTable()).sigmas
    x = torch.linspace(-1, 1, 32).reshape(2, 1, 4, 4) * sigmas[0]
    *_, last = sample(name, bent, x, sigmas, NoiseSource(5, 2))
    found = last.x[:, 0, :2, :2].flatten()
    torch.testing.assert_close(found, torch.tensor(RESULTS[name]), rtol=0, atol=5e-6)


def test_the_generator_of_the_path_is_that_of_the_kind() -> None:
    sigmas = torch.tensor([4.0, 1.0, 0.0])
    x = torch.zeros(1, 4, 8, 8)
    ends = sigmas[0], sigmas[1]
    cpu, nv, comfy, comfy_gpu = (
        NoiseSource(5, 1, kind).between(x, sigmas)(*ends) for kind in ("cpu", "nv", "comfyui", "comfyui_gpu")
    )
    assert torch.equal(cpu, comfy)
    assert torch.equal(nv, comfy_gpu)
    assert not torch.equal(cpu, nv)


def test_a_batch_has_a_path_for_each_seed_or_one_for_all() -> None:
    sigmas = torch.tensor([4.0, 1.0, 0.0])
    two, one = torch.zeros(2, 4, 8, 8), torch.zeros(1, 4, 8, 8)
    ends = sigmas[0], sigmas[1]
    batch = NoiseSource(5, 2).between(two, sigmas)(*ends)
    assert torch.equal(batch[1:], NoiseSource(6).between(one, sigmas)(*ends))
    comfy = NoiseSource(5, 2, "comfyui").between(two, sigmas)(*ends)
    assert torch.equal(comfy[0], batch[0])
    assert not torch.equal(comfy[1], batch[1])
