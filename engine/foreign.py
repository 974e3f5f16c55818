"""What other programs leave in files of how a picture was made, and what a pack may make a graph of."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import GraphError, Problem
from engine.files import Files
from engine.graph import Graph
from engine.strict_json import MAX_BYTES, MAX_DEPTH, MAX_ITEMS

HINT = "safelight import turns it into a graph"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file that holds no Safelight graph."""

    name: str
    """Its name, without folder and suffix."""
    text: str | None = None
    """All of it, if it is text."""
    chunks: Mapping[str, str] = field(default_factory=dict)
    """The texts that a picture carries, by keyword; see `exif.read_text` for those of JPEG and WEBP."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A graph made of a foreign file."""

    graph: Graph
    origin: str
    """What it was read from, such as `A1111's parameters`."""
    problems: tuple[Problem, ...] = ()
    """What was left out, or is needed to run it."""

    @property
    def summary(self) -> str:
        """One line on where the graph comes from."""
        count = len(self.problems)
        told = f"; {count} thing{'s' * (count != 1)} to know" if count else ""
        return f"a graph of {len(self.graph.nodes):,} nodes, read from {self.origin}{told}"


ImportGraph = Callable[[Foreign, Files], Imported | None]
"""What a pack may offer as `import_graph(foreign, files)`: a graph of a foreign file, or None if it is not of
a kind that the pack knows. The files are the user's own, for names to be looked up in. It raises `GraphError`
for what is of its kind and cannot be read."""


def parse(text: str) -> Any:
    """Read the JSON of another program, of bounded size and depth.

    Unlike our own documents it may repeat keys, and hold numbers that are not finite (they become None) and
    halves of surrogate pairs (they become `?`).

    Raises:
        GraphError: it is no JSON, too large or too deep.
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
"""The texts of a picture in which other programs keep how it was made; the more telling come first."""


def recognised(data: bytes | str) -> str | None:
    """What a file of another program is, such as `a ComfyUI workflow`; None if it is not known."""
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    text = text.lstrip("\ufeff \t\r\n")
    if not text.startswith("{"):
        return "the generation parameters of A1111" if _A1111.search(text) else None
    try:
        return _workflow(json.loads(text))  # leniently: others write NaN, too
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
    """Whose way of saying how it was made a picture carries; None if nobody's that is known."""
    return next((program for chunk, program in CHUNKS.items() if chunk in texts), None)
