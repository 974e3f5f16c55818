"""Reads and writes the picture metadata and workflows of other tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import GraphError, Problem
from engine.files import Files
from engine.sources import foreign as foreigners
from engine.sources.foreign import Foreign, Imported
from nodes.interchange.a1111.describe import a1111_lists
from nodes.interchange.a1111.import_parameters import import_parameters
from nodes.interchange.a1111.import_request import import_request
from nodes.interchange.comfyui.import_workflow import import_comfyui
from nodes.interchange.comfyui.object_info import comfyui_lists
from nodes.interchange.invokeai.import_metadata import import_invokeai
from nodes.interchange.novelai import import_novelai

__all__ = ["describe_for", "import_graph"]

IMPORTERS: tuple[Callable[[Foreign, Any, Files], Imported | None], ...] = (
    import_comfyui,
    import_invokeai,
    import_novelai,
    import_request,
    import_parameters,
)
"""The importers in order of preference: the tool that records the most details comes first."""


def import_graph(foreign: Foreign, files: Files) -> Imported | None:
    """Convert another tool's picture, text or workflow to a graph; None if the format is unknown.

    If a picture has texts of several tools and one of them cannot be used, another is used with a warning.

    Raises:
        GraphError: the file is in a known format, but damaged or too large.
    """
    tree = _json_of(foreign.text)
    refused: GraphError | None = None
    unusable: Imported | None = None
    for importer in IMPORTERS:
        try:
            result = importer(foreign, tree, files)
        except GraphError as error:
            refused = refused or error
            continue
        if result is None:
            continue
        if _runs(result):
            return _instead_of(result, refused, unusable)
        unusable = unusable or result
    if unusable is not None:
        return unusable
    if refused is not None:
        raise refused
    return None


def describe_for(program: str, files: Files) -> Mapping[str, Any] | None:
    """Return the lists that the API of ComfyUI or A1111 offers, such as samplers; None for other programs.

    Args:
        program: `comfyui` or `a1111`.
        files: the user's files.
    """
    lists = {"comfyui": comfyui_lists, "a1111": a1111_lists}.get(program)
    return None if lists is None else lists(files)


def _runs(result: Imported) -> bool:
    """Return whether a graph can run: it has an output and no placeholder."""
    return not any(problem.code in ("unknown_node", "no_output") for problem in result.problems)


def _instead_of(result: Imported, refused: GraphError | None, unusable: Imported | None) -> Imported:
    """Return `result` with a warning if the text of another tool in the picture could not be used."""
    if refused is not None:
        message = f"another text of this picture cannot be used: {refused.problems[0].message}"
    elif unusable is not None:
        count = sum(problem.code == "unknown_node" for problem in unusable.problems)
        reason = f"Safelight does not support {count} of its nodes" if count else "it saves no picture"
        message = f"{unusable.origin} in this picture cannot be run: {reason}; {result.origin} is used"
    else:
        return result
    warning = Problem("other_text", message, severity="warning")
    return Imported(result.graph, result.origin, (warning, *result.problems))


def _json_of(text: str | None) -> Any:
    """Parse a text file as JSON; None if it is not valid JSON, which the document reader reports."""
    if text is None or text.lstrip()[:1] != "{":
        return None
    try:
        return foreigners.parse(text)
    except GraphError:
        return None
