"""The state of a node in the previous run of its graph, for comparison with the current run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.plan import keys
from engine.values import Json, canonical, sha256

if TYPE_CHECKING:
    from engine.node import NodeType
    from engine.plan.step import Source

Machine = tuple[str, Mapping[str, str]]
"""The compute settings (empty for a node that does not use the device) and the version of each library."""


Link = tuple[str, str, str]
"""The origin of a wired input: the step, the output, and the digest if it is an element of a list."""


@dataclass(frozen=True, slots=True)
class PastNode:
    """The state of one node in the previous run."""

    type: str
    version: int
    code: str
    machine: Machine | None
    """The part of its key that depends on the machine; None if there is none."""
    literals: Mapping[str, Json]
    long: Mapping[str, str]
    """The digests of literals that were too long to record."""
    links: Mapping[str, Link]
    """Its wired inputs."""
    reads: str | None
    """The digest of its fingerprint."""
    key: str | None
    """Its key; None if later runs cannot use the result."""
    state: str
    """Its state if it has no result, such as `failed`; else empty."""


def machine_of(node_type: NodeType, compute: str) -> Machine | None:
    """The part of a node type's keys that depends on the machine.

    Args:
        node_type: the type.
        compute: the compute settings of accelerator nodes, as text.
    """
    if not (node_type.accelerator or node_type.libraries):
        return None
    settings, releases = json.loads(keys.machine(node_type, compute))
    return settings, releases


def link(source: Source) -> Link:
    """The origin of a wired input in the form of a record."""
    output = source.output if not source.path else f"{source.output}[{']['.join(map(str, source.path))}]"
    return source.step.id, output, source.digest


def digest(value: Json) -> str:
    """A short digest of a value."""
    return sha256(canonical(value))[:32]


def place(node: str) -> str:
    """The node of the graph that contains a step: `denoise` for `denoise[2]` and for `denoise/decode`."""
    return node.partition("/")[0].partition("[")[0]
