"""A graph's inputs as options: what each type takes, how options may be spelled, and `--set`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.cli import options
from engine.context import Context
from engine.document import reader, writer
from engine.document.graph import Entry, From, Graph, GraphInput, Literal
from engine.errors import GraphError
from engine.node import Node
from engine.packs.registry import Registry
from engine.widgets import SEED_MAX
from tests.engine.cli.conftest import Call, Write

GRAPH = Graph(
    inputs={
        "prompt": GraphInput("text", "", False),
        "seed": GraphInput("seed", 0, False),
        "steps": GraphInput("int", 20, False),
        "guidance": GraphInput("float", 7.0, False),
        "tiled": GraphInput("bool", False, False),
        "sampler": GraphInput("choice", "euler", False, "", ("euler", "ddim", 3)),
        "start": GraphInput("file", "", False),
        "tree": GraphInput("json", None, False),
        "clip_skip": GraphInput("int", 1, False),
        "out": GraphInput("text", "", False),
        "weights": GraphInput("list of float", [], False),
    }
)


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("--prompt|a cat", {"prompt": "a cat"}),
        ("--prompt=a=b --c", {"prompt": "a=b --c"}),
        ("--prompt=", {"prompt": ""}),
        ("--prompt|-dash", {"prompt": "-dash"}),
        ("--prompt|--two dashes", {"prompt": "--two dashes"}),
        ("--prompt|12", {"prompt": "12"}),
        ("--prompt|one|--prompt|two", {"prompt": "two"}),
        (f"--seed|{SEED_MAX}", {"seed": SEED_MAX}),
        ("--steps|-3", {"steps": -3}),
        ("--guidance|7", {"guidance": 7.0}),
        ("--guidance=-1.5e2", {"guidance": -150.0}),
        ("--tiled", {"tiled": True}),
        ("--no-tiled", {"tiled": False}),
        ("--tiled|--steps|1", {"tiled": True, "steps": 1}),
        ("--tiled|No", {"tiled": False}),
        ("--tiled=yes", {"tiled": True}),
        ("--tiled|FALSE", {"tiled": False}),
        ("--sampler|ddim", {"sampler": "ddim"}),
        ("--sampler|3", {"sampler": 3}),
        ("--start|a/b.png", {"start": "a/b.png"}),
        ('--tree|{"a": [1, null]}', {"tree": {"a": [1, None]}}),
        ("--clip-skip|2", {"clip_skip": 2}),
        ("--weights|[1, 0.5]", {"weights": [1, 0.5]}),
        ("--clip_skip=2", {"clip_skip": 2}),
        ("--input.out|x", {"out": "x"}),
        ("--input.steps=4", {"steps": 4}),
    ],
)
def test_option_text_is_converted_to_the_inputs_type(words: str, values: dict[str, Any]) -> None:
    parsed = options.parse(GRAPH, words.split("|"))
    assert parsed == values
    assert [type(value) for value in parsed.values()] == [type(value) for value in values.values()]


@pytest.mark.parametrize("text", ["random", "Random", "-1"])
def test_a_seed_may_be_random(text: str) -> None:
    assert options.parse(GRAPH, ["--seed", text]) == {"seed": "random"}


def test_a_random_seed_is_recorded(call: Call, write: Write) -> None:
    nodes = {"add": ("Add", {"a": {"param": "seed"}})}
    graph = write(nodes, {"seed": {"type": "seed", "default": 1}}, {"sum": "add.out"})
    answer = call("run", graph, "--seed", "random", "--json").json
    assert answer["values"]["seed"] == answer["outputs"]["sum"]["value"]


def test_tilde_is_expanded() -> None:
    assert options.parse(GRAPH, ["--start", "~/x.png"]) == {"start": str(Path.home() / "x.png")}


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        ("--seed|abc", "invalid_value", None),
        ("--seed|1.0", "invalid_value", None),
        ("--seed|1_000", "invalid_value", None),
        ("--seed|\u0663", "invalid_value", None),
        ("--seed|-2", "invalid_value", None),
        (f"--steps|{'9' * 5000}", "invalid_value", None),
        ("--guidance|nan", "invalid_value", None),
        ("--guidance|1e999", "invalid_value", None),
        ("--tiled=maybe", "invalid_value", None),
        ("--no-tiled=yes", "bad_option", "--no-tiled"),
        ("--sampler|eulr", "invalid_value", "euler"),
        ("--sampler|zzz", "invalid_value", "euler, ddim, 3"),
        ("--tree|{", "invalid_value", None),
        ("--prompt", "missing_value", "--prompt=VALUE"),
        ("--prompt|--steps=1", "missing_value", "--prompt=VALUE"),
        ("--promt|x", "unknown_option", "--prompt"),
        ("stray", "bad_option", "quotes"),
        ("-p", "bad_option", "quotes"),
        ("--out=x", "unknown_option", "--input.out"),
    ],
)
def test_a_word_that_does_not_fit_is_a_problem(words: str, code: str, hint: str | None) -> None:
    with pytest.raises(GraphError) as caught:
        options.parse(GRAPH, words.split("|"))
    (problem,) = caught.value.problems
    assert problem.code == code
    assert words.split("|", 1)[0].partition("=")[0] in problem.message
    assert (hint or "") in (problem.hint or "")
    assert (problem.hint is None) is (hint is None)


def test_all_option_problems_are_reported_at_once() -> None:
    with pytest.raises(GraphError) as caught:
        options.parse(GRAPH, ["--seed", "x", "--nope", "value", "--guidance=y", "--tiled=z"])
    assert len(caught.value.problems) == 4


def test_where_two_inputs_claim_an_option_the_exact_name_wins() -> None:
    graph = Graph(
        inputs={
            "a_b": GraphInput("int"),
            "a-b": GraphInput("int"),
            "on": GraphInput("bool"),
            "no-on": GraphInput("int"),
        }
    )
    words = ["--a_b", "1", "--a-b", "2", "--no-on", "3"]
    assert options.parse(graph, words) == {"a_b": 1, "a-b": 2, "no-on": 3}


SAY = {"say": ("Say@1", {"text": {"param": "text"}})}
TEXT = {"text": {"type": "text", "default": ""}}


def said(call: Call, graph: Path, *words: str) -> dict[str, Any]:
    answer = call("run", graph, "--json", *words)
    assert answer.code == 0, answer.out
    value: dict[str, Any] = answer.json["outputs"]["said"]["value"]
    return value


def test_options_reach_the_nodes(call: Call, write: Write) -> None:
    nodes = {
        "say": (
            "Say@1",
            {name: {"param": name} for name in ("text", "number", "yes", "mode", "tree")},
        )
    }
    inputs = {
        "text": {"type": "text", "default": ""},
        "number": {"type": "float", "default": 0.5},
        "yes": {"type": "bool", "default": False},
        "mode": {"type": "choice", "choices": ["plain", "bold"], "default": "plain"},
        "tree": {"type": "json", "default": {}},
    }
    graph = write(nodes, inputs, {"said": "say.out"})
    words = ["--text", "-1", "--number", "2", "--yes", "--mode=bold", "--tree", '{"a": 1}']
    expected = {"text": "-1", "number": 2.0, "yes": True, "mode": "bold", "tree": {"a": 1}}
    assert said(call, graph, *words) == expected


def test_set_reads_json_except_for_text(call: Call, write: Write) -> None:
    graph = write(SAY, TEXT, {"said": "say.out"})
    words = ["--set", "say.text=12", "--set", "say.number=3", "--set", 'say.tree={"a": 2}']
    value = said(call, graph, *words, "--set", "say.mode=bold", "--set", "say.yes=true")
    assert value == {"text": "12", "number": 3.0, "yes": True, "mode": "bold", "tree": {"a": 2}}
    assert said(call, graph, "--set", "say.text=a=b")["text"] == "a=b"


@pytest.mark.parametrize(
    ("item", "code", "place", "hint"),
    [
        ("sy.text=1", "unknown_node", "", "say"),
        ("say.txt=1", "unknown_input", "say.txt", "text"),
        ("say=1", "bad_option", "", "--set"),
        ("say.text", "bad_option", "", "--set"),
        ("say.number=many", "type_mismatch", "say.number", ""),
        ("say.number=NaN", "type_mismatch", "say.number", ""),
    ],
)
def test_a_set_that_fits_nothing_is_refused(
    call: Call, write: Write, item: str, code: str, place: str, hint: str
) -> None:
    answer = call("run", write(SAY, TEXT, {"said": "say.out"}), "--set", item, "--json")
    (problem,) = answer.json["problems"]
    where = ".".join(part for part in (problem["node"], problem["input"]) if part)
    assert (answer.code, problem["code"], where) == (2, code, place)
    assert hint in (problem["hint"] or "")


def test_set_leaves_the_graph_as_it_was() -> None:
    graph = Graph({"a": Entry("Unknown@1", {"x": From("b", "out")}), "b": Entry("Unknown@1")})
    changed = options.with_sets(graph, ["a.x=[1]"], Registry())
    assert changed.nodes["a"].inputs == {"x": Literal([1])}
    assert graph.nodes["a"].inputs == {"x": From("b", "out")}


class Grown(Node, version=3):
    """Renamed an input, and gained one."""

    new: int
    more: int = 0

    @classmethod
    def upgrade(cls, inputs: dict[str, Any], version: int) -> dict[str, Any]:
        if version == 1:
            inputs["new"] = inputs.pop("old")
        return {**inputs, "more": 5}

    def run(self, ctx: Context) -> int:
        return self.new


def test_set_brings_a_node_of_an_older_version_up_first() -> None:
    graph = Graph({"a": Entry("Grown@1", {"old": From("b", "out")}, "A title")})
    changed = options.with_sets(graph, ["a.new=2"], Registry([Grown]))
    assert changed.nodes == {"a": Entry("Grown@3", {"new": Literal(2), "more": Literal(5)}, "A title")}
    assert reader.parse(writer.dump(changed)) == changed
    both = options.with_sets(graph, ["a.new=2", "a.more=7"], Registry([Grown]))
    assert both.nodes["a"].inputs == {"new": Literal(2), "more": Literal(7)}
    with pytest.raises(GraphError) as caught:
        options.with_sets(Graph({"a": Entry("Grown@1")}), ["a.new=2", "nowhere.x=1"], Registry([Grown]))
    assert [problem.code for problem in caught.value.problems] == ["bad_upgrade", "unknown_node"]


def test_help_lists_the_options_of_the_graph(call: Call, write: Write) -> None:
    inputs = {
        "clip_skip": {"type": "int", "default": 1, "doc": "Layers to leave out"},
        "mode": {"type": "choice", "choices": ["plain", "bold"], "default": "plain"},
        "out": {"type": "text"},
    }
    graph = write(SAY, inputs, title="Sayings")
    help = call("run", graph, "--help")
    assert help.code == 0
    words = " ".join(help.out.replace("│", " ").split())
    assert "Options of Sayings" in words
    assert "--clip-skip NUMBER Layers to leave out [default: 1]" in words
    assert "--mode plain|bold [default: plain]" in words
    assert "--input.out TEXT [required]" in words
    assert "--set" in words
    assert call("run", "--help").code == 0


def test_a_required_option_that_is_missing_is_asked_for(call: Call, write: Write) -> None:
    graph = write({"say": ("Say", {"text": {"param": "text"}})}, {"text": {"type": "text"}}, {"x": "say.out"})
    answer = call("run", graph)
    assert answer.code == 2
    assert (
        "the graph input 'text' has no value · hint: set a value, for example with --text VALUE" in answer.err
    )
