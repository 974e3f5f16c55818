"""How one node was when its graph last ran: all that a reason may compare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine import keys
from engine.values import Json, canonical, sha256

if TYPE_CHECKING:
    from engine.node import NodeType
    from engine.step import Source

Environment = tuple[str, Mapping[str, str]]
"""A kind of device, or nothing, and the release of each library."""


Link = tuple[str, str, str]
"""Where a wired input came from: the step, the output, and of an element of a list its digest."""


@dataclass(frozen=True, slots=True)
class Was:
    """How one node was."""

    type: str
    version: int
    code: str
    environment: Environment | None
    """What its key knows of the machine; None if nothing."""
    literals: Mapping[str, Json]
    long: Mapping[str, str]
    """Digests of the literals that were too long to be kept."""
    links: Mapping[str, Link]
    """Its wired inputs."""
    reads: str | None
    """Digest of what it read from the world."""
    key: str | None
    """Its key; None if that meant nothing to a later run."""
    state: str
    """How it ended, such as `failed`; empty if it has a result."""


def environment(node_type: NodeType, device: str) -> Environment | None:
    """What the keys of a node type know of the machine."""
    if not (node_type.accelerator or node_type.libraries):
        return None
    kind, releases = json.loads(
        keys.environment(node_type.libraries, device if node_type.accelerator else "")
    )
    return kind, releases


def link(source: Source) -> Link:
    """Where an input of a step comes from."""
    output = source.output + "".join([f"[{n}]" for n in source.path]) if source.path else source.output
    return source.step.id, output, source.digest


def digest(value: Json) -> str:
    """A short digest of a value."""
    return sha256(canonical(value))[:32]


def place(node: str) -> str:
    """The node of the document that a step belongs to: `denoise[2]` and `denoise/decode` to `denoise`."""
    return node.partition("/")[0].partition("[")[0]
