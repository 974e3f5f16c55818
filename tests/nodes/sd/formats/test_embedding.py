"""Embeddings of every tool: the same vectors as were written, to the bit, and what else the file says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from nodes.sd.embeddings.saved import read_embedding
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.embedding import ONLY, Described, describe_embedding
from nodes.sd.formats.tensors import Tensors
from tests import matrix
from tests.nodes.sd.formats.tools import FORMATS, WIDTH, N, a1111, vectors

EMBEDDINGS = "Embeddings"


def read(path: Path) -> tuple[Tensors, Described]:
    tensors = read_embedding(path)
    return tensors, describe_embedding(tensors)


def numbers(tensors: Tensors, described: Described, encoder: str = ONLY) -> Tensor:
    (term,) = described.terms
    found = term.vectors[encoder]
    return torch.cat([tensors[name].reshape(-1, found.width) for name in found.tensors])


def saved(path: Path, whole: object) -> Path:
    torch.save(whole, path)
    return path


@pytest.mark.parametrize("tool", FORMATS)
@pytest.mark.parametrize("name", ["mug.pt", "mug.safetensors", "mug"])
def test_vectors_are_those_that_were_written_whatever_the_file_is_called(
    tmp_path: Path, tool: str, name: str
) -> None:
    FORMATS[tool](tmp_path / name, vectors())
    tensors, described = read(tmp_path / name)
    (term,) = described.terms
    (found,) = term.vectors.values()
    assert (found.count, found.width) == (N, WIDTH)
    assert torch.equal(numbers(tensors, described), vectors())
    assert described.family == "SD 1"
    matrix.record(EMBEDDINGS, tool, "the vectors that were written", error=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("old", [False, True])
def test_each_precision_is_kept(tmp_path: Path, dtype: torch.dtype, old: bool) -> None:
    written = vectors().to(dtype)
    torch.save(a1111(written), tmp_path / "x", _use_new_zipfile_serialization=not old)
    tensors, described = read(tmp_path / "x")
    assert numbers(tensors, described).dtype == dtype
    assert torch.equal(numbers(tensors, described), written)
    kind = "torch before 1.6" if old else "torch"
    matrix.record(EMBEDDINGS, f"{dtype} in a file of {kind}", "its own precision", error=0)


@pytest.mark.parametrize("old", [False, True])
def test_views_and_turned_tensors_come_out_as_they_look(tmp_path: Path, old: bool) -> None:
    whole = vectors(8, 20)
    shown = {"rows": whole[2:5], "columns": whole[:, 3:9], "turned": whole.T, "stepped": whole[::2, ::3]}
    torch.save(shown, tmp_path / "x", _use_new_zipfile_serialization=not old)
    tensors = read_embedding(tmp_path / "x")
    assert list(tensors) == list(shown)
    for name, tensor in shown.items():
        assert torch.equal(tensors[name], tensor)


def test_one_vector_may_lack_its_first_dimension(tmp_path: Path) -> None:
    tensors, described = read(saved(tmp_path / "x", {"<mug>": vectors()[0]}))
    assert torch.equal(numbers(tensors, described), vectors()[:1])
    matrix.record(EMBEDDINGS, "one vector without its first dimension", "a row", error=0)


def test_embedding_metadata_is_read(tmp_path: Path) -> None:
    _, described = read(saved(tmp_path / "x", a1111(vectors())))
    assert (described.step, described.base_hash, described.base_name) == (499, "cc6cb27103", "v1-5-pruned")
    assert [term.name for term in described.terms] == ["mug"]


def test_a_file_with_two_tokens_brings_two_terms(tmp_path: Path) -> None:
    first, second = vectors(seed=1), vectors(2, seed=2)
    tensors, described = read(saved(tmp_path / "x", {"<cat>": first, "<dog>": second}))
    assert [term.name for term in described.terms] == ["<cat>", "<dog>"]
    read_back = [tensors[term.vectors[ONLY].tensors[0]] for term in described.terms]
    assert torch.equal(read_back[0], first)
    assert torch.equal(read_back[1], second)
    matrix.record(EMBEDDINGS, "two tokens in one file", "A1111 and diffusers refuse", "two terms", 0)


def test_vectors_for_two_text_encoders_are_kept_apart(tmp_path: Path) -> None:
    both = {"clip_l": vectors(2, 768), "clip_g": vectors(2, 1280)}
    save_file(both, tmp_path / "x")
    tensors, described = read(tmp_path / "x")
    for encoder, written in both.items():
        assert torch.equal(numbers(tensors, described, encoder), written)
    assert described.family == "SDXL"
    matrix.record(EMBEDDINGS, "clip_l and clip_g (SDXL)", "one tensor an encoder", error=0)


@pytest.mark.parametrize("name", ["t5", "t5xxl"])
def test_vectors_for_t5_have_two_names(tmp_path: Path, name: str) -> None:
    """OneTrainer and diffusers' scripts write `t5`, ComfyUI reads `t5xxl`."""
    three = {"clip_l": vectors(2, 768), "clip_g": vectors(2, 1280), name: vectors(2, 4096)}
    save_file(three, tmp_path / "x")
    tensors, described = read(tmp_path / "x")
    for encoder, written in three.items():
        assert torch.equal(numbers(tensors, described, "t5" if encoder == name else encoder), written)
    assert described.family == "SD 3 or FLUX.1"
    matrix.record(EMBEDDINGS, "clip_l, clip_g and t5 or t5xxl (SD 3)", "one tensor an encoder", error=0)


