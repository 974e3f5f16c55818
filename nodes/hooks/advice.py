"""Warnings about a graph, found from its literal inputs before it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.errors import Problem
from engine.files import Files
from engine.packs.provenance import Provenance
from nodes.hooks.graph_models import GraphModels
from nodes.sd.families.known import family_named
from nodes.sd.models.canvas import far_larger
from nodes.sd.models.guidance import unsuited


def advise(steps: Mapping[str, Provenance], files: Files) -> Iterator[Problem]:
    """Warn about each Denoise whose guidance or canvas its model was not made for.

    Args:
        steps: the nodes of a graph by id.
        files: the folders of files.
    """
    graph = GraphModels(steps, files)
    for node, step in steps.items():
        if step.node_type != "Denoise" or (model := graph.checkpoint(step, "model")) is None:
            continue
        guidance = step.inputs.get("guidance")
        if isinstance(guidance, int | float):
            warning = unsuited(family_named(model.family).network, guidance)
            if warning is not None:
                yield Problem("unsuited_guidance", warning, node, "guidance", severity="warning")
        canvas = graph.canvas(step, "latent", model.vae_scale)
        if canvas is None:
            continue
        warning = far_larger((model.width, model.height), (canvas.width, canvas.height))
        if warning is not None:
            yield Problem("large_canvas", warning, node, "latent", severity="warning")
