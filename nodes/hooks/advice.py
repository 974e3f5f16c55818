"""Warnings about a graph that its literal inputs tell before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.errors import NodeError, Problem
from engine.files import Files
from engine.packs.provenance import Provenance
from nodes.files.checkpoints import Checkpoint, checkpoint
from nodes.sd.models.canvas import far_larger


def advise(steps: Mapping[str, Provenance], files: Files) -> Iterator[Problem]:
    """Warn about each Denoise whose canvas is far larger than its model was trained for.

    Args:
        steps: the nodes of a graph by id.
        files: the folders of files.
    """
    for node, step in steps.items():
        if step.node_type != "Denoise":
            continue
        canvas, loader = _origin(steps, step, "latent"), _origin(steps, step, "model")
        if canvas is None or canvas.node_type != "EmptyLatent" or loader is None:
            continue
        width, height = canvas.inputs.get("width"), canvas.inputs.get("height")
        model = _checkpoint(loader, files)
        if isinstance(width, int) and isinstance(height, int) and model is not None:
            warning = far_larger((model.width, model.height), (width, height))
            if warning is not None:
                yield Problem("large_canvas", warning, node, "latent", severity="warning")


def _origin(steps: Mapping[str, Provenance], step: Provenance, input: str) -> Provenance | None:
    """The first node before an input, past nodes that change a model and pass it on."""
    seen: set[str] = set()
    while (node := step.links.get(input)) is not None and node in steps and node not in seen:
        seen.add(node)
        step = steps[node]
        if input not in step.links:
            return step
    return None


def _checkpoint(loader: Provenance, files: Files) -> Checkpoint | None:
    name = loader.inputs.get("model")
    if loader.node_type != "LoadModel" or not isinstance(name, str):
        return None
    try:
        return checkpoint(files, name)
    except NodeError:  # the check reports it
        return None
