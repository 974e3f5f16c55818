"""`safelight nodes new`: creates a node and its test, as files in the home or as a package to publish."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from engine import whole_file
from engine.cli import request, say
from engine.cli.request import AsJson, Home
from engine.errors import GraphError, Problem, SafelightError

NODE = '''"""{title}: describe the purpose of this pack here."""

from typing import Annotated

from engine.context import Context
from engine.node import Node
from engine.widgets import Range


class {name}(Node, category="my nodes"):
    """Describe the node in one line; the line is its tooltip."""

    # Fields are the inputs. The type picks the control: a number field, a text field, a socket.
    text: str = "light"
    """The word to repeat. The text under a field is its help."""
    times: Annotated[int, Range(1, 100)] = 3
    """How often to repeat it; more takes longer."""

    # The return annotation is the output. Results are cached: equal inputs are computed once.
    def run(self, ctx: Context) -> str:
        words = []
        for _ in ctx.track(self.times):  # shows progress and allows cancelling
            words.append(self.text)
        return " ".join(words)
'''

TEST = '''"""Tests of {name}; run them with pytest."""

from pathlib import Path

from engine.testing import assert_cached, {kit}output, run_graph, run_node
{imports}
GRAPH = {{
    "safelight": 1,
    "outputs": {{"out": {{"from": "it.out"}}}},
    "nodes": {{"it": {{"type": "{name}", "inputs": {{"text": "hey", "times": 2}}}}}},
}}


def test_one_node() -> None:
    assert run_node({where}{name}(text="ho", times=3)) == {{"out": "ho ho ho"}}


def test_in_a_graph_and_kept(tmp_path: Path) -> None:
    assert output(run_graph(GRAPH, home=tmp_path, {given})) == "hey hey"
    assert_cached(run_graph(GRAPH, home=tmp_path, {given}))
'''

IN_HOME = """
NODES = Path(__file__).parents[1]
{module} = load_pack(NODES / "{module}.py")
"""

IN_PACKAGE = """
from {module} import {name}
"""

PROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{project}"
version = "0.1.0"
description = "Nodes for Safelight."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["safelight"]

[project.entry-points."safelight.nodes"]
{module} = "{module}"

[tool.setuptools]
packages = ["{module}"]
"""

INIT = '''"""{title}: nodes for Safelight."""

from {module}.{module} import {name}

__all__ = ["{name}"]
'''

README = """# {title}

Nodes for Safelight.

```console
$ pip install -e .          # while you work on it; `pip install {project}` once it is published
$ safelight nodes {name}
$ pytest
```

Raise a node's `version` when equal inputs give another result: cached results are then computed again.
"""


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the node, such as SharpenEdges.")],
    home: Home = None,
    pack: Annotated[
        bool,
        typer.Option("--pack", metavar="", help="Create a package to publish in the current folder instead."),
    ] = False,
    json: AsJson = False,
) -> int:
    """Create a node of your own, and a test for it."""
    words = _words(name)
    with request.session(home) as session:
        node = _free("".join(f"{word[0].upper()}{word[1:]}" for word in words), session.registry.types)
        nodes = session.settings.home / "nodes"
    module = "_".join(words).lower()
    project = module.replace("_", "-")
    filled = {"name": node, "module": module, "project": project, "title": " ".join(words).capitalize()}
    files = _package(Path(project), filled) if pack else _file(nodes, filled)
    if taken := [path for path in files if path.exists()]:
        hint = "choose another name, or move the file"
        raise GraphError([Problem("exists", f"{say.path(path)} exists already", hint=hint) for path in taken])
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            whole_file.put(text.encode(), [path])
    except OSError as error:
        raise SafelightError(f"{error.filename or path} cannot be written: {error.strerror}") from None
    if json:
        say.as_json({"node": node, "files": [str(path.absolute()) for path in files]})
        return 0
    for path in files:
        say.out(say.path(path))
    if pack:
        say.err(f"install the package: pip install -e {project}")
    say.err(f"show the node: safelight nodes {node}{f' --home {home}' if home else ''}")
    return 0


def _file(nodes: Path, filled: Mapping[str, str]) -> dict[Path, str]:
    module = filled["module"]
    test = TEST.format(
        **filled,
        kit="load_pack, ",
        imports=IN_HOME.format(**filled),
        where=f"{module}.",
        given="nodes=NODES",
    )
    return {nodes / f"{module}.py": NODE.format(**filled), nodes / "tests" / f"test_{module}.py": test}


def _package(folder: Path, filled: Mapping[str, str]) -> dict[Path, str]:
    module, name = filled["module"], filled["name"]
    test = TEST.format(
        **filled, kit="", imports=IN_PACKAGE.format(**filled), where="", given=f"types=[{name}]"
    )
    return {
        folder / "pyproject.toml": PROJECT.format(**filled),
        folder / "README.md": README.format(**filled),
        folder / module / "__init__.py": INIT.format(**filled),
        folder / module / f"{module}.py": NODE.format(**filled),
        folder / "tests" / f"test_{module}.py": test,
    }


def _words(name: str) -> list[str]:
    """Split a name into words, whatever its style: SharpenEdges, sharpen_edges or sharpen-edges."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[A-Z]", name)
    fits = re.fullmatch(r"[A-Za-z][A-Za-z0-9_ -]{0,59}", name)
    if not fits or not words or keyword.iskeyword("_".join(words).lower()):
        message = f"{name!r} cannot be the name of a node"
        hint = "use letters from a to z and digits, such as SharpenEdges"
        raise GraphError([Problem("bad_name", message, hint=hint)])
    return words


def _free(node: str, types: Mapping[str, object]) -> str:
    if node in types:
        raise GraphError(
            [Problem("name_taken", f"a node type {node} exists already", hint="choose another name")]
        )
    return node
