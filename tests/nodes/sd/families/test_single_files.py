"""Models in single files: every tensor reaches its network, and diffusers makes the same latents."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nodes.sd.models import weights
from nodes.sd.models.checkpoint_file import describe_file
from nodes.sd.models.files import ModelFiles
from nodes.sd.models.folder import describe_folder
from tests.nodes.sd.families.converted import converted
from tests.nodes.sd.families.latents import difference, drawn, ours, theirs
from tests.nodes.sd.families.small import SmallModel, small_model

NAMES = ("flux", "flux-schnell", "sd1", "sd2", "sd3", "sdxl", "sdxl-refiner")


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest) -> SmallModel:
    return small_model(request.param, "v_prediction" if request.param == "sd2" else None)


@pytest.fixture(scope="module")
def file(model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    place = tmp_path_factory.mktemp("models") / "model.safetensors"
    model.save_file(place)
    needs_t5 = any(role.name == "t5" and not role.optional for role in model.family.roles)
    return describe_file(place, model.files.tokenizers["tokenizer_2"] if needs_t5 else None)


def test_every_tensor_reaches_its_network(model: SmallModel, file: ModelFiles) -> None:
    assert (file.family.name, file.prediction) == (model.family.name, model.prediction)
    for part, state in model.states().items():
        load = {model.family.network.component: weights.load_unet, "vae": weights.load_vae}.get(part)
        network = weights.load_text_encoder(file, component=part) if load is None else load(file)
        found = network.state_dict()
        found.pop("encoder.embed_tokens.weight", None)  # T5 has its token vectors twice
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def test_diffusers_converts_the_same_tensors(model: SmallModel) -> None:
    stored = model.in_file()
    for part, state in model.states().items():
        found = converted(model.family, part, stored, model.configs[part])
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


def test_the_latents_are_those_of_diffusers(model: SmallModel, file: ModelFiles) -> None:
    noise = drawn(3, channels=file.latent_channels)
    assert difference(ours(file, noise), theirs(model, 3)) < 2e-5


def test_a_saved_folder_gives_the_same_networks(model: SmallModel, tmp_path: Path) -> None:
    model.save_folder(tmp_path / "model")
    found = describe_folder(tmp_path / "model")
    assert (found.family, found.prediction) == (model.family, model.prediction)
    unet = weights.load_unet(found).state_dict()
    expected = model.states()[model.family.network.component]
    assert all(torch.equal(unet[name], tensor) for name, tensor in expected.items())
