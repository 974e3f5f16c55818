"""LoadText: the text of a file, and the template of a training that comes from one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.document.graph import Entry, From, Graph, Literal
from engine.errors import NodeError
from engine.session import Session
from engine.testing import run_node
from nodes.prompt.load_text import LoadText
from tests.nodes.conftest import ran


def test_the_text_is_that_of_the_file_as_it_is_now(session: Session, home: Path) -> None:
    place = home / "inputs" / "prompts.txt"
    place.parent.mkdir(parents=True)
    work = Graph(
        nodes={
            "text": Entry("LoadText@1", {"file": Literal("prompts.txt")}),
            "lines": Entry("Lines@1", {"text": From("text", "out")}),
        },
        outputs={"lines": From("lines", "out")},
    )
    for written, lines in (
        ("\ufeffa [name]\r\n\r\nein schöner [name]\n", ["a [name]", "ein schöner [name]"]),
        ("one\n", ["one"]),
    ):
        place.write_text(written, encoding="utf-8", newline="")
        report = session.run(work)
        assert report.outputs["lines"].meta == lines
        assert ran(session.run(work)) == set()


@pytest.mark.parametrize(
    ("data", "code"), [(b"\xff\xfe\x00", "bad_text"), (b"a" * (4 << 20) + b"b", "too_large"), (None, None)]
)
def test_a_file_that_is_no_text_is_refused(
    session: Session, tmp_path: Path, data: bytes | None, code: str | None
) -> None:
    place = tmp_path / "template.txt"
    if data is None:
        place.mkdir()
    else:
        place.write_bytes(data)
    with pytest.raises(NodeError) as caught:
        run_node(session, LoadText(file=str(place)))
    assert caught.value.input == "file"
    assert code in (None, caught.value.code)


def test_a_file_may_be_the_template_of_a_training(session: Session, home: Path) -> None:
    place = home / "inputs" / "template.txt"
    place.parent.mkdir(parents=True)
    place.write_text("a [name] at night\n", encoding="utf-8")
    (home / "inputs" / "pictures").mkdir()
    parts: dict[str, Any] = {part: From("model", part) for part in ("model", "encoder", "vae")}
    train = {
        **parts,
        "dataset": From("data", "out"),
        "name": Literal("zzz"),
        "template_text": From("t", "out"),
    }
    work = Graph(
        nodes={
            "model": Entry("LoadModel@1", {}),
            "data": Entry("LoadDataset@2", {"folder": Literal("pictures")}),
            "t": Entry("LoadText@1", {"file": Literal("template.txt")}),
            "train": Entry("TrainTI@1", train),
        },
        outputs={"embedding": From("train", "embedding")},
    )
    assert session.check(work).problems == []
