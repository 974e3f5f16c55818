"""The content key of a step: equal keys mean equal results, within a run, across runs and across machines.

A key is a hash of the step's own signature (type, version, literals), of what it reads from the world, and of
its parents' *keys*. Ancestors are never walked again, so keys of a whole graph cost one hash a node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from engine.check import Bound
from engine.values import Json, canonical


def step_key(bound: Bound, parents: Mapping[str, str], fingerprint: Json, device: str) -> str:
    """The key of one step, as 64 hex digits.

    Args:
        bound: the step.
        parents: the key of each parent, by node id.
        fingerprint: what the step reads from the world.
        device: the kind of device that accelerator nodes compute on; its arithmetic decides the last bits.
    """
    world = bound.signature
    if fingerprint is not None:
        world += canonical(fingerprint)
    node_type = bound.type
    if node_type.accelerator or node_type.libraries:
        world += _environment(node_type.libraries, device if node_type.accelerator else "")
    wires = ""
    for name, link in bound.links.items():
        wires += f"\n{name}={parents[link.node]}.{link.output}"
    return hashlib.sha256(world + wires.encode()).hexdigest()


@cache
def _environment(libraries: tuple[str, ...], device: str) -> bytes:
    return canonical([device, {library: _version(library) for library in libraries}])


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"
