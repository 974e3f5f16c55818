"""A run as a client submits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.values import canonical, sha256


@dataclass(frozen=True, slots=True)
class Submission:
    """A run as a client submits it, before the graph is checked."""

    graph: Mapping[str, Any] | None = None
    graph_id: str | None = None
    """The id of a saved graph, to run instead of `graph`."""
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
        """A digest of the graph, inputs, sweep, targets and priority.

        The queue compares it when an idempotency key is used again: a key must not name two different runs.
        """
        parts = [
            dict(self.graph) if self.graph is not None else self.graph_id,
            dict(self.inputs),
            {name: list(values) for name, values in self.sweep.items()},
            list(self.targets),
            self.priority,
        ]
        return sha256(canonical(parts))

    def as_json(self) -> dict[str, Any]:
        """Return the submission as JSON, without its idempotency key."""
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
        """Restore a submission from the JSON that `as_json` returned."""
        return cls(**{**tree, "targets": tuple(tree["targets"])})
