"""Pickles of tensors: what torch itself reads from them, and never anything but an answer or a refusal."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import nodes.sd.formats
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.embedding import describe_embedding
from nodes.sd.formats.pickled import read_all_pickled
from nodes.sd.formats.read import read_tensors
from nodes.sd.formats.tensors import Named, Tensors
from nodes.sd.inspection.facts import Facts, facts_of
from tests.nodes.sd.formats.tools import FORMATS, vectors

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
SHARED = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)

numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
plain = st.none() | st.booleans() | numbers | st.text(max_size=9)


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    if draw(st.booleans()):  # a view of what other tensors of the file may be views of, too
        view = SHARED.permute(*draw(st.permutations(range(3))))
        return view[draw(st.integers(0, 1)) :: draw(st.integers(1, 2))]
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    made = torch.randn(shape) * 3
    turned = (
        made.to(draw(st.sampled_from(DTYPES))).T
        if len(shape) == 2
        else made.to(draw(st.sampled_from(DTYPES)))
    )
    return torch.nn.Parameter(turned) if turned.is_floating_point() and draw(st.booleans()) else turned


trees = st.dictionaries(
    st.text(max_size=6) | st.integers(-5, 2000),
    st.recursive(
        tensors() | plain,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=5,
)


def same(mine: Any, theirs: Any, held: Tensors) -> bool:
    """Whether our tree and torch's hold the same, to the bit."""
    if isinstance(theirs, torch.Tensor):
        tensor = held[mine.name]
        assert isinstance(mine, Named)
        return tensor.dtype == theirs.dtype and torch.equal(tensor, theirs) and tensor.is_contiguous()
    if isinstance(theirs, dict):
        return list(mine) == list(theirs) and all(same(mine[key], theirs[key], held) for key in theirs)
    if isinstance(theirs, list):
        return len(mine) == len(theirs) and all(map(lambda a, b: same(a, b, held), mine, theirs))
    return type(mine) is type(theirs) and bool(mine == theirs)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees, old=st.booleans())
def test_read_pickled_equals_torch_load(tmp_path: Path, tree: dict[Any, Any], old: bool) -> None:
    torch.save(tree, tmp_path / "x", _use_new_zipfile_serialization=not old)
    theirs = torch.load(tmp_path / "x", weights_only=True)
    try:
        mine = read_tensors(tmp_path / "x")
    except BadFileError as refused:  # such as {1: …, "1": …}; any other refusal would be a fault
        assert "two tensors named" in str(refused)  # noqa: PT017
        return
    assert same(mine.tree, theirs, mine)


def test_two_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    torch.save({"a": {"b": torch.zeros(1)}, "a.b": torch.ones(1)}, tmp_path / "x")
    with pytest.raises(BadFileError, match=r"two tensors named 'a\.b'"):
        read_tensors(tmp_path / "x")


def test_keys_that_lead_to_no_tensors_stay_in_the_names(tmp_path: Path) -> None:
    one = torch.zeros(1)
    torch.save({"model": {"layers": [one], "state_dict": {}}, "a": one}, tmp_path / "x")
    assert list(read_tensors(tmp_path / "x")) == ["model.layers.0", "a"]


def test_weights_two_deep_that_have_a_name_from_elsewhere_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1), "model": {"state_dict": {"a": torch.ones(1)}}}, tmp_path / "x")
    with pytest.raises(BadFileError, match="two tensors named 'a'"):
        read_tensors(tmp_path / "x")


def flipped(data: bytes, dice: random.Random) -> bytes:
    """Some bytes changed, cut out or put in."""
    whole = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(whole))
        match dice.randrange(4):
            case 0:
                whole[at] ^= 1 << dice.randrange(8)
            case 1:
                whole[at] = dice.randrange(256)
            case 2:
                del whole[at : at + dice.randint(1, 9)]
            case _:
                whole[at:at] = dice.randbytes(dice.randint(1, 9))
    return bytes(whole)


@pytest.mark.parametrize(
    "tool", ["A1111", "A1111, a stream", "original, a stream", "kohya", "PNG chunk", "WEBP pixels"]
)
def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path: Path, tool: str) -> None:
    dice = random.Random(tool)
    FORMATS[tool](tmp_path / "sound", vectors(1, 8))
    data = (tmp_path / "sound").read_bytes()
    paths = []
    for number in range(64):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(flipped(data, dice))
    told = facts_of(paths)
    assert all(type(facts) is Facts for facts in told)
    assert any(facts.code for facts in told)


def test_a_thousand_names_for_the_same_numbers_are_refused(tmp_path: Path) -> None:
    one = torch.zeros(1 << 18)
    torch.save({str(number): one[: 1 << 18] for number in range(1000)}, tmp_path / "x")
    (read,) = read_all_pickled([tmp_path / "x"])
    assert isinstance(read, BadFileError)
    assert "share the same bytes" in str(read)


def test_the_reading_process_can_open_nothing_write_nothing_and_take_no_memory(tmp_path: Path) -> None:
    program = f"""
import os, socket, sys
sys.path.append({str(Path(nodes.sd.formats.__file__).parent)!r})
from pickles import child
there = open({str(tmp_path / "there")!r}, "wb", buffering=0)
child._give_up_rights(1)
def refused(act):
    try:
        act()
    except (OSError, MemoryError):
        return
    print(act.__code__.co_names)
refused(lambda: open("/etc/passwd"))
refused(lambda: open({str(tmp_path / "new")!r}, "w"))
refused(lambda: there.write(b"x"))
refused(lambda: socket.socket())
refused(lambda: os.pipe())
refused(lambda: bytearray(200 << 20))
"""
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == ""
    assert not (tmp_path / "new").exists()


def test_a_safetensors_file_may_hold_nan_that_only_what_asks_is_told(tmp_path: Path) -> None:
    save_file({"emb_params": torch.full((1, 4), float("nan"))}, tmp_path / "x")
    held = read_tensors(tmp_path / "x")
    assert not held.finite("emb_params")
    assert held["emb_params"].isnan().all()
    with pytest.raises(BadFileError, match="NaN"):
        describe_embedding(held)
