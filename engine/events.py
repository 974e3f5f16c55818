"""The events that a run sends while it works, as plain data for progress bars, journals and other processes.

An event holds ids, counts, short texts and encoded pictures, so that it can be sent to another process:
`event.as_json()` converts it to JSON, and `from_json` restores it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ForwardRef, NamedTuple

from engine import fixes
from engine.errors import Problem, short
from engine.values import Json

State = str
"""The state of a node (`done`, `cached`, `failed`, `skipped`, `cancelled`) or of a run (`done`, `failed`,
`cancelled`)."""


class PlannedStep(NamedTuple):
    """A step of the plan: its node, what the run does with it, and its cached result if it has one."""

    id: str
    """The id of the node; `denoise[2]` for an element of a node that goes through lists."""
    type: str
    """The node type with its version, such as `Denoise@1`."""
    action: str
    """`run`, `may_run` (decided during the run), `reuse`, `share` (with an equal step) or `unneeded`."""
    tier: str | None
    """For `reuse`: where the result is stored, `memory` or `disk`."""
    made: float
    """For `reuse`: when the result was made, in seconds since the epoch."""
    key: str | None
    """The key of the result in the store; None if it is unknown, or if no later run can use the result."""
    is_list: bool
    """True if its result is collected from other steps, because it goes through lists or returned a graph."""
    same_as: str | None
    """For `share`: the id of the equal step."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as the bytes of a JPEG or PNG file."""

    data: bytes = field(repr=False)
    media: str
    """The media type, such as `image/jpeg`."""
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class OutputSummary:
    """A description of one output of a step."""

    name: str
    type: str
    """The wire type, such as `Image`."""
    summary: str
    """A short text, such as `512 x 512, 4 pictures`."""


class _Fact:
    """The base class of the events that are dataclasses."""

    __slots__ = ()

    def as_json(self) -> dict[str, Json]:
        """Return this event as JSON: its name under `event`, and its fields."""
        return _as_json(self)


@dataclass(frozen=True, slots=True)
class Planned(_Fact):
    """Sent once, when the run has been planned. Steps with cached results send no further events."""

    run: str
    """The id of this run."""
    title: str
    """The title of the graph."""
    steps: tuple[PlannedStep, ...] = field(repr=False)

    @property
    def to_run(self) -> int:
        """The number of steps that must be computed."""
        return sum(1 for step in self.steps if step.action == "run" and not step.is_list)


@dataclass(frozen=True, slots=True)
class StepsAdded(_Fact):
    """The run has added steps to the plan: elements of a list, or nodes of a graph that a node returned."""

    node: str
    steps: tuple[PlannedStep, ...] = field(repr=False)


class Started(
    NamedTuple
):  # creating a tuple takes a third of the time, and each step creates two of these events
    """A step starts."""

    node: str

    def as_json(self) -> dict[str, Json]:
        """This event as JSON; see `_Fact.as_json`."""
        return _as_json(self)


@dataclass(frozen=True, slots=True)
class Progress(_Fact):
    """The progress of a running step: `value` of `total` units are done."""

    node: str
    value: int
    total: int | None
    rate: float | None
    """The units per second, measured since the first unit."""
    unit: str | None = None
    """What is counted, in the plural, such as `steps` or `pictures`; None if the node does not say."""
    stage: str | None = None
    """The part of the step's work that is counted, if it has several, such as `training`."""


@dataclass(frozen=True, slots=True)
class Preview(_Fact):
    """A picture of the unfinished result of a step."""

    node: str
    picture: Picture


@dataclass(frozen=True, slots=True)
class Metrics(_Fact):
    """Metrics that a long-running step reports, such as the loss of a training; one row per training step."""

    node: str
    rows: tuple[Mapping[str, float | None], ...]
    """The rows, as numbers by name; None replaces a number that is not finite."""


