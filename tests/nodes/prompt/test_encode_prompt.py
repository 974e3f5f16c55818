"""EncodePrompt: what is read, in which dialect, and that nobody is left in the dark."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.cli import main
from engine.document.graph import Binding, Entry, From, Graph, Literal
from engine.document.writer import dump
from engine.errors import NodeError
from engine.events import Event
from engine.packing import unpack
from engine.session import Session
from engine.testing import run_node
from nodes.model.load import LoadModel
from nodes.prompt.encode_prompt import EncodePrompt
from nodes.values import Conditioning, TextEncoder
from tests.nodes.conftest import ran, warnings

FOUR_PARTS = "[a red:a blue:0.5] circle AND <lora:ink:0.7> a [star|ring] :0.5"


def encoder(session: Session) -> TextEncoder:
    found = run_node(session, LoadModel())["encoder"]
    assert isinstance(found, TextEncoder)
    return found


def outputs(session: Session, prompt: str, **more: Any) -> tuple[Mapping[str, Any], list[str]]:
    events: list[Event] = []
    node = EncodePrompt(encoder=encoder(session), prompt=prompt, **more)
    return run_node(session, node, emit=events.append), warnings(events)


def encoded(session: Session, prompt: str, **more: Any) -> tuple[Conditioning, list[str]]:
    made, told = outputs(session, prompt, **more)
    assert isinstance(made["out"], Conditioning)
    return made["out"], told


def test_the_token_table_shows_the_model_s_tokens(session: Session) -> None:
    made, told = outputs(session, "a cute (adorable:1.2) bunny")
    assert [(token["text"], token["id"], token["weight"]) for token in made["tokens"]] == [
        ("a", 320, 1.0),
        ("cute", 2242, 1.0),
        ("adorable", 6298, 1.2),
        ("bunny", 9258, 1.0),
    ]
    assert [token["position"] for token in made["tokens"]] == [1, 2, 3, 4]
    assert (made["used"], made["left"], told) == (4, 71, [])
    assert made["out"].embeddings.shape == (1, 77, 64)


def test_a_long_prompt_becomes_several_chunks(session: Session) -> None:
    short, _ = encoded(session, "red " * 75)
    made, told = outputs(session, "red " * 75 + "circle on blue")
    assert made["out"].embeddings.shape == (1, 154, 64)
    assert torch.equal(made["out"].embeddings[:, :77], short.embeddings)
    rest, _ = encoded(session, "circle on blue")
    assert torch.equal(made["out"].embeddings[:, 77:], rest.embeddings)
    assert (made["used"], made["left"], told) == (78, 72, [])


def test_clip_skip_listens_to_an_earlier_layer(session: Session) -> None:
    last, _ = encoded(session, "a red circle")
    earlier, _ = encoded(session, "a red circle", clip_skip=2)
    assert not torch.allclose(last.embeddings, earlier.embeddings)


def test_in_each_dialect_the_syntax_of_the_others_is_said_to_be_plain_words(session: Session) -> None:
    for dialect, prompt in [
        ("plain", "a (red circle:1.3)"),
        ("plain", "<lora:ink:1> a mug"),
        ("plain", "red BREAK blue"),
        ("comfy", "a [red:blue:0.5] circle"),
        ("a1111", "a (red circle)1.3"),
        ("a1111", '("red", "blue").blend(1, 1)'),
    ]:
        (told,) = encoded(session, prompt, dialect=dialect)[1]
        assert f"has no meaning in the dialect {dialect!r} and is read as words" in told
        assert "(character " in told
    for dialect in ("plain", "comfy", "a1111"):
        assert encoded(session, "a red circle (small)", dialect=dialect)[1] == []


def test_a_tag_that_nothing_applies_is_not_silent(session: Session) -> None:
    made, told = outputs(session, "a mug <lora:ink:0.7:0.5> <lora:ink:0.7:0.5>")
    assert (
        made["tags"]
        == [{"kind": "lora", "name": "ink", "unet": 0.5, "text": 0.7, "rank": None, "blocks": ""}] * 2
    )
    assert len(told) == 1
    assert "<lora:ink:0.7:0.5> has no effect here" in told[0]
    plain, _ = encoded(session, "a mug")
    assert torch.equal(made["out"].embeddings, plain.embeddings)


def test_a_prompt_that_cannot_be_read_fails_with_its_place(session: Session) -> None:
    with pytest.raises(NodeError, match=r"'1\.2\.3' at character 6 is not a number"):
        outputs(session, "a (b:1.2.3)")
    with pytest.raises(NodeError, match="200,001 characters"):
        outputs(session, "(" * 200_001)


def test_without_compel_its_dialect_names_what_to_install(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "compel", None)
    monkeypatch.delitem(sys.modules, "nodes.sd.prompts.compel", raising=False)
    with pytest.raises(NodeError) as failed:
        outputs(session, "a mug", dialect="compel")
    assert failed.value.hint == "pip install 'safelight[compel]'"
    assert failed.value.input == "dialect"


def test_a_conditioning_comes_back_from_its_bytes_as_it_was(session: Session) -> None:
    for prompt in ("a mug", "a mug BREAK a star", FOUR_PARTS):
        made, _ = encoded(session, prompt)
        packed = made.pack()
        back = unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts})
        assert isinstance(back, Conditioning)
        assert back.pack() == packed
        assert back.tokens == made.tokens
        assert torch.equal(back.embeddings, made.embeddings)
        assert len(back.parts) == len(made.parts)
        for mine, its in zip(made.parts, back.parts, strict=True):
            assert mine[1:] == its[1:]
            assert all(map(torch.equal, mine.encodings, its.encodings))


def test_its_summary_says_what_is_in_it(session: Session) -> None:
    made, _ = encoded(session, FOUR_PARTS)
    assert made.summary().startswith("1 x 77 x 64, norm ")
    assert made.summary().endswith(", 2 parts, 4 readings")


def test_a_declared_conditioning_shows_its_shape_norm_and_tokens(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs: dict[str, Binding] = {"encoder": From("model", "encoder"), "prompt": Literal("a red circle")}
    nodes = {"model": Entry("LoadModel@1", {}), "text": Entry("EncodePrompt@2", inputs)}
    graph = Graph(nodes=nodes, outputs={"out": From("text", "out")})
    (tmp_path / "graph.json").write_text(dump(graph))
    for _ in range(2):  # computed, and from the cache
        capsys.readouterr()
        assert main(["run", str(tmp_path / "graph.json"), "--home", str(home), "--json"]) == 0
        output = json.loads(capsys.readouterr().out)["outputs"]["out"]
        assert output["type"] == "Conditioning"
        shape, norm, tokens = output["summary"].split(", ", 2)
        assert shape == "1 x 77 x 64"
        assert float(norm.removeprefix("norm ")) > 0
        assert tokens == "3 of 75 tokens (1 a, 2 red, 3 circle)"
    assert main(["run", str(tmp_path / "graph.json"), "--home", str(home)]) == 0
    assert f"out: {output['summary']}\n" in capsys.readouterr().out
    assert main(["run", str(tmp_path / "graph.json"), "--home", str(home), "--quiet"]) == 0
    assert "norm" not in capsys.readouterr().out


def test_a_graph_of_the_first_version_reads_its_signs_as_words(session: Session) -> None:
    def graph(version: int, dialect: str | None) -> Graph:
        inputs: dict[str, Binding] = {
            "encoder": From("model", "encoder"),
            "prompt": Literal("a (red circle:1.3)"),
        }
        if dialect is not None:
            inputs["dialect"] = Literal(dialect)
        nodes = {"model": Entry("LoadModel@1", {}), "text": Entry(f"EncodePrompt@{version}", inputs)}
        return Graph(nodes=nodes, outputs={"out": From("text", "out")})

    first = session.run(graph(1, None))
    assert first.state == "done"
    again = session.run(graph(2, "plain"))
    assert ran(again) == set()
    assert again.outputs["out"].digest == first.outputs["out"].digest
    assert ran(session.run(graph(2, None))) == {"text"}
