"""Files of ControlNets: recognised by their tensors, and read in every layout; relatives are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel
from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
from safetensors.torch import save_file
from torch import Tensor

from engine.errors import NodeError
from engine.session import Session
from engine.testing import run_node
from nodes.files.controlnet_files import ControlNet
from nodes.prompt.controlnet import LoadControlNet
from nodes.sd.controlnets.keys import PREFIX, in_original_code
from nodes.sd.controlnets.network import config_of, read_controlnet
from nodes.sd.formats.json_file import ModelError
from nodes.sd.formats.read import read_tensors

TO_K = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
HINT_BLOCK = "input_hint_block.0.weight"
LABEL = "label_emb.0.0.weight"
SMALL = {
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "block_out_channels": [32, 64],
    "layers_per_block": 2,
    "cross_attention_dim": 16,
    "attention_head_dim": 8,
    "conditioning_embedding_out_channels": [4, 8],
}


def recognised(tmp_path: Path, context: int, added: int | None) -> dict[str, Any]:
    tensors = {PREFIX + HINT_BLOCK: torch.zeros(16, 3, 3, 3), PREFIX + TO_K: torch.zeros(2, context)}
    if added is not None:
        tensors[PREFIX + LABEL] = torch.zeros(2, added)
    save_file(tensors, tmp_path / "some.safetensors")
    return config_of(read_tensors(tmp_path / "some.safetensors"))


@pytest.mark.parametrize(("context", "added"), [(768, None), (1024, None), (2048, 2816)])
def test_names_of_the_original_code_are_those_of_diffusers_converter(
    tmp_path: Path, context: int, added: int | None
) -> None:
    config = recognised(tmp_path, context, added)
    with torch.device("meta"):
        names = list(ControlNetModel.from_config(config).state_dict())
    originals = {PREFIX + ways[0].name: name for name, ways in in_original_code(names).items()}
    assert len(originals) == len(names)
    assert HINT_BLOCK in {name.removeprefix(PREFIX) for name in originals}
    found = convert_controlnet_checkpoint(dict(originals), {"layers_per_block": 2})
    # The converter leaves out the size conditioning of SDXL.
    assert found == {name: name for name in names if not name.startswith("add_embedding.")}


@pytest.fixture(scope="module")
def small() -> ControlNetModel:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return ControlNetModel(**SMALL).eval()


def in_diffusers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return tensors


def in_original(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {ways[0].name: tensors[name] for name, ways in in_original_code(tensors).items()}


def with_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    beside = {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(3)}
    return {PREFIX + name: tensor for name, tensor in in_original(tensors).items()} | beside


@pytest.mark.parametrize("layout", [in_diffusers, in_original, with_prefix])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".ckpt"])
def test_a_file_in_any_layout_gives_the_same_network(
    small: ControlNetModel,
    tmp_path: Path,
    layout: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    suffix: str,
) -> None:
    expected = small.state_dict()
    tensors = {name: tensor.contiguous() for name, tensor in layout(expected).items()}
    path = tmp_path / f"some{suffix}"
    if suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"state_dict": tensors} if suffix == ".ckpt" else tensors, path)
    found = read_controlnet(path, SMALL, torch.float32).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("change", ["missing", "shape", "nan", "extra"])
def test_a_file_that_does_not_fit_its_config_is_refused(
    small: ControlNetModel, tmp_path: Path, change: str
) -> None:
    tensors = {name: tensor.clone() for name, tensor in small.state_dict().items()}
    if change == "missing":
        del tensors["controlnet_mid_block.weight"]
    elif change == "shape":
        tensors["conv_in.weight"] = torch.zeros(32, 9, 3, 3)
    elif change == "nan":
        tensors["conv_in.bias"][0] = float("nan")
    else:
        tensors["up_blocks.0.resnets.0.conv1.weight"] = torch.zeros(1)
    save_file(tensors, tmp_path / "some.safetensors")
    with pytest.raises(ModelError):
        read_controlnet(tmp_path / "some.safetensors", SMALL, torch.float32)


@pytest.fixture
def folder(home: Path) -> Path:
    folder = home / "models" / "controlnet"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_a_single_file_is_recognised_by_its_tensors(session: Session, folder: Path) -> None:
    tensors = {PREFIX + HINT_BLOCK: torch.zeros(16, 3, 3, 3), PREFIX + TO_K: torch.zeros(320, 768)}
    (folder / "sd15").mkdir()
    torch.save(tensors, folder / "sd15" / "canny.pth")
    network = run_node(session, LoadControlNet(controlnet="canny"))["out"]
    assert isinstance(network, ControlNet)
    assert json.loads(network.config)["cross_attention_dim"] == 768
    with pytest.raises(NodeError) as caught:
        network.load(session.compute, session.files)
    assert caught.value.code == "bad_controlnet", "most of its tensors are missing"


REFUSED: dict[str, dict[str, tuple[int, ...]]] = {
    "another width": {PREFIX + HINT_BLOCK: (16, 3, 3, 3), PREFIX + TO_K: (320, 555)},
    "lora": {"lora_unet_down_blocks_0.lora_up.weight": (4, 4)},
    "union": {"controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3), "task_embedding": (6, 320)},
    "control lora": {HINT_BLOCK: (16, 3, 3, 3), "lora_controlnet": (1,)},
    "difference": {PREFIX + HINT_BLOCK: (16, 3, 3, 3), "difference": (1,)},
    "lllite": {"lllite_unet_input_blocks_4_1.down.0.weight": (4, 4)},
    "t2i adapter": {"body.0.block1.weight": (3, 3), "conv_in.weight": (3, 3)},
    "t2i adapter of diffusers": {"adapter.body.0.resnets.0.block1.weight": (3, 3)},
    "other": {"weight": (3,)},
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_controlnet_is_refused(session: Session, folder: Path, kind: str) -> None:
    save_file({name: torch.zeros(shape) for name, shape in REFUSED[kind].items()}, folder / "f.safetensors")
    with pytest.raises(NodeError) as caught:
        run_node(session, LoadControlNet(controlnet="f"))
    assert (caught.value.code, caught.value.input) == ("wrong_kind", "controlnet")


def test_a_pickle_with_code_is_refused(session: Session, folder: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return print, ("run",)

    torch.save({HINT_BLOCK: Evil()}, folder / "evil.pth")
    with pytest.raises(NodeError) as caught:
        run_node(session, LoadControlNet(controlnet="evil.pth"))
    assert caught.value.code == "unsafe_pickle"


def test_a_folder_of_another_network_is_refused(session: Session, folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    for config in (None, {"_class_name": "UNet2DConditionModel"}, {"_class_name": "ControlNetUnionModel"}):
        if config is not None:
            (other / "diffusion_pytorch_model.safetensors").write_bytes(b"x")
            (other / "config.json").write_text(json.dumps(config))
        with pytest.raises(NodeError) as caught:
            run_node(session, LoadControlNet(controlnet="other"))
        assert (caught.value.code, caught.value.input) == ("wrong_kind", "controlnet")