@dataclass(frozen=True, slots=True)
class Sample(_Fact):
    """A sample picture of a long-running step, such as a training's sample at every 100th training step."""

    node: str
    step: int
    picture: Picture
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint(_Fact):
    """A long-running step has saved a checkpoint, from which it can continue."""

    node: str
    step: int
    name: str
    """The name of the checkpoint within the step; it is not a path."""


@dataclass(frozen=True, slots=True)
class Published(_Fact):
    """A long-running step has published a file, such as a checkpoint or a sample."""

    node: str
    name: str
    """The name of the file in the step's folder."""
    path: str
    """Its absolute path. The file may be removed when room is needed."""
    size: int


@dataclass(frozen=True, slots=True)
class Printed(_Fact):
    """A line of text printed by a node, or by a library or program that it called.

    Lines of programs and of libraries' threads are captured only where a command or a worker owns the
    process; in the process of a script they go to standard output. `engine.run.printed_lines` has the rules.
    """

    text: str
    node: str | None = None
    """The id of the node; None if several nodes were running and none of their threads printed the line."""


@dataclass(frozen=True, slots=True)
class Warned(_Fact):
    """A warning of a node or of the run; the run continues."""

    message: str
    node: str | None = None


class Done(NamedTuple):
    """A step is done: its outputs were computed, or read from the store."""

    node: str
    seconds: float
    cache: str = "none"
    """The tier that the outputs came from: `none` (computed), `memory` or `disk`."""
    key: str | None = None
    """The key of the result in the store; None if no later run can use the result."""
    outputs: tuple[OutputSummary, ...] = ()
    """The outputs; empty unless the run was asked for details, see `Session.run`."""
    memory: Mapping[str, int | None] | None = None
    """The peak memory in bytes, as in the report: `host`, `rise`, `device`; None if it was not measured."""

    def as_json(self) -> dict[str, Json]:
        """This event as JSON; see `_Fact.as_json`."""
        return _as_json(self)


@dataclass(frozen=True, slots=True)
class ResultLost(_Fact):
    """A cached result that the plan reuses has disappeared from the store; the step is computed again."""

    node: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Failed(_Fact):
    """A step has failed."""

    node: str
    seconds: float
    problem: Problem
    trace: str = field(repr=False, default="")
    """The traceback of the exception."""


@dataclass(frozen=True, slots=True)
class Skipped(_Fact):
    """A step cannot start because of another step, whose id is `because`."""

    node: str
    because: str


@dataclass(frozen=True, slots=True)
class OutputWritten(_Fact):
    """A declared output of the graph, or one element if it is a list, has been written to files."""

    output: str
    index: tuple[int, ...]
    """The index of the element in the list, and in each list within it; empty if the output is no list."""
    values: Mapping[str, Json]
    """The value of each swept input of the graph for this element."""
    type: str
    """The wire type, such as `Image`."""
    files: tuple[str, ...]
    """The absolute paths of the files; if the output is the path of a file that a node saved, that path."""
    digest: str
    node: str
    """The id of the step that made it, such as `group/decode[2]`."""


@dataclass(frozen=True, slots=True)
class Finished(_Fact):
    """The run has ended; it sends no further events."""

    state: State
    seconds: float


Event = (
    Planned
    | StepsAdded
    | Started
    | Progress
    | Preview
    | Metrics
    | Sample
    | Checkpoint
    | Published
    | Printed
    | Warned
    | Done
    | ResultLost
    | Failed
    | Skipped
    | OutputWritten
    | Finished
)
Emit = Callable[[Event], None]

_NAMES: dict[type, str] = {
    Planned: "planned",
    StepsAdded: "grown",
    Started: "started",
    Progress: "progress",
    Preview: "preview",
    Metrics: "metrics",
    Sample: "sample",
    Checkpoint: "checkpoint",
    Published: "published",
    Printed: "printed",
    Warned: "warned",
    Done: "done",
    ResultLost: "missed",
    Failed: "failed",
    Skipped: "skipped",
    OutputWritten: "output",
    Finished: "finished",
}
_CLASSES = {name: cls for cls, name in _NAMES.items()}


