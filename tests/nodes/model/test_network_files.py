"""LoadUnet, LoadTextEncoder and LoadVae: networks from files of their own, in every usual layout."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.devices.compute import ComputeSettings
from engine.document.graph import Entry, From, Literal
from engine.errors import NodeError
from engine.session import Session
from nodes.files.checkpoints import text_encoder_checkpoint, unet_checkpoint, vae_checkpoint
from nodes.sd.families.family import Component
from nodes.sd.families.flux.stored_names import stored_names
from nodes.sd.families.key_tables import written
from nodes.sd.families.known import families, family_named
from nodes.sd.formats.json_file import read_object
from nodes.sd.models import checkpoint_file, part_files
from nodes.value_types.recipes import CheckpointPart, Model, TextEncoder, Vae
from tests.nodes.sd.families.small import SmallModel, small_configs, small_model
from tests.nodes.test_model_families import drawn, graph

COMPUTE = ComputeSettings()


@pytest.fixture(scope="module")
def xl() -> SmallModel:
    return small_model("sdxl", projection_class_embeddings_input_dim=24 + 8 * 6)


WIDTHS = {
    "flux": (96, 32),
    "flux-schnell": (96, 32),
    "sd1": (32, None),
    "sd2": (48, None),
    "sd3": (96, 40),
    "sdxl": (64, 72),
    "sdxl-refiner": (80, 64),
}
"""The widths of the text embeddings and of the vectors that small models read."""


@pytest.fixture
def small_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of single networks bring no configs, so the small sizes stand in for those of the families."""
    by_folder = {family.configs: family for family in families()}

    def read(path: Path) -> dict[str, Any]:
        family = by_folder[path.parent]
        configs: dict[str, Any] = {str(part): config for part, config in small_configs(family).items()}
        width, added = WIDTHS[family.name]
        network = configs[family.network.component]
        network[family.network.context] = width
        if added is not None:
            network[family.network.vectors] = added
        return dict(configs[path.stem])

    monkeypatch.setattr(checkpoint_file, "read_object", read)
    monkeypatch.setattr(part_files, "read_object", read)


def place(home: Path, kind: str, name: str, tensors: dict[str, torch.Tensor]) -> str:
    folder = home / "models" / kind
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / name)
    return name


def alone(model: SmallModel, part: Component, layout: str) -> dict[str, torch.Tensor]:
    """The tensors of one network as files of their own hold them."""
    if layout == "diffusers":
        return model.states()[part]
    prefix = model.family.layout.prefixes[part]
    stored = {name: one for name, one in model.in_file().items() if name.startswith(prefix)}
    return (
        stored if layout == "checkpoint" else {name.removeprefix(prefix): one for name, one in stored.items()}
    )


def same(session: Session, recipe: CheckpointPart, state: dict[str, torch.Tensor]) -> None:
    loaded = recipe.load(COMPUTE, session.files)[0]
    found = loaded.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


@pytest.mark.usefixtures("small_families")
@pytest.mark.parametrize("layout", ["diffusers", "bare", "checkpoint"])
def test_a_unet_and_a_vae_are_read_in_every_layout(
    session: Session, home: Path, xl: SmallModel, layout: str
) -> None:
    place(home, "unet", "xl.safetensors", alone(xl, "unet", layout))
    found = unet_checkpoint(session.files, "xl")
    assert (found.family, found.prediction) == ("sdxl", "epsilon")
    same(session, Model(found), xl.states()["unet"])
    place(home, "vae", "sdxl_vae.safetensors", alone(xl, "vae", layout))
    vae, known = vae_checkpoint(session.files, "sdxl_vae", None)
    assert (vae.family, known) == ("sdxl", True)
    same(session, Vae(vae), xl.states()["vae"])


