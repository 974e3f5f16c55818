"""The steps behind an output, for packs that write text into pictures (`annotate`), warn of risks (`advise`)
estimate what steps need (`estimate`), or count the tokens of texts (`measure`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from engine.devices.compute import ComputeSettings
from engine.errors import Problem
from engine.files import Files
from engine.values import Json


@dataclass(frozen=True, slots=True)
class Provenance:
    """One step behind an output: its node type and its inputs."""

    node_type: str
    inputs: Mapping[str, Json]
    """The literal inputs, defaults included."""
    links: Mapping[str, str]
    """The wired inputs: for each, the id of the step that it comes from."""
    meta: Mapping[str, Json]
    """The JSON part of each known output."""


Annotate = Callable[[Mapping[str, Provenance], str, int], Mapping[str, str]]
"""A pack's function `annotate(steps, target, index)`: the text chunks for a written picture.

`steps` are the ancestors of the output by id, `target` is the id of the step that made it, and `index` is the
picture's place in its batch.
"""

Advise = Callable[[Mapping[str, Provenance], Files], Iterable[Problem]]
"""A pack's function `advise(steps, files)`: warnings about a graph, found out before anything runs.

`steps` are the nodes of the graph by id, without `meta`. A value that only the run knows is not among the
inputs of a node.
"""


@dataclass(frozen=True, slots=True)
class StepNeeds:
    """The memory and the work of one step, as far as they are known before it runs."""

    models: Mapping[str, int] = field(default_factory=dict)
    """The bytes on the device of each model that it uses, by a name that is equal for one loaded model."""
    memory: int | None = None
    """The bytes that it takes at once beside its models; None if unknown."""
    work: float | None = None
    """A number in proportion to its time, to compare runs of the same node with each other; None if
    unknown."""


Estimate = Callable[[Mapping[str, Provenance], ComputeSettings, Files], Iterable[tuple[str, StepNeeds]]]
"""A pack's function `estimate(steps, compute, files)`: the needs of steps that use models, before a run.

`steps` are the steps of a plan by id, or those of the graph's previous run, without `meta`.
"""


@dataclass(frozen=True, slots=True)
class TextLength:
    """The length of a text that a model reads as tokens, in chunks."""

    node: str
    """The id of the step."""
    input: str
    chunks: tuple[int, ...]
    """The number of tokens in each chunk; empty if the text cannot be read."""
    room: int
    """The number of tokens that a chunk has room for."""
    warnings: tuple[str, ...] = ()
    """The warnings that a run will give about the text, or the reason why it cannot be read."""


Measure = Callable[[Mapping[str, Provenance], Files], Iterable[TextLength]]
"""A pack's function `measure(steps, files)`: the lengths of texts, before a run; `steps` as for `advise`.

It is called after each change of a graph while a person types, so it must not load models.
"""
