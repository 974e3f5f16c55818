"""The files of other programs, and the interface of importers that convert them into graphs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.document.graph import Graph
from engine.errors import GraphError, Problem
from engine.files import Files
from engine.strict_json import MAX_BYTES, MAX_DEPTH, MAX_ITEMS

HINT = "convert it with safelight import"


@dataclass(frozen=True, slots=True)
class Foreign:
    """The content of a file of another program, for importers."""

    name: str
    """The name of the file, without folder and suffix."""
    text: str | None = None
    """The content of a text file; None for a picture."""
    chunks: Mapping[str, str] = field(default_factory=dict)
    """The text metadata of a picture, by keyword, as `picture_text.read_text` returns it."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A graph that was imported from another program's file."""

    graph: Graph
    origin: str
    """What the graph was made from, in words, such as `A1111's parameters`."""
    problems: tuple[Problem, ...] = ()
    """Problems such as missing files and parts of the workflow that could not be converted."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """By id of a node of the graph: the id of the node in the file that it was made from. Empty if nodes have
    no ids in the file."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """By name of an output of the graph: the id of the node in the file that it was made from."""

    @property
    def summary(self) -> str:
        """One line with the number of nodes, the origin of the graph, and the number of problems."""
        count = len(self.problems)
        notes = f", with {count} note{'s' * (count != 1)}" if count else ""
        return f"a graph of {len(self.graph.nodes):,} nodes, read from {self.origin}{notes}"


ImportGraph = Callable[[Foreign, Files], Imported | None]
"""A pack's function `import_graph(foreign, files)`: the graph that it makes of another program's file; None
if it does not know the file's format. `files` are the user's files, to look up names. It raises `GraphError`
if it knows the format but cannot read the file."""


def parse(text: str) -> Any:
    """Parse JSON that another program wrote, with limits on size and depth.

    Unlike a Safelight document, it may repeat keys, and may contain numbers that are not finite (they become
    None) and invalid Unicode (an unpaired surrogate becomes `?`).

    Raises:
        GraphError: the text is not JSON, too large, or nested too deep.
    """
    if len(text) > MAX_BYTES or text.count(",") + text.count("[") + text.count("{") > MAX_ITEMS:
        raise _refused("too_large", f"its JSON is too large: at most {MAX_ITEMS:,} values are read")
    try:
        tree = json.loads(text, parse_constant=lambda name: None)
    except RecursionError:
        raise _refused("too_deep", f"its JSON is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError:
        raise _refused("bad_json", "its JSON is damaged") from None
    return _plain(tree, 1)


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16-le", "replace").decode("utf-16-le")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, dict | list):
        return value
    if depth > MAX_DEPTH:
        raise _refused("too_deep", f"its JSON is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    return {_plain(key, depth): _plain(item, depth + 1) for key, item in value.items()}


def _refused(code: str, message: str) -> GraphError:
    return GraphError([Problem(code, message)])


_A1111 = re.compile(r"^Steps: \d+, .*\b(Sampler|Seed|CFG scale): ", re.MULTILINE)

CHUNKS = {
    "workflow": "ComfyUI",
    "prompt": "ComfyUI",
    "invokeai_workflow": "InvokeAI",
    "invokeai_graph": "InvokeAI",
    "invokeai_metadata": "InvokeAI",
    "sd-metadata": "InvokeAI",
    "parameters": "A1111",
}
"""The keywords under which other programs save their metadata in a picture; most detailed first."""


def recognised(data: bytes | str) -> str | None:
    """Recognise the format of another program's file, such as `a ComfyUI workflow`; None if it is unknown."""
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    text = text.lstrip("\ufeff \t\r\n")
    if not text.startswith("{"):
        return "the generation parameters of A1111" if _A1111.search(text) else None
    try:
        return _workflow(json.loads(text))  # not strict, since other programs also write NaN
    except (ValueError, RecursionError):
        return None


def _workflow(tree: Any) -> str | None:
    if not isinstance(tree, dict) or "safelight" in tree:
        return None
    nodes = tree.get("nodes")
    if isinstance(nodes, list) and isinstance(tree.get("links"), list):
        return "a ComfyUI workflow"
    if isinstance(nodes, list | dict) and isinstance(tree.get("edges"), list):
        return "an InvokeAI workflow"
    for api in (tree, tree.get("prompt")):
        if isinstance(api, dict) and any(map(_is_api_node, api.values())):
            return "a ComfyUI workflow in the API format"
    return None


def _is_api_node(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("class_type"), str)


def carried(texts: Mapping[str, str]) -> str | None:
    """Return the name of the program that wrote the text metadata of a picture; None if it is unknown."""
    return next((program for chunk, program in CHUNKS.items() if chunk in texts), None)