@pytest.mark.usefixtures("small_families")
@pytest.mark.parametrize("name", ["other", "ema-840000"])
def test_a_vae_takes_the_scale_of_the_model_or_warns(
    session: Session, home: Path, xl: SmallModel, name: str
) -> None:
    place(home, "vae", f"{name}.safetensors", alone(xl, "vae", "bare"))
    assumed, known = vae_checkpoint(session.files, name, None)
    told, sure = vae_checkpoint(session.files, name, "sdxl")
    assert (assumed.family, known, told.family, sure) == ("sd1", False, "sdxl", True)
    scales = [Vae(one).load(COMPUTE, session.files)[0].config.scaling_factor for one in (assumed, told)]
    assert scales == [0.18215, 0.13025]
    assert Vae(assumed).identity != Vae(told).identity


@pytest.mark.usefixtures("small_families")
@pytest.mark.parametrize("layout", ["diffusers", "bare"])
@pytest.mark.parametrize("name", ["flux", "flux-schnell"])
def test_the_parts_of_flux_are_read_in_every_layout(
    session: Session, home: Path, layout: str, name: str
) -> None:
    model = small_model(name)
    place(home, "unet", "f.safetensors", alone(model, "transformer", layout))
    found = unet_checkpoint(session.files, "f")
    assert (found.family, found.prediction, found.noise) == (name, "flow", model.family.noise)
    same(session, Model(found), model.states()["transformer"])
    place(home, "vae", "ae.safetensors", alone(model, "vae", layout))
    vae, known = vae_checkpoint(session.files, "ae", None)
    assert (family_named(vae.family).latents, known) == ("flux", True)
    same(session, Vae(vae), model.states()["vae"])
    names = {"text_encoder": "clip_l.safetensors", "text_encoder_2": "t5xxl.safetensors"}
    for part, file in names.items():
        place(home, "text_encoders", file, alone(model, part, layout))  # type: ignore[arg-type]
    inputs, chosen = ["encoder", "second"], [*names.values()][::-1]
    with pytest.raises(NodeError) as refused:
        text_encoder_checkpoint(session.files, chosen, inputs, found.family)
    assert (refused.value.code, refused.value.input) == ("missing_vocabulary", "encoder")
    vocabulary = home / "models" / "tokenizers" / "t5"
    shutil.copytree(model.files.tokenizers["tokenizer_2"], vocabulary)
    text = text_encoder_checkpoint(session.files, chosen, inputs, found.family)
    assert (text.family, dict(text.parts)) == (name, names)
    for loaded in TextEncoder(text).load(COMPUTE, session.files)[0]:
        state = loaded.encoder.state_dict()
        expected = model.states()[loaded.role.component]
        assert all(torch.equal(state[key], tensor) for key, tensor in expected.items())


@pytest.mark.usefixtures("small_families")
def test_the_transformer_and_the_vae_of_flux_are_read_out_of_a_whole_checkpoint(
    session: Session, home: Path
) -> None:
    model = small_model("flux")
    place(home, "checkpoints", "f.safetensors", {**model.in_file()})
    path = str(home / "models" / "checkpoints" / "f.safetensors")
    same(session, Model(unet_checkpoint(session.files, path)), model.states()["transformer"])
    same(session, Vae(vae_checkpoint(session.files, path, "flux")[0]), model.states()["vae"])


@pytest.mark.usefixtures("small_families")
@pytest.mark.parametrize("layout", ["diffusers", "bare", "checkpoint"])
def test_the_transformer_of_sd3_is_read_in_every_layout(session: Session, home: Path, layout: str) -> None:
    model = small_model("sd3", attention_head_dim=64, caption_projection_dim=128)
    place(home, "unet", "three.safetensors", alone(model, "transformer", layout))
    found = unet_checkpoint(session.files, "three")
    assert (found.family, found.prediction, found.noise) == ("sd3", "flow", model.family.noise)
    same(session, Model(found), model.states()["transformer"])


@pytest.mark.usefixtures("small_families")
def test_a_vae_of_sixteen_channels_is_never_taken_for_that_of_sd_1(session: Session, home: Path) -> None:
    model = small_model("flux")
    place(home, "vae", "other.safetensors", alone(model, "vae", "bare"))
    assumed, known = vae_checkpoint(session.files, "other", None)
    assert (assumed.family, known) == ("flux", False)
    told, sure = vae_checkpoint(session.files, "other", "sd3")
    assert (told.family, sure) == ("sd3", True)
    wide = {"decoder.conv_in.weight": (8, 32, 3, 3), "encoder.conv_in.weight": (8, 3, 3, 3)}
    place(home, "vae", "wide.safetensors", {name: torch.zeros(shape) for name, shape in wide.items()})
    with pytest.raises(NodeError) as refused:
        vae_checkpoint(session.files, "wide", None)
    assert (refused.value.code, refused.value.input) == ("bad_model", "vae")


