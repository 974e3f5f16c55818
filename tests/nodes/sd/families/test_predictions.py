"""What a model in a single file predicts: by its metadata, by marks of trainers, and by its weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nodes.sd.formats.json_file import ModelError
from nodes.sd.formats.read import read_tensors
from nodes.sd.models.checkpoint_file import predicted, recognised
from nodes.sd.sampling.names import Prediction

UNET = "model.diffusion_model."
BIAS = f"{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias"
ANCHORS = {
    "sd1": "cond_stage_model.transformer.text_model.x",
    "sd2": "cond_stage_model.model.transformer.resblocks.0.ln_1.weight",
    "sdxl": "conditioner.embedders.1.model.ln_final.weight",
}


def told(
    folder: Path,
    family: str,
    metadata: dict[str, str] | None = None,
    channels: int = 4,
    more: dict[str, torch.Tensor] | None = None,
) -> Prediction:
    """What a file with the names of a family's model is found to predict."""
    tensors = {
        ANCHORS[family]: torch.zeros(1),
        f"{UNET}input_blocks.0.0.weight": torch.zeros(2, channels, 1, 1),
    }
    save_file(tensors | (more or {}), folder / "x.safetensors", metadata)
    file = read_tensors(folder / "x.safetensors")
    shapes = {name: entry.shape for name, entry in file.entries.items()}
    found, reason = recognised(file.path, shapes)
    assert found.name == family
    assert reason
    return predicted(found, file, shapes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("deviation", "expected"), [(0.05, "epsilon"), (0.2, "v_prediction")])
def test_the_weights_of_sd2_tell_it(
    tmp_path: Path, dtype: torch.dtype, deviation: float, expected: Prediction
) -> None:
    bias = torch.linspace(-1, 1, 320)
    bias = (bias / bias.std(correction=0) * deviation + 0.3).to(dtype)
    assert told(tmp_path, "sd2", more={BIAS: bias}) == expected


def test_an_inpainting_model_of_sd2_predicts_the_noise(tmp_path: Path) -> None:
    assert told(tmp_path, "sd2", channels=9, more={BIAS: torch.linspace(-1, 1, 320)}) == "epsilon"


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"modelspec.prediction_type": "v"}, "v_prediction"),
        ({"modelspec.prediction_type": "v_prediction"}, "v_prediction"),
        ({"modelspec.prediction_type": "epsilon"}, "epsilon"),
        ({"ss_v_parameterization": "True"}, "v_prediction"),
        ({"ss_v_parameterization": "False"}, "epsilon"),
    ],
)
def test_the_metadata_comes_first(
    tmp_path: Path, family: str, metadata: dict[str, str], expected: Prediction
) -> None:
    wide = torch.linspace(-1, 1, 320) if expected == "epsilon" else torch.zeros(320)
    assert told(tmp_path, family, metadata, more={BIAS: wide}) == expected


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_the_mark_of_comfyui_tells_the_velocity(tmp_path: Path, family: str) -> None:
    assert told(tmp_path, family) == "epsilon"
    assert told(tmp_path, family, more={"v_pred": torch.zeros(0)}) == "v_prediction"


def test_an_unknown_prediction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the prediction type 'flow'"):
        told(tmp_path, "sd1", {"modelspec.prediction_type": "flow"})
