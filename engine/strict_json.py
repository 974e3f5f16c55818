"""A strict JSON parser for untrusted text: it limits size and depth, and locates each problem."""

from __future__ import annotations

import json
import math
from typing import Any

from engine.errors import GraphError, Problem, short
from engine.problem_list import Problems

MAX_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 64
MAX_ITEMS = 2_000_000
"""The maximum number of values in a document, so that a small file cannot become a huge object tree."""


def parse(data: bytes | str, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Parse JSON strictly: no NaN or infinity, no repeated keys, limited size and depth.

    Raises:
        GraphError: the text is not such JSON. It has all problems, up to `problem_list.MAX_PROBLEMS`; each
            names the line or the path of the value.
    """
    text = _decoded(data, max_bytes)
    # An upper bound, because commas inside texts are counted too.
    if text.count(",") + text.count("[") + text.count("{") > MAX_ITEMS:
        raise _refused("too_large", f"the JSON contains more than {MAX_ITEMS:,} values", "split the file")
    try:
        tree = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise _refused(
            "too_deep", f"the JSON is nested deeper than {max_depth} levels", "flatten it"
        ) from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _refused("bad_json", f"the text is not JSON: {error.msg} at {place}", None) from None
    except ValueError:  # an integer with more digits than Python accepts
        raise _refused(
            "bad_json", "the JSON contains a whole number with thousands of digits", None
        ) from None
    problems = Problems()
    plain = _walk(tree, "", 1, max_depth, problems)
    if problems:
        raise GraphError(problems)
    return plain


class _Object(dict[str, Any]):
    repeated: tuple[str, ...] = ()


def _refused(code: str, message: str, hint: str | None) -> GraphError:
    return GraphError([Problem(code, message, hint=hint)])


def _decoded(data: bytes | str, max_bytes: int) -> str:
    if len(data) > max_bytes:
        raise _refused("too_large", f"the JSON has {len(data):,} bytes; the limit is {max_bytes:,}", None)
    if isinstance(data, str):
        return data
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused(
            "bad_json", f"the file is not UTF-8: byte {error.start} cannot be read", None
        ) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    seen: set[str] = set()
    marked = _Object(plain)
    marked.repeated = tuple(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return marked


def _walk(value: Any, path: str, depth: int, max_depth: int, problems: list[Problem]) -> Any:
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            message = f"{path or 'the text'} contains invalid Unicode (an unpaired surrogate)"
            problems.append(Problem("bad_text", message))
        return value
    if isinstance(value, float) and not math.isfinite(value):
        message = f"{path or 'the value'} is {value}, not a finite number"
        problems.append(Problem("not_finite", message, hint="write a finite number"))
    if not isinstance(value, dict | list):
        return value
    if depth > max_depth:
        problems.append(Problem("too_deep", f"{short(path)} is nested deeper than {max_depth} levels"))
        return value
    if isinstance(value, list):
        for n, item in enumerate(value):
            _walk(item, f"{path}[{n}]", depth + 1, max_depth, problems)
        return value
    if isinstance(value, _Object):
        for key in value.repeated:
            where = f"{path}.{key}" if path else key
            problems.append(
                Problem("duplicate_key", f"the key {where!r} is written twice", hint="remove one of the two")
            )
    for key, item in value.items():
        _walk(key, f"the key {key!r}", depth, max_depth, problems)
        _walk(item, f"{path}.{key}" if path else key, depth + 1, max_depth, problems)
    return value
