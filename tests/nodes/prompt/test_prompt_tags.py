"""ApplyTags: a tag does what the node that it stands for does, to the bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.document.graph import Entry, From, Graph, Literal
from engine.errors import GraphError, Problem
from engine.events import Event
from engine.session import Session
from engine.sources import source
from tests.nodes.conftest import GRAPHS, ran, warnings

RECOLOUR = GRAPHS / "loras" / "red-to-blue.safetensors"
FEW: dict[str, Any] = {"steps": 3}


@pytest.fixture(autouse=True)
def loras(home: Path) -> Path:
    folder = home / "models" / "loras"
    (folder / "inks").mkdir(parents=True)
    shutil.copy(RECOLOUR, folder / "inks" / "blue ink.safetensors")
    return folder


def drawing(prompt: str, before: Entry | None = None) -> Graph:
    """The graph that draws a prompt; `before` is a node with a model and an encoder for it."""
    graph = source.load(GRAPHS / "text_to_image.json")
    graph.nodes["positive"].inputs["prompt"] = Literal(prompt)
    graph.outputs["model"] = From("model", "model")
    if before is not None:
        graph.nodes["before"] = before
        before.inputs |= {"model": From("model", "model"), "encoder": From("model", "encoder")}
        graph.nodes["denoise"].inputs["model"] = From("before", "model")
        graph.nodes["positive"].inputs["encoder"] = From("before", "encoder")
        graph.outputs["model"] = From("before", "model")
        if before.type.startswith("ApplyTags"):
            graph.nodes["positive"].inputs["prompt"] = From("before", "prompt")
    return graph


def tagged(prompt: str) -> Graph:
    return drawing("", Entry("ApplyTags@1", {"prompt": Literal(prompt)}))


def test_a_tag_is_the_lora_at_its_weights(session: Session) -> None:
    prompt = "a red circle  on a white background"
    stack: dict[str, Any] = {"lora": "blue ink", "weight": 0.8, "encoder_weight": 0.5}
    entry = Entry("ApplyLoRA@1", {name: Literal(value) for name, value in stack.items()})
    expected = session.run(drawing(prompt, entry), FEW)
    assert expected.state == "done"
    found = session.run(tagged(prompt.replace("  ", " <lora:blue ink:0.5:0.8> ")), FEW)
    assert found.outputs["image"].digest == expected.outputs["image"].digest
    plain = session.run(drawing(prompt), FEW)
    assert found.outputs["image"].digest != plain.outputs["image"].digest
    by_folder = session.run(tagged(prompt.replace("  ", " <lora:inks/blue ink:0.5:0.8> ")), FEW)
    assert by_folder.outputs["image"].digest == expected.outputs["image"].digest


def test_apply_tags_without_tags_or_at_weight_0_has_no_effect(session: Session) -> None:
    expected = session.run(drawing("a red circle"), FEW)
    for prompt in ("a red circle", "a red circle<lora:blue ink:0>"):
        found = session.run(tagged(prompt), FEW)
        assert found.outputs["image"].digest == expected.outputs["image"].digest
        assert found.outputs["model"].meta == expected.outputs["model"].meta


def test_another_file_of_the_same_name_is_seen_by_the_next_run(session: Session, loras: Path) -> None:
    graph = tagged("a red circle <lora:blue ink:1>")
    assert "before" in ran(session.run(graph, FEW))
    assert ran(session.run(graph, FEW)) == set()
    file = loras / "inks" / "blue ink.safetensors"
    changed = bytearray(file.read_bytes())
    changed[-1] ^= 1
    file.write_bytes(changed)
    assert "before" in ran(session.run(graph, FEW))


def refusal(session: Session, graph: Graph) -> Problem | None:
    """The first problem of a graph, found before it runs or by its running."""
    try:
        report = session.run(graph, FEW)
    except GraphError as error:
        return error.problems[0]
    assert report.state == "failed"
    return next(fared.problem for fared in report.nodes.values() if fared.problem is not None)


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a <lora:green ink:1>", "green ink"),
        ("a <hypernet:moss:1>", "moss"),
        ("a <lora:blue ink:much>", "'much' in the tag at character 3 is not a number"),
        ("a <lora:blue ink:99>", "<lora:blue ink:99> has a weight or a rank"),
        ("a <lora:../../secret:1>", "secret"),
    ],
)
def test_a_tag_that_cannot_be_applied_is_a_problem(session: Session, prompt: str, told: str) -> None:
    assert told in str(refusal(session, tagged(prompt)))


def test_unknown_tag_kinds_give_warnings(session: Session) -> None:
    events: list[Event] = []
    session.run(tagged("a <spell:x:1>"), FEW, emit=events.append)
    (message,) = warnings(events)
    assert "<spell:" in message


@pytest.mark.parametrize(
    ("blocks", "meant"),
    [("OUTD", "1,0,0,0,0,0,0,0,1,1,1,1,0,0,0,0,0"), ("0.5,0,0,0,0,0,0,0,1,0,0,0,0,0,0,0,0", None)],
)
def test_block_weights_of_a_tag_are_applied(session: Session, blocks: str, meant: str | None) -> None:
    inputs: dict[str, Any] = {"lora": "blue ink", "weight": 0.8, "blocks": meant or blocks}
    entry = Entry("ApplyLoRA@1", {name: Literal(value) for name, value in inputs.items()})
    expected = session.run(drawing("a red circle", entry), FEW)
    assert expected.state == "done"
    found = session.run(tagged(f"a red circle <lora:blue ink:0.8:lbw={blocks}>"), FEW)
    assert found.outputs["image"].digest == expected.outputs["image"].digest
    everywhere = session.run(tagged("a red circle <lora:blue ink:0.8>"), FEW)
    assert found.outputs["image"].digest != everywhere.outputs["image"].digest


def test_fields_of_a_tag_without_effect_are_told(session: Session) -> None:
    """The case of `lora_tag_draw.json`: `stop` is not applied; the block weights are."""
    events: list[Event] = []
    session.run(tagged("red <lora:blue ink:0.8:lbw=OUTD:stop=10>"), FEW, emit=events.append)
    (message,) = warnings(events)
    assert "stop=" in message
    assert "'blue ink'" in message
    assert "character 5" in message
    events.clear()
    session.run(tagged("red <lora:blue ink:0.8:lbw=MINE:x=2>"), FEW, emit=events.append)
    presets, unknown = warnings(events)
    assert "lbw=MINE" in presets
    assert "OUTD" in presets
    assert "x=" in unknown
