"""Imports ComfyUI's workflows: JSON files in both formats, and the texts of its pictures."""

from __future__ import annotations

from typing import Any

from engine.errors import GraphError
from engine.files import Files
from engine.sources import foreign as foreigners
from engine.sources.foreign import Foreign, Imported
from nodes.interchange.comfyui.api_format import is_api, read_api, take_values
from nodes.interchange.comfyui.build_graph import build_graph
from nodes.interchange.comfyui.graph_data import ComfyGraph
from nodes.interchange.comfyui.workflow_format import is_workflow, read_workflow
from nodes.interchange.import_problems import ImportProblems, one_line
from nodes.interchange.local_files import LocalFiles

CHUNKS = ("workflow", "prompt")


def import_comfyui(foreign: Foreign, tree: Any, files: Files) -> Imported | None:
    """Convert a workflow to a graph; None if the file has no workflow.

    Args:
        foreign: the file.
        tree: the file's JSON, if it is JSON.
        files: the user's files.

    Raises:
        GraphError: the workflow is damaged or too large.
    """
    found = _from_json(tree) or _from_picture(foreign)
    if found is None:
        return None
    source, origin = found
    problems = ImportProblems()
    made = build_graph(source, LocalFiles(files, problems), problems)
    made.graph.title = one_line(foreign.name)
    nodes = {ours: theirs for theirs, ours in made.ids.items()}
    return Imported(made.graph, origin, tuple(problems.problems), nodes, made.savers)


def _from_json(tree: Any) -> tuple[ComfyGraph, str] | None:
    if is_workflow(tree):
        return read_workflow(tree), "ComfyUI's workflow"
    for api in (tree, tree.get("prompt") if isinstance(tree, dict) else None):
        if is_api(api):
            return read_api(api), "ComfyUI's workflow in the API format"
    return None


def _from_picture(foreign: Foreign) -> tuple[ComfyGraph, str] | None:
    """Read the graph from the texts of a picture, and where it comes from; None if there is none.

    The layout is in the text `workflow`, the named values are in `prompt`.
    """
    trees: dict[str, Any] = {}
    damage: GraphError | None = None
    for chunk in CHUNKS:
        if foreign.chunks.get(chunk, "").lstrip()[:1] == "{":
            try:
                trees[chunk] = foreigners.parse(foreign.chunks[chunk])
            except GraphError as error:
                damage = error
    workflow, api = trees.get("workflow"), trees.get("prompt")
    if is_workflow(workflow):
        graph = read_workflow(workflow)
        if is_api(api):
            take_values(graph, read_api(api))
        return graph, "the workflow that ComfyUI wrote"
    if is_api(api):
        return read_api(api), "the prompt that ComfyUI wrote"
    if damage is not None:
        raise damage
    return None
