"""EncodePrompt: what is read, in which dialect, and that nobody is left in the dark."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from engine.errors import NodeError
from engine.events import Event
from engine.graph import Binding, Entry, From, Graph, Literal
from engine.session import Session
from engine.testing import run_node
from engine.values import unpack
from nodes.load import LoadModel
from nodes.prompt import EncodePrompt
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


def test_it_shows_what_the_model_sees(session: Session) -> None:
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
    assert made["tags"] == [{"kind": "lora", "name": "ink", "unet": 0.5, "text": 0.7, "rank": None}] * 2
    assert len(told) == 1
    assert "<lora:ink:0.7:0.5> changes nothing here" in told[0]
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
    assert made.summary().startswith("3 of 75 tokens, 64 wide, norm ")
    assert made.summary().endswith(", 2 parts, 4 readings")


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
