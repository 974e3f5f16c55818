"""The example graphs and the README's node: what a newcomer tries first works as it stands."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest

import nodes
from engine.cli import main
from engine.document import reader, writer
from engine.document.graph import Entry, From, Literal
from engine.session import Session
from engine.sources import source
from tests.nodes.conftest import GRAPHS, home, open_session, output, session

__all__ = ["home", "open_session", "session"]

EXAMPLES = sorted(path for path in GRAPHS.glob("*.json") if path.name != "graph.schema.json")
README = GRAPHS.parent / "README.md"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_written_canonically_and_runs(session: Session, path: Path) -> None:
    graph = source.load(path)
    assert writer.dump(graph) == path.read_text(encoding="utf-8")
    assert session.check(graph).problems == []
    session.files.beside = path.parent
    for entry in graph.nodes.values():
        if entry.name == "Denoise":
            make_quick(entry)
    quick = {name: steps for name, steps in {"steps": 3, "style_steps": 1}.items() if name in graph.inputs}
    report = session.run(graph, quick)
    assert report.state == "done"
    assert report.outputs.keys() == graph.outputs.keys()


def make_quick(denoise: Entry) -> None:
    """Let a node sample two steps."""
    match denoise.inputs.get("steps"):
        case Literal([*several]):
            denoise.inputs["steps"] = Literal([2 for _ in several])
        case Literal(_):
            denoise.inputs["steps"] = Literal(2)


def blocks(language: str, word: str) -> list[str]:
    """The code blocks of the README in a language that contain a word."""
    found = re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return [block for block in found if word in block]


def test_the_readme_s_node_turns_light_into_dark(home: Path, open_session: Callable[[], Session]) -> None:
    (code,) = blocks("python", "class Invert")
    (home / "nodes").mkdir(parents=True)
    (home / "nodes" / "invert.py").write_text(code, encoding="utf-8")
    session = open_session()
    assert session.registry.problems == []
    graph = source.load(GRAPHS / "text_to_image.json")
    graph.nodes["invert"] = Entry("Invert@1", {"image": From("decode", "out"), "amount": Literal(1.0)})
    graph.outputs["dark"] = From("invert", "out")
    report = session.run(graph, {"steps": 3})
    assert np.array_equal(output(report, "dark").pixels, 255 - output(report).pixels)


def test_the_readme_s_graph_is_written_canonically_and_draws_what_the_example_draws(session: Session) -> None:
    (document,) = blocks("json", "nodes")
    graph = reader.parse(document)
    assert writer.dump(graph) == document
    star = output(session.run(graph))
    values = {name: item.default for name, item in graph.inputs.items()}
    example = output(session.run(source.load(GRAPHS / "text_to_image.json"), values))
    assert np.array_equal(star.pixels, example.pixels)


def test_the_readme_s_python_draws_a_picture(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAFELIGHT_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python", "Session.open")
    exec(compile(code, "README.md", "exec"), {})
    (picture,) = (tmp_path / "pictures").iterdir()
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"done (128, 128) {picture}"


def test_a_wheel_holds_the_examples_where_the_pack_looks_for_them() -> None:
    settings = tomllib.loads((GRAPHS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {
        "graphs": "nodes/graphs"
    }
    assert nodes.examples == GRAPHS


def commands() -> list[list[str]]:
    """The arguments of each `safelight` command in the README, without pictures that do not exist yet."""
    text = README.read_text(encoding="utf-8")
    written = re.findall(r"^\$ (?:cat star\.json \| )?safelight (.+)$", text, re.MULTILINE)
    words = (shlex.split(line, comments=True) for line in written)
    return [line for line in words if not any(word.startswith("outputs/") for word in line)]


@pytest.mark.parametrize("line", commands(), ids=" ".join)
def test_every_command_in_the_readme_is_valid(
    line: list[str], home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(GRAPHS.parent)
    monkeypatch.setenv("SAFELIGHT_HOME", str(home))
    if "-" in line:
        (document,) = blocks("json", "nodes")
        monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(document.encode())))
    if line[0] == "run":  # planned only: other tests run the examples
        line = ["plan", *line[1:]]
        for option in {"--trace", "--events", "--previews"} & {*line}:
            at = line.index(option)
            del line[at : at + 2]
    fine = 1 if line[0] == "diff" else 0  # 1: the graphs differ
    assert main(line) == fine, capsys.readouterr().err