NAN = vectors()
NAN[1, 5] = float("nan")
INFINITE = vectors()
INFINITE[0, 0] = float("-inf")

BAD: dict[str, tuple[Any, str]] = {
    "NaN": (a1111(NAN), "NaN or infinity"),
    "infinity in half": ({"<x>": INFINITE.half()}, "NaN or infinity"),
    "NaN in bfloat16": ({"emb_params": NAN.bfloat16()}, "NaN or infinity"),
    "no vectors": ({"emb_params": torch.zeros(0, 768)}, r"a tensor of shape \[0, 768\]"),
    "a number": ({"emb_params": torch.tensor(1.0)}, r"a tensor of shape \[\]"),
    "a cube": (a1111(torch.zeros(2, 3, 4)), r"a tensor of shape \[2, 3, 4\]"),
    "whole numbers": ({"<x>": torch.zeros(2, 768, dtype=torch.int64)}, "integers"),
    "too many": ({"emb_params": torch.zeros(76, 8)}, "76 vectors .* 75"),
    "unequal": (
        {"clip_l": torch.zeros(2, 768), "clip_g": torch.zeros(3, 1280)},
        "2 for clip_l, 3 for clip_g",
    ),
    "T5 twice": ({"t5": torch.zeros(1, 8), "t5xxl": torch.ones(1, 8)}, "twice"),
    "outputs": ({"emp_params": torch.zeros(2, 8), "emp_params_out": torch.ones(2, 8)}, "does not apply"),
    "no tensor": (a1111("text"), "no tensor under '\\*'"),
    "nothing": (a1111(vectors(), string_to_param={}), "no tensor under string_to_param"),
    "a LoRA": ({"lora_unet_x.lora_up.weight": torch.zeros(2, 2)}, "lora"),
    "no tensors": ({"a": 1}, "no embedding"),
    "mixed widths": ([{"a": torch.zeros(1, 4)}, {"b": torch.zeros(1, 5)}], "different widths"),
}


@pytest.mark.parametrize("case", BAD)
def test_unusable_embeddings_are_refused_with_their_names(tmp_path: Path, case: str) -> None:
    whole, message = BAD[case]
    with pytest.raises(BadFileError, match=message) as refused:
        read(saved(tmp_path / "mug.pt", whole))
    assert str(tmp_path / "mug.pt") in str(refused.value)
    matrix.record(EMBEDDINGS, f"a file with {case}", "never silence", f"refused: {refused.value.code}")


def test_a_file_that_is_replaced_after_it_was_looked_at_is_not_mixed_with_the_new(tmp_path: Path) -> None:
    tensors, described = read(saved(tmp_path / "x", a1111(vectors())))
    saved(tmp_path / "y", a1111(vectors(seed=8))).replace(tmp_path / "x")
    with pytest.raises(BadFileError, match="changed while it was read"):
        numbers(tensors, described)
