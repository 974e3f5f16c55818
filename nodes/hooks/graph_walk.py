"""Follows the wires of a graph back from a step to the steps before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from engine.packs.provenance import Provenance

Steps = Mapping[str, Provenance]
"""Steps by id."""


def along(steps: Steps, step: Provenance, *inputs: str) -> Iterator[str]:
    """Yield the ids of the steps before a step, nearest first, along one input of each.

    From each step, it follows the first of the given inputs that is wired. With the input `model`, it yields
    the nodes that change a model and pass it on, and then the node that loads it.
    """
    seen: set[str] = set()
    while (id := next((step.links[name] for name in inputs if name in step.links), None)) is not None:
        if id in seen or id not in steps:
            return
        seen.add(id)
        yield id
        step = steps[id]


def upstream(steps: Steps, start: str) -> Iterator[Provenance]:
    """Yield a step and all steps before it, along all inputs, nearest first."""
    seen = {start}
    queue = deque([start])
    while queue:
        step = steps.get(queue.popleft())
        if step is None:
            continue
        yield step
        for source in step.links.values():
            if source not in seen:
                seen.add(source)
                queue.append(source)


def nearest(steps: Steps, step: Provenance, input: str, node_type: str) -> Provenance | None:
    """Find the nearest step of a node type upstream of an input of a step; None if there is none."""
    if input not in step.links:
        return None
    return next((one for one in upstream(steps, step.links[input]) if one.node_type == node_type), None)