@pytest.mark.usefixtures("small_families")
@pytest.mark.parametrize("kind", ["plain", "scale_weight", "weight_scale"])
def test_weights_of_8_bits_are_read_with_their_scales(session: Session, home: Path, kind: str) -> None:
    """As ComfyUI writes them: with `scale_weight` and a mark, or `weight_scale` and a description."""
    stored = alone(small_model("flux"), "transformer", "bare")
    expected, file = {}, {}
    for number, (name, tensor) in enumerate(stored.items()):
        if tensor.ndim < 2:
            expected[name] = file[name] = tensor
            continue
        file[name] = tensor.to(torch.float8_e4m3fn)
        factor = torch.tensor(1.0 if kind == "plain" else 1 + number / 8)
        expected[name] = file[name].float() * factor
        layer = name.removesuffix(".weight")
        if kind == "scale_weight":
            file |= {f"{layer}.scale_weight": factor, f"{layer}.scale_input": torch.tensor(2.0)}
        elif kind == "weight_scale":
            file |= {f"{layer}.weight_scale": factor[None], f"{layer}.input_scale": torch.tensor(2.0)}
            file[f"{layer}.comfy_quant"] = torch.tensor([*b"{}"], dtype=torch.uint8)
    if kind == "scale_weight":
        file["scaled_fp8"] = torch.zeros(0, dtype=torch.float8_e4m3fn)
    place(home, "unet", "f8.safetensors", file)
    network = Model(unet_checkpoint(session.files, "f8")).load(COMPUTE, session.files)[0]
    found = written(stored_names, network.state_dict())
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.usefixtures("small_families")
def test_weights_with_several_scales_for_a_layer_are_refused(session: Session, home: Path) -> None:
    stored = alone(small_model("flux"), "transformer", "bare")
    stored["img_in.weight_scale"] = torch.ones(32, 2)
    place(home, "unet", "f8.safetensors", stored)
    with pytest.raises(NodeError) as refused:
        Model(unet_checkpoint(session.files, "f8")).load(COMPUTE, session.files)
    assert refused.value.code == "bad_model"


def test_a_file_of_another_kind_is_refused_with_its_place(
    session: Session, home: Path, xl: SmallModel
) -> None:
    place(home, "unet", "vae.safetensors", alone(xl, "vae", "diffusers"))
    with pytest.raises(NodeError) as refused:
        unet_checkpoint(session.files, "vae")
    assert (refused.value.code, refused.value.input) == ("wrong_kind", "unet")
    assert refused.value.hint == "move it to models/vae and load it with LoadVae"


def test_an_unknown_unet_is_refused_with_its_width(session: Session, home: Path, xl: SmallModel) -> None:
    wide = {"input_blocks.0.0.weight": torch.zeros(8, 4, 3, 3), "out.2.weight": torch.zeros(4, 8, 3, 3)}
    wide["input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"] = torch.zeros(8, 99)
    place(home, "unet", "wide.safetensors", wide)
    with pytest.raises(NodeError, match="text embeddings of width 99"):
        unet_checkpoint(session.files, "wide")


def text_file(width: int, **more: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "text_model.embeddings.token_embedding.weight": torch.zeros(1, width),
        "text_model.encoder.layers.0.layer_norm1.weight": torch.zeros(width),
        **more,
    }


