"""The interface by which a pack describes an installation in the terms of another program's API.

A server that answers requests for another program, such as ComfyUI, has to list node types, samplers and
model files as that program does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.errors import GraphError, NodeError, Problem, hook_problem
from engine.files import Files

DescribeFor = Callable[[str, Files], Mapping[str, Any] | None]
"""A pack's function `describe_for(program, files)`: JSON by name, as the API of the program has it; None
if the pack does not know the program. `files` are the user's files."""


def described_for(describers: Iterable[DescribeFor], program: str, files: Files) -> Mapping[str, Any]:
    """The lists of a program's API.

    Args:
        describers: the functions of the installed packs; the first that knows the program answers.
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
    raise GraphError([Problem("unknown_program", f"no installed pack describes itself for {program}")])
