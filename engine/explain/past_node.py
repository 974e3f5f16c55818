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
"""The compute settings (empty for nodes that do not use the device), and the version of each library."""


Link = tuple[str, str, str]
"""The origin of a wired input: the step, its output, and the value's digest if it is a list element."""


@dataclass(frozen=True, slots=True)
class PastNode:
    """The state of one node in the previous run."""

    type: str
    version: int
    code: str
    machine: Machine | None
    """The part of the cache key that depends on the machine; None if no part does."""
    literals: Mapping[str, Json]
    long: Mapping[str, str]
    """The digests of literals that were too long to record."""
    links: Mapping[str, Link]
    """The origins of the wired inputs, keyed by input."""
    reads: str | None
    """The digest of what `Node.fingerprint` returned; None without a fingerprint."""
    key: str | None
    """The cache key; None if later runs cannot use the result."""
    state: str
    """The state of a node without a result, such as `failed`; empty if it has a result."""


def machine_of(node_type: NodeType, compute: str) -> Machine | None:
    """Return the part of a node type's cache keys that depends on the machine; None if no part does.

    Args:
        node_type: the type.
        compute: the compute settings of accelerator nodes, as text.
    """
    if not (node_type.accelerator or node_type.libraries):
        return None
    settings, releases = json.loads(keys.machine(node_type, compute))
    return settings, releases


def link(source: Source) -> Link:
    """Convert the source of a wired input to the form in which records have it."""
    output = source.output if not source.path else f"{source.output}[{']['.join(map(str, source.path))}]"
    return source.step.id, output, source.digest


def digest(value: Json) -> str:
    """Return the first 32 hex digits of the SHA-256 of a JSON value."""
    return sha256(canonical(value))[:32]


def place(node: str) -> str:
    """Return the graph's node to which a step belongs: `denoise` for `denoise[2]` and `denoise/decode`."""
    return node.partition("/")[0].partition("[")[0]
