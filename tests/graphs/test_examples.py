"""The example graphs and the README's node: what a newcomer tries first works as it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from engine import graph as documents
from engine import source
from engine.cli import main
from engine.graph import Entry, From, Literal
from engine.session import Session
from tests.nodes.conftest import GRAPHS, home, open_session, output, session

__all__ = ["home", "open_session", "session"]

EXAMPLES = sorted(path for path in GRAPHS.glob("*.json") if path.name != "graph.schema.json")
README = GRAPHS.parent / "README.md"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_written_canonically_and_runs(session: Session, path: Path) -> None:
    graph = source.load(path)
    assert documents.dump(graph) == path.read_text(encoding="utf-8")
    assert session.check(graph).problems == []
    session.files.beside = path.parent
    quick = {"steps": 3} if "steps" in graph.inputs else {}
    report = session.run(graph, quick)
    assert report.state == "done"
    assert report.outputs.keys() == graph.outputs.keys()


def test_the_readme_s_node_turns_light_into_dark(home: Path, open_session: Callable[[], Session]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (home / "nodes").mkdir(parents=True)
    (home / "nodes" / "invert.py").write_text(code, encoding="utf-8")
    session = open_session()
    assert session.registry.problems == []
    graph = source.load(GRAPHS / "text_to_image.json")
    graph.nodes["invert"] = Entry("Invert@1", {"image": From("decode", "out"), "amount": Literal(1.0)})
    graph.outputs["dark"] = From("invert", "out")
    report = session.run(graph, {"steps": 3})
    assert np.array_equal(output(report, "dark").pixels, 255 - output(report).pixels)


def test_the_readme_s_graph_is_written_canonically_and_runs(
    home: Path, open_session: Callable[[], Session]
) -> None:
    text = README.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (document,) = (block for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL) if "nodes" in block)
    (home / "nodes").mkdir(parents=True)
    (home / "nodes" / "invert.py").write_text(code, encoding="utf-8")
    graph = documents.parse(document)
    assert documents.dump(graph) == document
    star = GRAPHS / "pictures" / "green-star.png"
    dark = output(open_session().run(graph, {"image": str(star)})).pixels[0].astype(int)
    with pillow.open(star) as picture:
        light = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(dark - (light + (255 - 2 * light) * 0.8)).max() <= 0.5


def commands() -> list[list[str]]:
    """What the README says to type after `safelight`, but for pictures, which are not there yet."""
    written = re.findall(r"^\$ safelight (.+)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    words = (shlex.split(line, comments=True) for line in written)
    return [line for line in words if not any(word.startswith("outputs/") for word in line)]


@pytest.mark.parametrize("line", commands(), ids=" ".join)
def test_the_readme_s_commands_are_good_use(
    line: list[str], home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(GRAPHS.parent)
    monkeypatch.setenv("SAFELIGHT_HOME", str(home))
    if line[0] == "run":  # planned only: what they draw, other tests look at
        line = ["plan", *line[1:]]
        for option in {"--trace", "--events"} & {*line}:
            at = line.index(option)
            del line[at : at + 2]
    fine = 1 if line[0] == "diff" else 0  # what differs is no failure
    assert main(line) == fine, capsys.readouterr().err
