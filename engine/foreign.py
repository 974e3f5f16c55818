"""Recognises the workflows of other programs, so that a refusal says what a file is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

HINT = "safelight import turns it into a graph"

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
"""The texts of a PNG file in which other programs keep how it was made; the more telling come first."""


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
