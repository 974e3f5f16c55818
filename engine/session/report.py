"""The report of a run in a session: states, values, files, warnings and problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import Problem
from engine.events import State
from engine.near_names import listed, near
from engine.observe.step_memory import StepMemory
from engine.outputs.written_outputs import Written
from engine.packing import unpack
from engine.run.report import Report
from engine.values import Json

_ENDED: Mapping[State, str] = {"failed": "failed", "cancelled": "was cancelled"}


@dataclass(slots=True)
class SessionReport(Report):
    """The result of `Session.run`; `report["image"]` is the value of the declared output `image`."""

    values: Mapping[str, Json] = field(default_factory=dict)
    """The value of each input of the graph, including defaults and random seeds; a list for a swept input."""
    written: Mapping[str, Written] = field(default_factory=dict)
    """The declared outputs with their files, digests and elements."""
    warnings: Mapping[str, list[str]] = field(default_factory=dict)
    """The warnings of each node, including those kept with a reused result."""
    problems: list[Problem] = field(default_factory=list)
    """The problems that prevented nodes from running or outputs from being written."""
    remarks: list[Problem] = field(default_factory=list)
    """The other problems: packs that could not be loaded, and warnings from checking the graph."""
    unsaved: Sequence[str] = ()
    """If the run was not completed: the finished nodes whose results are not on disk, for example because it
    is full, so that later runs cannot reuse them."""
    memory: Mapping[str, StepMemory] = field(default_factory=dict)
    """The peak memory of each node, if it was measured."""
    made_with: Mapping[str, str] = field(default_factory=dict)
    """The versions of Safelight and of the libraries of the nodes."""

    @property
    def files(self) -> dict[str, tuple[Path, ...]]:
        """The paths of the written files, by declared output."""
        return {name: item.files for name, item in self.written.items()}

    def __getitem__(self, output: str) -> object:
        """Return the value of a declared output: JSON, a `Value` such as an `Image`, or a list of these.

        Raises:
            KeyError: the graph has no such output, or the run did not produce it; the message says why.
        """
        packed = self.outputs.get(output)
        if packed is None:
            raise KeyError(self._why_missing(output))
        return unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts})

    def _why_missing(self, output: str) -> str:
        """The reason why the report has no value of an output."""
        if self.state == "done":
            hint = near(output, self.outputs) or listed("it has", self.outputs)
            return f"the graph has no output {output!r}; {hint}"
        problem = f": {self.problems[0]}" if self.problems else ""
        return f"the run has no output {output!r}, because it {_ENDED.get(self.state, self.state)}{problem}"

    def as_json(self) -> dict[str, Any]:
        """Return this report as the JSON object that `safelight run --json` prints."""
        tree: dict[str, Any] = {
            "state": self.state,
            "seconds": round(self.seconds, 6),
            "values": dict(self.values),
            "outputs": {name: item.as_json() for name, item in self.written.items()},
            "nodes": {node: self._node(node) for node in self.nodes},
            "made_with": dict(self.made_with),
        }
        if self.remarks:
            tree["warnings"] = [problem.as_json() for problem in self.remarks]
        if self.problems:
            tree["problems"] = [problem.as_json() for problem in self.problems]
        return tree

    def _node(self, node: str) -> dict[str, object]:
        item = self.nodes[node]
        tree: dict[str, object] = {
            "state": item.state,
            "cache": item.cache,
            "seconds": round(item.seconds, 6),
            "reason": item.reason,
        }
        if node in self.warnings:
            tree["warnings"] = self.warnings[node]
        if files := self.published.get(node):
            tree["published"] = [
                {"name": file.name, "path": str(file.path), "size": file.size} for file in files
            ]
        if node in self.memory:
            tree["memory"] = self.memory[node].as_json()
        return tree
