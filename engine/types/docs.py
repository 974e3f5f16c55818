"""Reads the docstrings under the fields of a class from its source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise


def docs_under_fields(cls: type) -> dict[str, str]:
    """Read the docstring under each field of a class, by field; empty if the source is not available."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return {}  # typed at a prompt: there is no source to read
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    docs = {}
    for statement, below in pairwise(body):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            docs[statement.target.id] = inspect.cleandoc(below.value.value)
    return docs
