"""Facts of files come back as they were, and one greedy file does not cost the others theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nodes.sd.inspection.facts import Facts, facts_of
from tests.nodes.sd.formats.tools import FORMATS, vectors


def test_facts_come_back_as_they_were(tmp_path: Path) -> None:
    paths = []
    for number, write in enumerate(FORMATS.values()):
        paths.append(tmp_path / str(number))
        write(paths[-1], vectors())
    (tmp_path / "bad").write_bytes(b"x")
    for facts in facts_of([*paths, tmp_path / "bad"]):
        assert Facts.from_json(facts.to_json()) == facts


MANY_BYTES = b"\x80\2X\0\0\0\1" + bytes(1 << 24) + b"q\0" + b"c_codecs\nencode\nh\0X\6\0\0\0latin1\x86R" * 60


@pytest.mark.parametrize("greedy", [b"\x80\2" + b"]" * 31_000_000, b"\x80\2(" * 300_000, MANY_BYTES])
def test_a_file_that_needs_too_much_memory_does_not_affect_others(tmp_path: Path, greedy: bytes) -> None:
    for number in range(3):
        FORMATS["A1111"](tmp_path / f"{number}.pt", vectors())
    (tmp_path / "bad.pt").write_bytes(greedy)
    order = [tmp_path / name for name in ("0.pt", "bad.pt", "1.pt", "2.pt")]
    kinds = [facts.kind for facts in facts_of(order)]
    assert kinds == ["embedding", "unknown", "embedding", "embedding"]


@pytest.mark.parametrize(("guidance", "family"), [(True, "FLUX.1"), (False, "FLUX.1 schnell")])
def test_the_family_of_a_transformer_in_a_file_of_its_own_is_known(
    tmp_path: Path, guidance: bool, family: str
) -> None:
    shapes = {
        "double_blocks.0.img_attn.qkv.weight": (3, 1),
        "txt_in.weight": (1, 4096),
        "vector_in.in_layer.weight": (1, 768),
        **({"guidance_in.in_layer.weight": (1, 256)} if guidance else {}),
    }
    file = tmp_path / "flux.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, file)
    (facts,) = facts_of([file])
    assert (facts.kind, facts.base, facts.code) == ("unet", family, None)
