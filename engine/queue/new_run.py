"""Prepares a request for the queue's database, with the texts for the search."""

from __future__ import annotations

import json
import secrets
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.document.graph import Graph, Literal
from engine.document.run_request import RunRequest
from engine.document.sweep import Sweep
from engine.values import canonical, sha256

_SEARCH_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be added to the queue, as the database stores it."""

    id: str
    key: str | None
    """The idempotency key of the client; None without one."""
    fingerprint: str
    """The digest of the submission; a second submission with the same key must have the same digest."""
    request: bytes
    """The request as compressed JSON."""
    title: str
    search: str
    """The texts that a search for outputs matches."""
    document: str | None
    priority: int
    retry_of: str | None = None
    notes: bytes | None = None
    """Notes as compressed JSON; see `RunQueue.notes`."""


def new_run(
    request: RunRequest,
    *,
    key: str | None,
    fingerprint: str | None,
    priority: int,
    document: str | None,
    notes: Mapping[str, Any] | None = None,
) -> NewRun:
    """Prepare a request for the queue; see `RunQueue.submit` for the arguments."""
    tree = request.to_json()
    digest = sha256(canonical(tree))  # for every request, because it also refuses what is not finite JSON
    title = request.title or request.graph.title
    return NewRun(
        new_id(),
        key,
        fingerprint or digest,
        pack(tree),  # in the author's order, which the graph in a picture keeps
        title,
        _searched(request),
        document,
        priority,
        notes=None if notes is None else pack(notes),
    )


def new_id() -> str:
    """Make an id for a run; ids sort by the time at which they were made."""
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(4)}"


def pack(tree: Mapping[str, Any]) -> bytes:
    """Convert a JSON object to compressed bytes."""
    return zlib.compress(json.dumps(tree, separators=(",", ":")).encode(), 1)


def unpack(data: bytes) -> dict[str, Any]:
    """Restore a JSON object from the bytes that `pack` returned."""
    tree: dict[str, Any] = json.loads(zlib.decompress(data))
    return tree


def _searched(request: RunRequest) -> str:
    """Collect the texts that a search matches: the title, and every text in the values and nodes."""
    texts = [request.title, request.graph.title]
    for value in request.values.values():
        listed = value.values if isinstance(value, Sweep) else (value,)
        texts += [item for item in listed if isinstance(item, str)]
    texts += _literals(request.graph)
    texts += [item.default for item in request.graph.inputs.values() if isinstance(item.default, str)]
    return "\n".join(dict.fromkeys(text for text in texts if text))[:_SEARCH_CHARS]


def _literals(graph: Graph) -> list[str]:
    bindings = [item for entry in graph.nodes.values() for item in entry.inputs.values()]
    return [item.value for item in bindings if isinstance(item, Literal) and isinstance(item.value, str)]
