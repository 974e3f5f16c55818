"""The content key of a step: equal keys mean equal results, within a run, across runs and across machines.

A key is a hash of the step's own signature (type, version, literals), of what it reads from the world, and of
its parents' *keys*. Ancestors are never walked again, so keys of a whole graph cost one hash a node.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from engine.node import NodeType
from engine.values import Json, canonical


def step_key(signature: bytes, node_type: NodeType, wires: str, fingerprint: Json, device: str) -> str:
    """The key of one step, as 64 hex digits.

    Args:
        signature: what its type and its literals add.
        node_type: its type.
        wires: for each input that a wire brings a line, `\\nNAME=` and what decides it.
        fingerprint: what the step reads from the world, and whatever else decides its result.
        device: the kind of device that accelerator nodes compute on; its arithmetic decides the last bits.
    """
    world = signature
    if fingerprint is not None:
        world += canonical(fingerprint)
    if node_type.accelerator or node_type.libraries:
        world += environment(node_type.libraries, device if node_type.accelerator else "")
    return hashlib.sha256(world + wires.encode()).hexdigest()


@cache
def environment(libraries: tuple[str, ...], device: str) -> bytes:
    """What a key says of the machine: the kind of device, and the release of each library, as JSON."""
    return canonical([device, {library: _version(library) for library in libraries}])


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"
