"""The written form of how a graph was: a header that says of what it is, and the nodes in columns.

In columns, since thousands of small objects would take longer to write than trivial nodes take to run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple
from itertools import islice
from typing import TYPE_CHECKING, Any

from engine.values import Json, canonical, sha256
from engine.was import Link, Was, digest, environment, link, place

if TYPE_CHECKING:
    from engine.history import Record
    from engine.plan import Plan
    from engine.report import Report
    from engine.step import Step

FORMAT = 1
LONG = 200
"""Of a literal that takes more bytes than this only a digest is kept, where a graph has many such."""
MAX_BYTES = 64 << 20
"""A larger record is not written, and not read."""
HEADER_BYTES = 256

_NESTED = b"nested"
_FINE = ("done", "cached")
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False).encode


def state(plan: Plan, report: Report) -> bytes:
    """A digest that stays as long as a record would."""
    steps = _single(plan)
    told = [*steps, *[step.key if step.keep and step.key else _signature(step) for step in steps.values()]]
    if report.state != "done":
        told += [f"{node} {item.state}" for node, item in report.nodes.items() if item.state not in _FINE]
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


def written(before: Record, state: bytes, plan: Plan, report: Report) -> bytes:
    """A record, as its file has it.

    Args:
        before: how the graph was, for nodes that the plan does without.
        state: what the record is of.
        plan: what was done.
        report: how that ended.

    Raises:
        ValueError: it would be larger than `MAX_BYTES`.
    """
    steps = _single(plan)
    # Nodes that this run was not asked for stay as they were, and those of graphs that were not needed again.
    absent = plan.checked.graph.nodes.keys() - steps.keys()
    absent -= {place(node) for node in steps} if absent else set()
    opened = {outer for node in steps if "/" in node for outer in _outer(node) if outer in steps}
    kept = {}
    if absent or before.nested:
        for node, was in before.nodes.items():
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


def _header(state: bytes, body: bytes, nested: bool = False) -> bytes:
    kind = _NESTED if nested else b"flat"
    return b"safelight-history %d %s %s %s\n" % (FORMAT, state, kind, sha256(state + kind + body).encode())


def _words(data: bytes) -> list[bytes]:
    """The header of a record; nothing if it is not one that this engine writes."""
    words = data[:HEADER_BYTES].partition(b"\n")[0].split(b" ")
    mine = len(words) == 5 and words[:2] == [b"safelight-history", b"%d" % FORMAT]
    return words if mine else []


def is_nested(data: bytes) -> bool:
    """Whether some of its nodes are of graphs that other nodes returned."""
    return _NESTED in _words(data)


def state_of(data: bytes) -> bytes:
    """What a record is of."""
    words = _words(data)
    return words[2] if words else b""


def parsed(data: bytes) -> dict[str, Was]:
    """The nodes of a record by id; none if it is damaged, or not one that this engine writes."""
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
