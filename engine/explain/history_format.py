"""The file format of the history's records: a header with a digest of the state, then the nodes as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from engine.explain.past_node import PastNode, digest, link, machine_of
from engine.plan.keys import signature
from engine.values import Json, canonical, sha256

if TYPE_CHECKING:
    from engine.plan.plan import Plan
    from engine.plan.step import Step

FORMAT = 2
LONG = 200
"""Longer literals, in bytes, are recorded as digests."""
MAX_BYTES = 64 << 20
"""Larger records are neither written nor read."""
HEADER_BYTES = 256

_NESTED = b"nested"
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False).encode


def state(plan: Plan, unfinished: Mapping[str, str]) -> bytes:
    """Compute a digest of all that a record contains; while it is unchanged, no new record is written."""
    steps = single_steps(plan)
    parts = [*steps, *[step.key if step.storable and step.key else _spelled(step) for step in steps.values()]]
    parts += [f"{node} {state}" for node, state in unfinished.items()]
    return sha256("\n".join(parts).encode()).encode()


def single_steps(plan: Plan) -> dict[str, Step]:
    """Return the steps of a plan by id, with list elements in place of the steps that collect them."""
    return {node: step for node, step in plan.steps.items() if step.bound.lift is None}


def _spelled(step: Step) -> str:
    """Return the state of a step without a reusable key, as text."""
    links = ["=".join((source.input, *link(source))) for source in step.sources]
    return f"{signature(step.bound).hex()} {canonical(step.fingerprint).decode()} {' '.join(links)}"


def outer_steps(node: str) -> Iterator[str]:
    """Yield the ids of the steps that contain a step: for `a/b/c` these are `a/b` and `a`."""
    while "/" in node:
        node = node.rpartition("/")[0]
        yield node


def opened_steps(steps: Mapping[str, Step]) -> set[str]:
    """Return the ids of the steps whose nodes returned graphs in this run."""
    return {outer for node in steps if "/" in node for outer in outer_steps(node) if outer in steps}


def written(state: bytes, plan: Plan, unfinished: Mapping[str, str], kept: Mapping[str, PastNode]) -> bytes:
    """Write a record as the bytes of its file.

    Args:
        state: the digest of the state.
        plan: the plan of the run.
        unfinished: for each step without a result, its state.
        kept: nodes of the previous record that this run did not need.

    Raises:
        ValueError: the record is larger than `MAX_BYTES`.
    """
    steps = single_steps(plan)
    types: dict[str, int] = {}
    numbers: dict[
        int, int
    ] = {}  # cached by the identity of the node type, since a graph has far fewer types than nodes
    nodes = {}
    for node, step in steps.items():
        kind = step.bound.type
        number = numbers.get(id(kind))
        if number is None:
            spelled = _encode([kind.name, kind.version, kind.code, machine_of(kind, plan.compute)])
            number = numbers[id(kind)] = types.setdefault(spelled, len(types))
        literals, long = _shortened(step.bound.literals)
        links = {source.input: link(source) for source in step.sources}
        reads = None if step.fingerprint is None else digest(step.fingerprint)
        key = step.key if step.storable else None
        nodes[node] = number, literals, long, links, reads, key, unfinished.get(node, "")
    for node, past in kept.items():
        spelled = _encode([past.type, past.version, past.code, past.machine])
        number = types.setdefault(spelled, len(types))
        nodes[node] = (
            number, {**past.literals}, {**past.long}, {**past.links}, past.reads, past.key, past.state,
        )  # fmt: skip
    data = f'{{"types":[{",".join(types)}],"nodes":{_encode(nodes)}}}'.encode()
    if len(data) > MAX_BYTES:
        raise ValueError(f"the record takes {len(data):,} bytes; the limit is {MAX_BYTES:,}")
    return _header(state, data, nested=bool(opened_steps(steps)) or any("/" in node for node in kept)) + data


def _shortened(literals: Mapping[str, Json]) -> tuple[Mapping[str, Json], dict[str, str]]:
    """Split literals into those that are short enough to record, and the digests of the others."""
    long = {
        name: digest(value)
        for name, value in literals.items()
        if isinstance(value, str | list | dict) and len(value) and _is_long(value)
    }
    return ({name: value for name, value in literals.items() if name not in long} if long else literals), long


def _is_long(value: Json) -> bool:
    return len(value if isinstance(value, str) else canonical(value)) > LONG


def _header(state: bytes, body: bytes, nested: bool = False) -> bytes:
    kind = _NESTED if nested else b"flat"
    return b"safelight-history %d %s %s %s\n" % (FORMAT, state, kind, sha256(state + kind + body).encode())


def _words(data: bytes) -> list[bytes]:
    """Return the fields of a record's header; empty if another version of the format wrote it."""
    words = data[:HEADER_BYTES].partition(b"\n")[0].split(b" ")
    valid = len(words) == 5 and words[:2] == [b"safelight-history", b"%d" % FORMAT]
    return words if valid else []


def is_nested(data: bytes) -> bool:
    """Return True if some nodes of a record belong to graphs that other nodes returned."""
    return _NESTED in _words(data)


def state_of(data: bytes) -> bytes:
    """Return the digest of the state from the header of a record."""
    words = _words(data)
    return words[2] if words else b""


def parsed(data: bytes) -> dict[str, PastNode]:
    """Read the nodes of a record by id; empty if it is damaged, or written by another version."""
    header, _, body = data.partition(b"\n")
    words = _words(header)
    if not words or header + b"\n" != _header(words[2], body, words[3] == _NESTED):
        return {}
    try:
        return dict(_nodes(json.loads(body)))
    except Exception:  # the checksum is correct, but another version wrote the record
        return {}


def _nodes(tree: Any) -> Iterator[tuple[str, PastNode]]:
    types = tree["types"]
    for node, (number, literals, long, links, reads, key, state) in tree["nodes"].items():
        origins = {name: (step, output, digest) for name, (step, output, digest) in links.items()}
        name, version, code, machine = types[number]
        yield node, PastNode(name, version, code, machine, literals, long, origins, reads, key, state)
