"""Files of other programs, and the interface of importers that convert them into graphs."""

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
    """A file without a Safelight graph."""

    name: str
    """Its name, without folder and suffix."""
    text: str | None = None
    """Its content, if it is text."""
    chunks: Mapping[str, str] = field(default_factory=dict)
    """The texts in a picture, by keyword; `exif.read_text` reads those of JPEG and WEBP."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A graph that was imported from another program's file."""

    graph: Graph
    origin: str
    """The source in words, such as `A1111's parameters`."""
    problems: tuple[Problem, ...] = ()
    """Problems such as parts that were left out, and missing files."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """The id in the file of each node of the graph that was made from one, if nodes have ids there."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """The id in the file of the node that became each output of the graph, likewise."""

    @property
    def summary(self) -> str:
        """One line with the size and the source of the graph."""
        count = len(self.problems)
        notes = f", with {count} note{'s' * (count != 1)}" if count else ""
        return f"a graph of {len(self.graph.nodes):,} nodes, read from {self.origin}{notes}"


ImportGraph = Callable[[Foreign, Files], Imported | None]
"""A pack's function `import_graph(foreign, files)`: the graph of a foreign file, or None if the pack does not
know the format. `files` are the user's files, to look up names. It raises `GraphError` if the file has its
format but cannot be read."""


def parse(text: str) -> Any:
    """Parse the JSON of another program, with limits on size and depth.

    Unlike a Safelight document, it may repeat keys, and may contain numbers that are not finite (these become
    None) and half surrogate pairs (these become `?`).

    Raises:
        GraphError: it is not JSON, too large or too deep.
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
    """The format of another program's file, such as `a ComfyUI workflow`; None if it is unknown."""
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
    """The program whose metadata a picture carries; None if it is unknown."""
    return next((program for chunk, program in CHUNKS.items() if chunk in texts), None)
