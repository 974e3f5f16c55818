"""Any file of tensors as safetensors: the same numbers, under names that other tools read."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load

from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.inspection.convert import Converted, convert
from tests import matrix
from tests.nodes.sd.formats.tools import FORMATS, a1111, vectors


def converted(path: Path, whole: object, *, old: bool = False) -> tuple[Converted, dict[str, torch.Tensor]]:
    torch.save(whole, path, _use_new_zipfile_serialization=not old)
    answer = convert(path)
    return answer, load(b"".join(answer.pieces))


@pytest.mark.parametrize("tool", [tool for tool in FORMATS if tool != "ComfyUI's list"])
def test_an_embedding_of_any_tool_becomes_one_that_all_read(tmp_path: Path, tool: str) -> None:
    FORMATS[tool](tmp_path / "x", vectors())
    answer = convert(tmp_path / "x")
    (tmp_path / "y").write_bytes(b"".join(answer.pieces))
    with safe_open(tmp_path / "y", "pt") as file:
        assert list(file.keys()) == ["emb_params"]
        assert torch.equal(file.get_tensor("emb_params"), vectors())
        if tool == "A1111":
            metadata = file.metadata()
            assert (metadata["safelight.name"], metadata["safelight.step"]) == ("mug", "499")
    matrix.record("Converted to safetensors", tool, "emb_params, as the common library reads it", error=0)


LORA: dict[str, Any] = {
    "lora_unet_x.lora_up.weight": torch.randn(4, 2).half(),
    "lora_unet_x.lora_down.weight": torch.randn(8, 2).T,
    "lora_unet_x.alpha": torch.tensor(2.0),
    "lora_unet_y.lora_up.weight": torch.randn(0, 3, dtype=torch.bfloat16),
}


@pytest.mark.parametrize("old", [False, True])
def test_a_lora_keeps_its_names_numbers_and_precision(tmp_path: Path, old: bool) -> None:
    answer, tensors = converted(tmp_path / "x", LORA, old=old)
    assert (answer.kind, answer.tensors, answer.left_out) == ("lora", 4, 0)
    assert tensors.keys() == LORA.keys()
    for name, tensor in LORA.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


@pytest.mark.parametrize("old", [False, True])
def test_convert_keeps_only_the_weights_of_a_checkpoint(tmp_path: Path, old: bool) -> None:
    tied = torch.randn(3, 4)
    weights = OrderedDict({"model.diffusion_model.a.weight": tied, "first_stage_model.b.bias": tied[1]})
    weights._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    whole = {
        "epoch": 3,
        "global_step": 470_000,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": weights,
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(9)}}}],
    }
    answer, tensors = converted(tmp_path / "x", whole, old=old)
    assert (answer.kind, answer.tensors, answer.left_out) == ("checkpoint", 2, 1)
    assert tensors.keys() == weights.keys()
    assert all(torch.equal(tensors[name], weights[name]) for name in weights)


@pytest.mark.parametrize("keys", [("model",), ("model", "state_dict"), ("state_dict", "model")])
@pytest.mark.parametrize(
    "names",
    [
        ["model.diffusion_model.a.weight", "cond_stage_model.transformer.token_embedding.weight"],
        ["x.lora_up.weight", "x.lora_down.weight"],
    ],
)
def test_convert_finds_weights_that_lie_two_deep(
    tmp_path: Path, keys: tuple[str, ...], names: list[str]
) -> None:
    whole: dict[str, object] = {name: torch.ones(2, 2) for name in names}
    for key in reversed(keys):
        whole = {"epoch": 3, key: whole}
    answer, tensors = converted(tmp_path / "x", whole)
    kind = "lora" if "x.lora_up.weight" in names else "checkpoint"
    assert (answer.kind, answer.tensors, answer.left_out) == (kind, 2, 0)
    assert tensors.keys() == set(names)


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        (
            {768: ({"linear.0.weight": torch.zeros(2, 2)}, {"linear.0.weight": torch.zeros(2, 2)})},
            "hypernetwork",
        ),
        ([{"a": torch.zeros(1, 4)}, {"b": torch.zeros(1, 4)}], "list of embeddings"),
        ({"a": 1}, "no named weights"),
        (a1111(vectors() * float("nan")), "NaN"),
    ],
)
def test_convert_refuses_content_without_a_safetensors_form(
    tmp_path: Path, whole: object, message: str
) -> None:
    with pytest.raises(BadFileError, match=message):
        converted(tmp_path / "x", whole)
