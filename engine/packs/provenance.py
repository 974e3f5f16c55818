"""The hooks of packs that inspect the steps of a graph, and the data that they get and return.

They write text into pictures (`annotate`), warn of risks (`advise`), estimate the memory and work of steps
(`estimate`), and count the tokens of texts (`measure`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from engine.devices.compute import ComputeSettings
from engine.errors import Problem
from engine.files import Files
from engine.values import Json


@dataclass(frozen=True, slots=True)
class Provenance:
    """One step of a graph as the hooks see it: its node type and its inputs."""

    node_type: str
    inputs: Mapping[str, Json]
    """The values of inputs that are not wired, including defaults."""
    links: Mapping[str, str]
    """The wired inputs: the id of the step at the other end, by input."""
    meta: Mapping[str, Json]
    """The JSON metadata of each known output, by output."""


Annotate = Callable[[Mapping[str, Provenance], str, int], Mapping[str, str]]
"""A pack's function `annotate(steps, target, index)`: the texts to write into a picture file, by name.

`target` is the id of the step that made the picture, `steps` are that step and all that it depends on, by id,
and `index` is the picture's place in its batch.
"""

Advise = Callable[[Mapping[str, Provenance], Files], Iterable[Problem]]
"""A pack's function `advise(steps, files)`: warnings about a graph before it runs.

`steps` are the nodes of the graph by id, without `meta`. Their `inputs` lack values that are known only
during the run.
"""


@dataclass(frozen=True, slots=True)
class StepNeeds:
    """The memory and the work of one step, as far as they are known before it runs."""

    models: Mapping[str, int] = field(default_factory=dict)
    """The bytes on the device of each model that it uses, by a name that is the same for all users of the
    loaded model."""
    memory: int | None = None
    """The peak bytes that it takes in addition to its models; None if unknown."""
    work: float | None = None
    """A number proportional to its time, for comparing runs of the same node; None if unknown."""


Estimate = Callable[[Mapping[str, Provenance], ComputeSettings, Files], Iterable[tuple[str, StepNeeds]]]
"""A pack's function `estimate(steps, compute, files)`: the `StepNeeds` of steps that use models, by step id.

`steps` are the steps of a plan by id, or those of the graph's previous run, without `meta`.
"""


@dataclass(frozen=True, slots=True)
class TextLength:
    """The length in tokens of a text for a model, which reads it in chunks."""

    node: str
    """The id of the step."""
    input: str
    chunks: tuple[int, ...]
    """The number of tokens in each chunk; empty if the text has a syntax error."""
    room: int
    """The number of tokens that fit into a chunk."""
    warnings: tuple[str, ...] = ()
    """The warnings that a run will give about the text, or its syntax error."""


Measure = Callable[[Mapping[str, Provenance], Files], Iterable[TextLength]]
"""A pack's function `measure(steps, files)`: the lengths of texts before a run; `steps` as for `advise`.

It is called after each change while the user types, so it must not load models.
"""
