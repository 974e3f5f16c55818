"""The stages of training the embedded model fit together, and continue after a kill to the same bits."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.nodes.sd.tiny import stage
from tests.nodes.sd.tiny import unet as unet_module
from tests.nodes.sd.tiny.parts import Parts
from tests.nodes.sd.tiny.train import Recipe, train
from tests.nodes.sd.tiny.unet import draw_timesteps, emphasis

RECIPE = Recipe(vae=1, decoder=1, text=1, scenes=4, unet=2, batch=2)


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.slow
def test_all_stages_give_the_same_bits_when_killed_in_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "CHECKPOINT_SECONDS", -1)
    assert train(tmp_path / "once", RECIPE, seed=3)

    def killing_timesteps(count: int, generator: torch.Generator) -> Tensor:
        if (tmp_path / "killed" / "unet.pt").exists():
            raise Killed
        return draw_timesteps(count, generator)

    with monkeypatch.context() as patch:
        patch.setattr(unet_module, "draw_timesteps", killing_timesteps)
        with pytest.raises(Killed):
            train(tmp_path / "killed", RECIPE, seed=3)
    assert torch.load(tmp_path / "killed" / "unet.pt", weights_only=True)["step"] == 1
    assert not train(tmp_path / "killed", RECIPE, seed=3, until=-math.inf)
    assert train(tmp_path / "killed", RECIPE, seed=3)

    once, killed = (Parts.load(tmp_path / name / "weights") for name in ("once", "killed"))
    untrained = Parts.new(3)
    for network in ("vae", "text_encoder", "unet"):
        expected = getattr(once, network).state_dict()
        found = getattr(killed, network).state_dict()
        assert all(torch.equal(found[key], expected[key]) for key in expected), network
        before = getattr(untrained, network).half().float().state_dict()
        assert not all(torch.equal(found[key], before[key]) for key in before), network


def test_an_untrained_autoencoder_already_keeps_average_colours() -> None:
    vae = Parts.new(0).vae
    cells = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        drawn = vae.decode(
            vae.encode(nn.functional.interpolate(cells, scale_factor=8)).latent_dist.mean
        ).sample
    error = nn.functional.avg_pool2d(drawn, 8) - cells
    assert error.square().mean() < 0.05 * cells.square().mean()


def test_noise_levels_cover_the_schedule_and_crowd_its_middle() -> None:
    drawn = draw_timesteps(20_000, torch.Generator().manual_seed(0)).float()
    assert drawn.min() == 0
    assert drawn.max() == 999
    middle = ((drawn >= 250) & (drawn < 900)).float().mean().item()
    # 65 % are drawn from the middle, and of the others the 65 % that the middle is of the whole.
    assert middle == pytest.approx(0.65 + 0.35 * 0.65, abs=0.01)


def test_a_small_thing_counts_more_than_a_large_one_and_both_more_than_the_ground() -> None:
    latents = torch.zeros(2, 4, 16, 16)
    latents[0, :, 6:9, 6:9] = 1.0
    latents[1, :, 2:14, 2:14] = 1.0
    weight = emphasis(latents, torch.tensor([1, 1]))
    assert weight[:, 0, 0].tolist() == [1, 1]
    # 3 by 3 cells and their edge are 25, 12 by 12 are 196; the factor 90 / area is held in 0.5 to 2.
    assert weight[:, 7, 7].tolist() == [1 + 3 * 2, 1 + 3 * 0.5]
    # A thing of a pair counts as much as it would alone.
    assert emphasis(latents, torch.tensor([2, 2]))[1, 7, 7].item() == pytest.approx(1 + 3 * 180 / 196)
