"""The lengths of prompts before a run equal those of the encoded prompts, and need no torch."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.document.graph import Binding, Entry, From, Graph, Literal
from engine.events import Event
from engine.session import Session
from engine.testing import run_node
from nodes.model.embeddings import LoadEmbeddings
from nodes.model.load import LoadModel
from nodes.prompt.encode_prompt import EncodePrompt
from nodes.sd.families.known import family_named
from nodes.sd.models.folder import describe_folder
from nodes.sd.models.tokenizer import load_tokenizer
from nodes.values import TextEncoder
from tests.nodes.conftest import warnings
from tests.nodes.sd.conftest import TINY
from tests.nodes.sd.formats.tools import a1111
from tests.nodes.sd.in_transformers import tokenizer_of

LONG = ", ".join(f"a red circle number {n}" for n in range(20))
PROMPTS: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("a red circle on a blue background", {}),
    (LONG, {}),
    (LONG, {"backtrack": 0}),
    (LONG, {"dialect": "comfy"}),
    ("(a:1.2) [b] BREAK c, <ruby> \\(d\\)", {}),
    ("(a:1.2) [b] BREAK c, <ruby> \\(d\\)", {"dialect": "plain"}),
    (f"{'word ' * 70} ruby ruby", {}),
    ("[a cat:a very long dog:0.5] AND a hill :0.5", {}),
    ("a # comment", {"comments": True}),
    ("a ruby", {"bare_names": False}),
    ("a <unknown> word <lora:ink:0.8>", {}),
    ("embedding:nothing", {"dialect": "comfy"}),
]


@pytest.fixture
def ruby(home: Path) -> None:
    place = home / "models" / "embeddings"
    place.mkdir(parents=True)
    torch.save(a1111(torch.ones(3, 64), name="gem"), place / "ruby.pt")


def graph_of(prompt: str, inputs: dict[str, Any]) -> Graph:
    own: dict[str, Binding] = {name: Literal(value) for name, value in inputs.items()}
    return Graph(
        nodes={
            "model": Entry("LoadModel@1", {}),
            "words": Entry("LoadEmbeddings@1", {"encoder": From("model", "encoder")}),
            "text": Entry(
                "EncodePrompt@2", {"encoder": From("words", "out"), "prompt": Literal(prompt), **own}
            ),
        },
        outputs={"out": From("text", "out")},
    )


@pytest.mark.usefixtures("ruby")
def test_lengths_and_warnings_are_those_of_the_run(session: Session) -> None:
    encoder = run_node(session, LoadModel())["encoder"]
    assert isinstance(encoder, TextEncoder)
    taught = run_node(session, LoadEmbeddings(encoder=encoder))["out"]
    assert isinstance(taught, TextEncoder)
    for prompt, inputs in PROMPTS:
        events: list[Event] = []
        ran: Mapping[str, Any] = run_node(
            session, EncodePrompt(encoder=taught, prompt=prompt, **inputs), emit=events.append
        )
        (text,), problems = session.text_lengths(session.check(graph_of(prompt, inputs)))
        assert (text.node, text.input, text.room) == ("text", "prompt", 75)
        assert sum(text.chunks) == ran["used"], prompt
        assert text.room - text.chunks[-1] == ran["left"], prompt
        if not any(token["part"] or token["reading"] for token in ran["tokens"]):
            chunks = Counter(token["chunk"] for token in ran["tokens"])
            assert list(text.chunks) == [chunks[n] for n in range(len(text.chunks))], prompt
        assert [problem.message for problem in problems] == warnings(events), prompt
        assert {problem.severity for problem in problems} <= {"warning"}


@pytest.mark.usefixtures("ruby")
def test_a_prompt_that_cannot_be_read_is_told(session: Session) -> None:
    (text,), (problem,) = session.text_lengths(session.check(graph_of("half of \ud83d", {})))
    assert text.chunks == ()
    assert (problem.node, problem.input) == ("text", "prompt")


@pytest.mark.parametrize(
    "change",
    [
        {"words": {"embedding": From("made", "out")}},
        {"text": {"dialect": Literal("compel")}},
        {"text": {"prompt": From("other", "out")}},
        {"model": {"model": Literal("missing")}},
    ],
)
def test_what_only_the_run_knows_has_no_length(
    session: Session, change: dict[str, dict[str, Binding]]
) -> None:
    graph = graph_of("a red circle", {})
    nodes = {
        id: Entry(entry.type, {**entry.inputs, **change.get(id, {})}) for id, entry in graph.nodes.items()
    }
    nodes["made"] = Entry("OpenEmbedding@1", {"file": Literal("ruby")})
    nodes["other"] = Entry("DynamicPrompt@1", {"prompt": Literal("a")})
    checked = session.check(Graph(nodes=nodes, outputs=graph.outputs))
    assert session.text_lengths(checked)[0] == []


def test_words_are_spelled_as_by_transformers() -> None:
    files = describe_folder(TINY)
    role = family_named("sd1").roles[0]
    theirs, ours = tokenizer_of(TINY / "tokenizer"), load_tokenizer(files, role)
    words = [
        "",
        "a photo of the unforeseeable, naïve 猫 it's we'll <|endoftext|> 12.5",
        "  MANY   spaces\n\tand lines ",
        "É e\u0301 ﬁ Ⅷ ½ 🙂👨‍👩‍👧 --- __init__ a_b ''s",
        "".join(map(chr, range(32, 1000))),
    ]
    for special in (False, True):
        given = {"add_special_tokens": special, "verbose": False}
        assert ours(words, **given).input_ids == theirs(words, **given).input_ids
    ids = ours(words, add_special_tokens=False).input_ids
    assert [ours.decode(row) for row in ids] == [theirs.decode(row) for row in ids]
    for text in (",</w>", "cat</w>"):
        assert ours.convert_tokens_to_ids(text) == theirs.convert_tokens_to_ids(text)


@pytest.mark.usefixtures("ruby")
def test_counting_imports_neither_torch_nor_transformers(home: Path) -> None:
    code = """
import json, sys
from pathlib import Path
from engine import settings
from engine.document import reader
from engine.session import Session
home, graph = map(Path, sys.argv[1:])
with Session(settings.load(home)) as session:
    texts, _ = session.text_lengths(session.check(reader.from_json(json.loads(graph.read_text()))))
print([sum(text.chunks) for text in texts], sorted({"torch", "transformers"} & sys.modules.keys()))
"""
    from engine.document import writer

    graph = home / "graph.json"
    graph.write_text(writer.dump(graph_of("a <ruby> circle", {})))
    done = subprocess.run(
        [sys.executable, "-c", code, str(home), str(graph)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[5] []"
