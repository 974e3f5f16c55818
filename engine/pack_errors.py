"""Converts exceptions that nodes and other code of packs raised to problems."""

from __future__ import annotations

import os
import sysconfig
import traceback

from engine.errors import OUT_OF_MEMORY, AuthorError, NodeError, Problem, error_text, out_of_memory
from engine.wrong_value import reason


def as_node_problem(error: BaseException, node: str, node_type: str) -> tuple[Problem, str]:
    """Convert an exception that a node raised to a problem of that node, and its traceback to text.

    Args:
        error: the exception.
        node: the id of the node.
        node_type: the name of its type, for messages.
    """
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, NodeError):
        return error.problem(node), trace
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        place = str(first["loc"][0]) if first["loc"] else None
        if first["type"] == "frozen_instance" and error.title == node_type:
            line = author_place(error)
            hint = "use a local variable" + (f" ({line})" if line else "")
            message = f"the code of {node_type} sets its input `{place}`; inputs are read-only"
            return Problem("node_failed", message, node, hint=hint), trace
        return Problem("invalid_value", f"{place or node_type} {reason(first)}", node, place), trace
    if out_of_memory(error):
        hint = "make the picture or the batch smaller"
        where = "device" if type(error).__name__ == "OutOfMemoryError" else "host"
        return Problem(OUT_OF_MEMORY, f"the {where} memory is full", node, hint=hint), trace
    if isinstance(error, AuthorError):
        advice = f"{error.hint} ({error.place})" if error.hint and error.place else error.hint or error.place
        return Problem("node_failed", str(error), node, hint=advice or None), trace
    return Problem("node_failed", error_text(error), node, hint=author_place(error)), trace


def hook_problem(name: str, hook: object, error: BaseException) -> Problem:
    """Convert an exception of a node pack's hook (a function such as `import_graph`) to a problem.

    Args:
        name: the name of the hook for the message.
        hook: the function; the message names the pack that defines it.
        error: the exception that it raised; the hint names the file and line in the pack.
    """
    module = getattr(hook, "__module__", None) or type(hook).__module__
    message = f"{name} of the node pack {module.partition('@')[0]} failed: {error_text(error)}"
    return Problem("pack_failed", message, hint=author_place(error))


def author_place(error: BaseException) -> str | None:
    """Find the file and line of a node pack in an exception's traceback; None if there is none.

    The pack is that of the outermost frame: its code called the others, such as a value class that refused an
    argument.
    """
    if isinstance(error, AuthorError):
        return error.place
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if os.path.isabs(frame.filename) and not frame.filename.startswith(_ENGINE)
    ]
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)] or frames
    if not own:
        return None
    pack = os.path.dirname(own[0].filename) + os.sep
    last = [frame for frame in own if frame.filename.startswith(pack)][-1]
    return f"{last.filename}, line {last.lineno}"


_ENGINE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LIBRARIES = tuple({sysconfig.get_path(kind) + os.sep for kind in ("stdlib", "purelib", "platlib")})
