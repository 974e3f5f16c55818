"""How each graph was when it last ran: one small file a graph in the home folder, for explaining a plan."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import said
from engine.keys import _environment
from engine.values import Json, canonical, sha256

if TYPE_CHECKING:
    from engine.node import NodeType
    from engine.plan import Plan
    from engine.run import Report
    from engine.step import Source, Step

FORMAT = 1
KEPT = 200
"""How many graphs are remembered."""
LONG = 200
"""Of a literal that takes more bytes than this only a digest is kept, where a graph has many such."""
MAX_BYTES = 64 << 20
"""A larger record is not written, and not read."""

_HEADER_BYTES = 256
_NESTED = b"nested"
_FINE = ("done", "cached")
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False).encode


_Identity = tuple[int, int]

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


class Record:
    """How one graph was; read when somebody asks, and from then on the same whatever is written later."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._data: bytes | None = None
        self._nodes: dict[str, Was] | None = None

    @property
    def nodes(self) -> dict[str, Was]:
        """Its nodes by id; none if it never ran, or its record is damaged."""
        if self._nodes is None:
            self.hold()
            self._nodes = _parsed(self._data or b"")
            self._data = b""
        return self._nodes

    @property
    def nested(self) -> bool:
        """Whether some of its nodes are of graphs that other nodes returned."""
        self.hold()
        return self._nodes is not None or _NESTED in _words(self._data or b"")

    def hold(self) -> None:
        """Take in what is written now, since it is about to be replaced."""
        if self._data is None and self._nodes is None:
            self._data = _read(self.path, MAX_BYTES)