@pytest.mark.parametrize(
    ("widths", "family"),
    [((768,), "sd1"), ((1024,), "sd2"), ((1280, 768), "sdxl"), ((1280,), "sdxl-refiner")],
)
def test_the_widths_of_text_encoders_tell_the_family(
    session: Session, home: Path, widths: tuple[int, ...], family: str
) -> None:
    names = [place(home, "text_encoders", f"clip-{width}.safetensors", text_file(width)) for width in widths]
    inputs = ["encoder", "second"][: len(names)]
    found = text_encoder_checkpoint(session.files, names, inputs)
    assert found.family == family
    assert dict(found.parts) == {
        role.component: f"clip-{found_width}.safetensors"
        for role, (_, found_width) in zip(family_named(family).roles, found.text_widths, strict=True)
    }


def test_the_text_encoders_of_sd3_are_told_by_the_model_and_t5_needs_its_vocabulary(
    session: Session, home: Path
) -> None:
    t5 = {
        "shared.weight": torch.zeros(1, 4096),
        "encoder.block.0.layer.0.layer_norm.weight": torch.zeros(4096),
    }
    clips = [
        place(home, "text_encoders", f"clip-{width}.safetensors", text_file(width)) for width in (1280, 768)
    ]
    names = [*clips, place(home, "text_encoders", "t5xxl.safetensors", t5)]
    inputs = ["encoder", "second", "third"]
    assert text_encoder_checkpoint(session.files, clips, inputs[:2]).family == "sdxl"
    told = text_encoder_checkpoint(session.files, clips, inputs[:2], "sd3")
    assert (told.family, [part for part, _ in told.parts]) == ("sd3", ["text_encoder", "text_encoder_2"])
    with pytest.raises(NodeError) as refused:
        text_encoder_checkpoint(session.files, names, inputs)
    assert (refused.value.code, bool(refused.value.hint)) == ("missing_vocabulary", True)
    folder = home / "models" / "tokenizers" / "t5"
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text("{}")
    whole = text_encoder_checkpoint(session.files, names, inputs)
    assert [name for name, _ in whole.text_widths] == ["clip_l", "clip_g", "t5"]
    assert whole.files(session.files).tokenizers["tokenizer_3"] == folder
    (folder / "tokenizer.json").write_text("[]")
    assert text_encoder_checkpoint(session.files, names, inputs).digest != whole.digest


def test_text_encoders_that_no_model_has_are_refused(session: Session, home: Path) -> None:
    names = [
        place(home, "text_encoders", f"clip-{width}.safetensors", text_file(width)) for width in (768, 1024)
    ]
    with pytest.raises(
        NodeError, match=r"clip-768.safetensors of width 768, clip-1024.safetensors of width 1024"
    ):
        text_encoder_checkpoint(session.files, names, ["encoder", "second"])


def test_networks_from_three_files_draw_what_the_checkpoint_draws(
    session: Session, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model("sd1")
    configs = {f"{part}.json": config for part, config in model.configs.items()}

    def read(path: Path) -> dict[str, Any]:
        ours = path.parent == model.family.configs
        return dict(configs[path.name]) if ours else read_object(path)

    monkeypatch.setattr(checkpoint_file, "read_object", read)
    monkeypatch.setattr(part_files, "read_object", read)
    place(home, "checkpoints", "whole.safetensors", {**model.in_file()})
    made = graph("whole.safetensors")
    whole = drawn(session, made)
    place(home, "unet", "u.safetensors", alone(model, "unet", "diffusers"))
    place(home, "text_encoders", "t.safetensors", alone(model, "text_encoder", "diffusers"))
    place(home, "vae", "v.safetensors", alone(model, "vae", "bare"))
    made.nodes["unet"] = Entry("LoadUnet@1", {"unet": Literal("u")})
    made.nodes["text"] = Entry("LoadTextEncoder@1", {"encoder": Literal("t")})
    made.nodes["vae"] = Entry("LoadVae@1", {"vae": Literal("v"), "model": From("unet", "out")})
    made.nodes["denoise"].inputs["model"] = From("unet", "out")
    for prompt in ("positive", "negative"):
        made.nodes[prompt].inputs["encoder"] = From("text", "out")
    made.nodes["decode"].inputs["vae"] = From("vae", "out")
    del made.nodes["model"]
    change = np.abs(drawn(session, made).astype(int) - whole)
    assert change.max() <= 1, "the same numbers at other addresses may round differently"
