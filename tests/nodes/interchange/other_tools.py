"""Files as other tools write them: pictures with texts, and a home to look names up in."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image as pillow
from PIL.PngImagePlugin import PngInfo

from engine.check.check import Checked, check
from engine.digests import FileDigests
from engine.document.graph import Graph, Literal, Param
from engine.document.reader import parse
from engine.document.writer import dump
from engine.files import Files
from engine.packs.registry import Registry
from engine.sources.foreign import Foreign, Imported
from nodes.interchange import import_graph

REGISTRY = Registry.find()
USER_COMMENT, EXIF_DIRECTORY = 0x9286, 0x8769


def png(texts: Mapping[str, str]) -> bytes:
    """A picture as Pillow's users write it: tEXt, and iTXt for what is not Latin-1."""
    info = PngInfo()
    for keyword, text in texts.items():
        try:
            text.encode("latin-1")
            info.add_text(keyword, text)
        except UnicodeEncodeError:
            info.add_itxt(keyword, text)
    file = io.BytesIO()
    pillow.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def with_comment(comment: bytes, format: str = "JPEG") -> bytes:
    """A picture with a user comment, as piexif's users write it."""
    exif = pillow.Exif()
    exif.get_ifd(EXIF_DIRECTORY)[USER_COMMENT] = comment
    file = io.BytesIO()
    pillow.new("RGB", (8, 8)).save(file, format, exif=exif)
    return file.getvalue()


def shelf(home: Path) -> Files:
    """The folders of a home."""
    return Files(lambda kind: (home / ("" if kind == "inputs" else "models") / kind,), FileDigests(), home)


def imported(text: str | Mapping[str, str] | Any, home: Path | None = None) -> Imported:
    """The graph of a text, of the texts of a picture, or of JSON; also held to the rules of a document."""
    files = shelf(home or Path("nowhere"))
    if isinstance(text, str):
        found = import_graph(Foreign("picture", text), files)
    elif all(isinstance(value, str) for value in text.values()):
        found = import_graph(Foreign("picture", None, text), files)
    else:
        found = import_graph(Foreign("picture", json.dumps(text)), files)
    assert found is not None
    assert parse(dump(found.graph)) == found.graph
    return found


def values(graph: Graph, node: str) -> dict[str, Any]:
    """What a node's inputs hold, with the graph's inputs by their defaults; wires as `node.output`."""
    found: dict[str, Any] = {}
    for name, binding in graph.nodes[node].inputs.items():
        if isinstance(binding, Literal):
            found[name] = binding.value
        elif isinstance(binding, Param):
            found[name] = graph.inputs[binding.name].default
        else:
            found[name] = str(binding)
    return found


def defaults(graph: Graph) -> dict[str, Any]:
    """What the graph's inputs hold."""
    return {name: item.default for name, item in graph.inputs.items()}


def checked(graph: Graph, **given: Any) -> Checked:
    """What is wrong with a graph."""
    return check(graph, REGISTRY, given)


def codes(found: Imported) -> list[str]:
    """The codes of what was noted."""
    return [problem.code for problem in found.problems]


def told(found: Imported) -> str:
    """All that was noted."""
    return "\n".join(map(str, found.problems))
