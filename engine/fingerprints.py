"""What a node reads from the world, found out before it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.files import Files
from engine.node import NodeType
from engine.values import Json, canonical


class Wired(Exception):
    """It depends on an input that a wire brings, which is not known yet."""


def fingerprint(
    node_type: NodeType, literals: Mapping[str, Json], wired: Iterable[str], files: Files
) -> Json:
    """What a node reads from the world, as `Node.fingerprint` says it, from what is typed into its inputs.

    Args:
        node_type: its type.
        literals: the values that are typed in, defaults included.
        wired: the names of the other inputs.
        files: what the node is shown.

    Raises:
        Wired: its `fingerprint` looks at one of those.
        Exception: whatever `fingerprint` raises.
    """
    wired = list(wired)
    if not wired:
        node = node_type.cls(**literals)
    else:
        known = {
            name: value if value is None else node_type.inputs[name].adapter.validate_python(value)
            for name, value in literals.items()
        }
        node = node_type.cls.model_construct(**known)
        for name in wired:
            node.__dict__.pop(name, None)
    try:
        found = node.fingerprint(files)
    except AttributeError as error:
        if any(f"'{name}'" in str(error) for name in wired):
            raise Wired from None
        raise
    canonical(found)
    return found
