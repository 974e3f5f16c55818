"""The content keys of steps: equal keys mean equal results, in one run, in later runs and on other machines.

A key is the SHA-256 of everything that decides the result of a step:

1. the *signature*: the node type with its version, the digest of the code of its pack and of the packs that
   declare its base classes and wire types, and the literal inputs;
2. the *world*: the fingerprint of the files that the node reads. A node with side effects also gets a random
   number, so that its key is new in every plan;
3. the *machine*: the releases of the libraries that the node names and, for an accelerator node, the compute
   settings;
4. the *wires*: for each wired input, the key of the step that it comes from and the name of the output. For
   an element of a list, its digest and the code of its value class; for a node that goes through lists, the
   keys of its elements.

Lazy inputs that the node does not read are left out. Ids, titles and the layout are not part of a key. So the
context hides the id from a pure node, and the compute settings from a node that does not use the accelerator.
A key contains the keys of the parents, so the keys of a whole graph cost one hash for each node.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from engine.check.bound import Bound
from engine.node import NodeType
from engine.plan.step import Gather, Source, Step, origin
from engine.values import Json, canonical, sha256

KEY_SCHEMA = 2
"""Part of every key: changing it makes all stored results unusable."""


class Keys:
    """Computes the keys of the steps of one plan.

    Args:
        compute: the compute settings of accelerator nodes, as text.
    """

    def __init__(self, compute: str) -> None:
        self._compute = compute
        self.nonce = os.urandom(16).hex()
        """A random number in the keys of nodes with side effects."""

    def key(self, step: Step) -> str | None:
        """Compute the key of a step; None while an input that it depends on is unknown.

        The caller must set `step.fingerprint` first and, for a node with lazy inputs, `step.asked`.
        """
        return self._hash(step, signature(step.bound), ())

    def lineage(self, step: Step) -> str | None:
        """Compute the key of a step without the inputs that the class keyword `extends` names.

        A training of 2,000 steps has the same lineage as one of 1,000 steps, so it can continue from the
        state of the shorter one. None while an input is unknown.
        """
        extends = step.bound.type.extends
        if not extends:
            return step.key
        literals = {name: value for name, value in step.bound.literals.items() if name not in extends}
        return self._hash(step, _signature(step.bound.type, literals), extends)

    def _hash(self, step: Step, signature: bytes, without: tuple[str, ...]) -> str | None:
        node_type = step.bound.type
        lazy, asked = node_type.lazy, step.asked or frozenset()
        text = ""
        for source in step.sources:
            name = source.input
            if (name in lazy and name not in asked) or name in without:
                continue
            identity = of_input(source)
            if identity is None:
                return None
            text += f"\n{name}={identity}"
        for name in sorted(asked & step.bound.literals.keys()) if asked else ():
            text += f"\n{name}=!{sha256(canonical(step.bound.literals[name]))}"
        if step.fingerprint is not None:
            text += f"\n?{canonical(step.fingerprint).decode()}"
        if not node_type.pure:
            text += f"\n!{self.nonce} {step.id}"
        if node_type.accelerator or node_type.libraries:
            text += f"\n#{machine(node_type, self._compute)}"
        return hashlib.sha256(signature + text.encode()).hexdigest()


def signature(bound: Bound) -> bytes:
    """Compute the part of the key that depends on the node alone: its type, code and literal inputs."""
    if not bound.signature:
        bound.signature = _signature(bound.type, bound.literals)
    return bound.signature


def _signature(node_type: NodeType, literals: Mapping[str, Json]) -> bytes:
    if node_type.lazy:
        literals = {name: value for name, value in literals.items() if name not in node_type.lazy}
    return hashlib.sha256(canonical([KEY_SCHEMA, node_type.id, node_type.code, literals])).digest()


def of_input(source: Source) -> str | None:
    """Return the part of a step's key for one wired input; None while it is unknown."""
    return f"={source.digest}" if source.digest else of_output(source.step, source.output)


def of_output(step: Step, output: str) -> str | None:
    """Return the part that an output adds to the keys of the steps that read it; None while it is unknown."""
    if step.bound.type.returns_graph:
        step, output = origin(step, output)
    if not isinstance(step, Gather):
        return None if step.key is None or step.may_return_graph else f"{step.key}.{output}"
    # The outputs of a node that returned a graph come from different steps; otherwise element keys suffice.
    part = output if step.bound.type.returns_graph else ""
    if part not in step.digests and step.children is not None:
        identities = [of_output(child, part) for child in step.children]
        known = [identity for identity in identities if identity is not None]
        if len(known) == len(identities):
            step.digests[part] = sha256(f"[{','.join(known)}]".encode())
    return f"{step.digests[part]}.{output}" if part in step.digests else None


def machine(node_type: NodeType, compute: str) -> str:
    """Return the part of the key that depends on the machine, as JSON: compute settings, library versions."""
    return _machine(node_type.libraries, compute if node_type.accelerator else "")


@cache
def _machine(libraries: tuple[str, ...], compute: str) -> str:
    return canonical([compute, {library: _version(library) for library in libraries}]).decode()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"
