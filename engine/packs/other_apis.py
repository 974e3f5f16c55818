"""The interface by which a pack lists node types, samplers and model files as another program's API does.

The server needs these lists if it implements the API of another program, such as ComfyUI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.errors import GraphError, NodeError, Problem
from engine.files import Files
from engine.pack_errors import hook_problem

DescribeFor = Callable[[str, Files], Mapping[str, Any] | None]
"""A pack's function `describe_for(program, files)`: the lists of the program's API as JSON, by name; None if
the pack does not know the program. `files` are the user's files."""


def described_for(describers: Iterable[DescribeFor], program: str, files: Files) -> Mapping[str, Any]:
    """Return the lists that another program's API serves, such as its samplers and model files, by name.

    Args:
        describers: the functions `describe_for` of the installed packs; the first that knows the program is
            used.
        program: `comfyui` or `a1111`.
        files: the user's files.

    Raises:
        GraphError: no pack knows the program, or the code of a pack failed.
    """
    for describe in describers:
        try:
            described = describe(program, files)
        except (GraphError, NodeError):
            raise
        except Exception as error:  # the code of a node pack may raise anything
            raise GraphError([hook_problem("describe_for", describe, error)]) from error
        if described is not None:
            return described
    raise GraphError([Problem("unknown_program", f"no installed node pack supports the API of {program}")])
