"""Facts of files outlive the process, and a damaged memory is only a loss of time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from nodes.sd.formats.facts import Facts, facts_of
from nodes.sd.formats.memory import Memory
from tests.nodes.sd.formats.tools import FORMATS, vectors


def test_facts_come_back_as_they_were(tmp_path: Path) -> None:
    paths = []
    for number, write in enumerate(FORMATS.values()):
        paths.append(tmp_path / str(number))
        write(paths[-1], vectors())
    (tmp_path / "bad").write_bytes(b"x")
    known = dict(zip(map(str, range(99)), facts_of([*paths, tmp_path / "bad"]), strict=False))
    Memory(tmp_path / "facts.sqlite").remember(known)
    assert Memory(tmp_path / "facts.sqlite").recall([*known, "other"]) == known


def test_what_was_changed_in_it_is_not_believed(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "facts.sqlite")
    memory.remember({"a": Facts("lora"), "b": Facts("vae")})
    with sqlite3.connect(tmp_path / "facts.sqlite") as index:
        index.execute("UPDATE facts SET facts = replace(facts, 'lora', 'evil') WHERE digest = 'a'")
    index.close()
    assert memory.recall(["a", "b"]) == {"b": Facts("vae")}


def test_one_that_cannot_be_used_is_empty(tmp_path: Path) -> None:
    (tmp_path / "facts.sqlite").write_bytes(b"no database" * 100)
    for memory in (Memory(tmp_path / "facts.sqlite"), Memory(tmp_path / "none" / "x"), Memory(None)):
        memory.remember({"a": Facts("lora")})
        assert memory.recall(["a"]) == {}


MANY_BYTES = b"\x80\2X\0\0\0\1" + bytes(1 << 24) + b"q\0" + b"c_codecs\nencode\nh\0X\6\0\0\0latin1\x86R" * 60


@pytest.mark.parametrize("greedy", [b"\x80\2" + b"]" * 31_000_000, b"\x80\2(" * 300_000, MANY_BYTES])
def test_one_greedy_file_leaves_the_others_their_facts(tmp_path: Path, greedy: bytes) -> None:
    for number in range(3):
        FORMATS["A1111"](tmp_path / f"{number}.pt", vectors())
    (tmp_path / "bad.pt").write_bytes(greedy)
    order = [tmp_path / name for name in ("0.pt", "bad.pt", "1.pt", "2.pt")]
    kinds = [facts.kind for facts in facts_of(order)]
    assert kinds == ["embedding", "unknown", "embedding", "embedding"]