class History:
    """The records of all graphs of a home.

    Nothing here raises: a record that cannot be written is told, one that cannot be read is as if it was not.

    Args:
        folder: made when the first record is written.
        warn: is told when one cannot be.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self._warn = warn
        self._known: dict[str, tuple[bytes, _Identity | None]] = {}  # of what each record is, and which file

    def record(self, name: str) -> Record:
        """The record of the graph that goes by this name: the path of its file, or its title."""
        return Record(f"{self.folder}/{sha256(name.encode(errors='surrogatepass'))[:32]}.json")

    def remember(self, record: Record, plan: Plan, report: Report) -> None:
        """Write how a graph was in the run that has just ended, unless its record says so already."""
        try:
            state = _state(plan, report)
            identity = _identity(record.path)
            if identity is not None and self._known.get(record.path) == (state, identity):
                return
            if _state_of(_read(record.path, _HEADER_BYTES)) != state:
                record.hold()
                identity = self._write(record.path, _whole(record, state, plan, report))
            self._known[record.path] = state, identity
        except Exception as error:  # a full disk, or what a node pack put into a literal
            self._warn(
                f"how this graph was is not remembered: {record.path} cannot be written: {said(error)}"
            )

    def _write(self, path: str, data: bytes) -> _Identity | None:
        # Not flushed to the disk: what a power cut leaves is ignored, and a flush may cost more than the run.
        draft = f"{self.folder}/.{os.urandom(8).hex()}.part"
        try:
            try:
                file = open(draft, "xb")
            except FileNotFoundError:
                self.folder.mkdir(parents=True, exist_ok=True)
                file = open(draft, "xb")
            with file:
                file.write(data)
            fresh, identity = not os.path.exists(path), _identity(draft)
            os.replace(draft, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise
        if fresh:
            self._prune()
        return identity

    def _prune(self) -> None:
        with os.scandir(self.folder) as entries:
            found = [(entry.stat().st_mtime, entry.path) for entry in entries]
        for _, path in sorted(found, reverse=True)[KEPT:]:
            with suppress(OSError):
                os.unlink(path)


def environment(node_type: NodeType, device: str) -> Environment | None:
    """What the keys of a node type know of the machine."""
    if not (node_type.accelerator or node_type.libraries):
        return None
    kind, releases = json.loads(_environment(node_type.libraries, device if node_type.accelerator else ""))
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


# In columns, since thousands of small objects would take longer to write than trivial nodes take to run.


def _state(plan: Plan, report: Report) -> bytes:
    """A digest that stays as long as a record would."""
    steps = _single(plan)
    told = [*steps, *[step.key if step.keep and step.key else _signature(step) for step in steps.values()]]
    if report.state != "done":
        told += [item.state for item in report.nodes.values() if item.state not in _FINE]
    return sha256("\n".join(told).encode()).encode()


def _single(plan: Plan) -> dict[str, Step]:
    """The steps that make one result each, unlike nodes that go through lists as a whole."""
    return {node: step for node, step in plan.steps.items() if step.bound.lift is None}


def _outer(node: str) -> Iterator[str]:
    """What a step is in: for `a/b/c` what are perhaps steps that returned a graph, `a/b` and `a`."""
    while "/" in node:
        node = node.rpartition("/")[0]
        yield node


def _signature(step: Step) -> str:
    links = ["=".join((source.input, *link(source))) for source in step.sources]
    return f"{step.bound.signature.hex()} {canonical(step.fingerprint).decode()} {' '.join(links)}"


def _whole(record: Record, state: bytes, plan: Plan, report: Report) -> bytes:
    steps = _single(plan)
    # Nodes that this run was not asked for stay as they were, and those of graphs that were not needed again.
    absent = plan.checked.graph.nodes.keys() - steps.keys()
    absent -= {place(node) for node in steps} if absent else set()
    opened = {outer for node in steps if "/" in node for outer in _outer(node) if outer in steps}
    kept = {}
    if absent or record.nested:
        for node, was in record.nodes.items():
            shut = any(outer in steps and outer not in opened for outer in _outer(node))
            if place(node) in absent or shut:
                kept[node] = was

    types = {id(step.bound.type): step.bound.type for step in steps.values()}
    at = {known: n for n, known in enumerate(types)}
    rows = [[item.name, item.version, item.code, environment(item, plan.device)] for item in types.values()]
    sources = [source for step in steps.values() for source in step.sources]
    literals: list[Mapping[str, Json]] = [step.bound.literals for step in steps.values()]
    body: dict[str, object] = {
        "types": rows,
        "nodes": " ".join(steps),
        "type": [at[id(step.bound.type)] for step in steps.values()],
        "keys": " ".join([step.key if step.keep and step.key else "-" for step in steps.values()]),
        "wires": [len(step.sources) for step in steps.values()],
        "inputs": " ".join([source.input for source in sources]),
        "from": " ".join([source.step.id for source in sources]),
        "outputs": " ".join([link(source)[1] if source.path else source.output for source in sources]),
        "elements": {str(n): source.digest for n, source in enumerate(sources) if source.digest},
        "reads": {
            node: digest(step.fingerprint) for node, step in steps.items() if step.fingerprint is not None
        },
        "states": {
            node: item.state
            for node, item in report.nodes.items()
            if item.state not in _FINE and report.state != "done"
        },
        "kept": {node: astuple(was) for node, was in kept.items()},
    }
    text = _encode(literals)
    long: dict[str, dict[str, str]] = {}
    if len(text) > 65536 + 2 * LONG * len(steps):
        short = [_shortened(item) for item in literals]
        long = {node: dropped for node, (_, dropped) in zip(steps, short, strict=True) if dropped}
        text = _encode([left for left, _ in short])
    data = f'{_encode({**body, "long": long})[:-1]},"literals":{text}}}'.encode()
    if len(data) > MAX_BYTES:
        raise ValueError(f"its record would take {len(data):,} bytes")
    nested = bool(opened) or any("/" in node for node in kept)
    return _header(state, data, nested) + data


def _shortened(literals: Mapping[str, Json]) -> tuple[dict[str, Json], dict[str, str]]:
    """The literals that are short enough, and the digests of the others."""
    left: dict[str, Json] = {}
    dropped: dict[str, str] = {}
    for name, value in literals.items():
        if len(canonical(value)) > LONG:
            dropped[name] = digest(value)
        else:
            left[name] = value
    return left, dropped


def _identity(path: str) -> _Identity | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def _header(state: bytes, body: bytes, nested: bool = False) -> bytes:
    kind = _NESTED if nested else b"flat"
    return b"safelight-history %d %s %s %s\n" % (FORMAT, state, kind, sha256(state + kind + body).encode())


def _words(data: bytes) -> list[bytes]:
    """The header of a record; nothing if it is not one that this engine writes."""
    words = data[:_HEADER_BYTES].partition(b"\n")[0].split(b" ")
    mine = len(words) == 5 and words[:2] == [b"safelight-history", b"%d" % FORMAT]
    return words if mine else []


def _state_of(data: bytes) -> bytes:
    """What a record is of."""
    words = _words(data)
    return words[2] if words else b""


def _read(path: str, most: int) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(most)
    except OSError:
        return b""


def _parsed(data: bytes) -> dict[str, Was]:
    header, _, body = data.partition(b"\n")
    words = _words(header)
    if not words or header + b"\n" != _header(words[2], body, words[3] == _NESTED):
        return {}
    try:
        return dict(_nodes(json.loads(body)))
    except Exception:  # whole, and yet of other columns
        return {}


def _nodes(tree: Any) -> Iterator[tuple[str, Was]]:
    ends = zip(*(tree[name].split() for name in ("inputs", "from", "outputs")), strict=True)
    wires = enumerate(ends)
    columns = (tree["nodes"].split(), tree["keys"].split(), tree["type"], tree["wires"], tree["literals"])
    for node, key, kind, count, literals in zip(*columns, strict=True):
        links: dict[str, Link] = {}
        for n, (name, step, output) in islice(wires, count):
            links[name] = step, output, tree["elements"].get(str(n), "")
        long, reads, state = (tree[name].get(node) for name in ("long", "reads", "states"))
        known = None if key == "-" else key
        own = [literals, long or {}, links, reads, known, state or ""]
        yield node, Was(*[*tree["types"][kind], *own])
    for node, (*head, told, reads, key, state) in tree["kept"].items():
        links = {name: (step, output, digest) for name, (step, output, digest) in told.items()}
        yield node, Was(*[*head, links, reads, key, state])