def from_json(tree: Any) -> Event:
    """Restore an event from the JSON of `as_json`.

    Raises:
        ValueError: the JSON is not an event.
    """
    if not isinstance(tree, Mapping) or "event" not in tree:
        raise ValueError(f'an event is an object with the key "event", not {short(tree)}')
    name = tree["event"]
    if not isinstance(name, str) or name not in _CLASSES:
        raise ValueError(f"unknown event {short(name)}")
    readers = _readers(_CLASSES[name])
    if tree.keys() != {"event", *readers}:
        fields = ", ".join(str(field) for field in tree if field != "event")
        raise ValueError(f"the event {name} has the fields {fields}, but needs {', '.join(readers)}")
    try:
        event: Event = _CLASSES[name](**{field: read(tree[field]) for field, read in readers.items()})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"the event {name} has an invalid field: {error}") from None
    return event


def _as_json(event: Any) -> dict[str, Json]:
    tree: dict[str, Json] = {"event": _NAMES[type(event)]}
    for name in _readers(event.__class__):
        tree[name] = _encoded(getattr(event, name))
    return tree


def _encoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, Problem):
        return value.as_json()
    if isinstance(value, Picture | OutputSummary):
        return {name: _encoded(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, tuple | list):
        return [_encoded(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _encoded(item) for key, item in value.items()}
    return value


@cache
def _readers(cls: type) -> dict[str, Callable[[Any], Any]]:
    """Return, for each field of an event class, the function that reads the field from JSON."""
    names: dict[str, Any] = vars(cls)["__annotations__"]
    spelled = {
        name: kind.__forward_arg__ if isinstance(kind, ForwardRef) else kind for name, kind in names.items()
    }
    return {name: _READERS[kind] for name, kind in spelled.items()}


def _read_float(value: Any) -> float:
    return float(_read_of(int, float)(value))


def _read_of(*types: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) not in types:
            raise ValueError(f"{value!r} is not of type {types[0].__name__}")
        return value

    return read


def _read_tuple(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda value: tuple(read(item) for item in _read_of(list)(value))


def _read_optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _read_fields(cls: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda value: cls(**{name: read(value[name]) for name, read in _readers(cls).items()})


def _read_step(value: Any) -> PlannedStep:
    readers = _readers(PlannedStep).values()
    return PlannedStep(*(read(item) for read, item in zip(readers, value, strict=True)))


def _read_numbers(value: Any) -> dict[str, int | None]:
    return {name: _read_optional(_read_of(int))(number) for name, number in value.items()}


def _read_row(value: Any) -> dict[str, float | None]:
    return {name: _read_optional(_read_float)(number) for name, number in value.items()}


_READERS: dict[str, Callable[[Any], Any]] = {
    "str": _read_of(str),
    "State": _read_of(str),
    "int": _read_of(int),
    "bool": _read_of(bool),
    "float": _read_float,
    "str | None": _read_optional(_read_of(str)),
    "int | None": _read_optional(_read_of(int)),
    "float | None": _read_optional(_read_float),
    "bytes": lambda value: b64decode(value, validate=True),
    "Mapping[str, Json]": _read_of(dict),
    "Mapping[str, int | None] | None": _read_optional(_read_numbers),
    "Picture": _read_fields(Picture),
    "Problem": _read_fields(Problem),
    "Fix | None": _read_optional(fixes.from_json),
    "Severity": _read_of(str),
    "tuple[str, ...]": _read_tuple(_read_of(str)),
    "tuple[int, ...]": _read_tuple(_read_of(int)),
    "tuple[OutputSummary, ...]": _read_tuple(_read_fields(OutputSummary)),
    "tuple[PlannedStep, ...]": _read_tuple(_read_step),
    "tuple[Mapping[str, float | None], ...]": _read_tuple(_read_row),
}
