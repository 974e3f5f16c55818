"""A run as a client asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.values import canonical, sha256


@dataclass(frozen=True, slots=True)
class Submission:
    """A run as a client asks for it."""

    graph: Mapping[str, Any] | None = None
    graph_id: str | None = None
    """The id of a saved graph; instead of `graph`."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    sweep: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    priority: int = 0
    document: str | None = None
    front: bool = False
    key: str | None = None
    """The idempotency key."""
    notes: Mapping[str, Any] | None = None
    """JSON to keep with the run; see `RunQueue.notes`."""

    @property
    def fingerprint(self) -> str:
        """A digest of what the client sent, so that a key is not used for two different runs."""
        parts = [
            dict(self.graph) if self.graph is not None else self.graph_id,
            dict(self.inputs),
            {name: list(values) for name, values in self.sweep.items()},
            list(self.targets),
            self.priority,
        ]
        return sha256(canonical(parts))

    def as_json(self) -> dict[str, Any]:
        """The submission as JSON, without its key."""
        return {
            "graph": None if self.graph is None else dict(self.graph),
            "graph_id": self.graph_id,
            "inputs": dict(self.inputs),
            "sweep": {name: list(values) for name, values in self.sweep.items()},
            "targets": list(self.targets),
            "priority": self.priority,
            "document": self.document,
            "front": self.front,
            "notes": None if self.notes is None else dict(self.notes),
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Submission:
        """The submission in the JSON of `as_json`."""
        return cls(**{**tree, "targets": tuple(tree["targets"])})
