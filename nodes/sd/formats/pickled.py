"""Reads pickles of torch in a short-lived process that can only read the file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine import strict_json
from engine.errors import GraphError
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.opened import Identity, opened
from nodes.sd.formats.tensors import DTYPES, Entry, Named, Run, Tensors, weights_at

_FOLDER = Path(__file__).parent
_START = "import sys; sys.path.append(sys.argv[1]); from pickles.child import main; main(sys.argv[2:])"
_SECONDS = 60
"""The longest time to wait for the process; it also limits its own CPU time to a few seconds."""
_AT_ONCE = 32
"""The number of files per process, since starting a process takes longer than reading a small file."""
_SHARED = 4
"""The greatest ratio of tensor bytes to file bytes, which is above 1 if tensors share their bytes."""


def read_pickled(path: Path) -> Tensors:
    """Read the tensors of a file that `torch.save` wrote.

    Raises:
        BadFileError: the file cannot be read, or contains something other than tensors and plain data. The
            message names the file and the place in it.
    """
    (read,) = read_all_pickled([path])
    if isinstance(read, BadFileError):
        raise read
    return read


def read_all_pickled(paths: Sequence[Path]) -> list[Tensors | BadFileError]:
    """Read several files; return the tensors or the error of each, in the same order."""
    answers: list[Tensors | BadFileError] = []
    for start in range(0, len(paths), _AT_ONCE):
        answers += _group(paths[start : start + _AT_ONCE])
    return answers


def _group(paths: Sequence[Path]) -> list[Tensors | BadFileError]:
    answers: list[Tensors | BadFileError | None] = [None] * len(paths)
    files = {}
    try:
        for n, path in enumerate(paths):
            try:
                files[n] = opened(path)
            except BadFileError as error:
                answers[n] = error
        lines = _answers([file.fileno() for file, _ in files.values()])
    finally:
        for file, _ in files.values():
            file.close()
    for (n, (_, identity)), line in zip(files.items(), lines, strict=False):
        read = _read(paths[n], identity, line)
        if len(files) == 1 or not isinstance(read, BadFileError) or read.code != "no_memory":
            answers[n] = read  # after "no_memory" in a group, each file is tried alone
    unanswered = [n for n in files if answers[n] is None]
    if len(files) > 1:  # one of the files ended the process: read each file alone
        for n in unanswered:
            (answers[n],) = _group([paths[n]])
    else:
        for n in unanswered:
            answers[n] = _bad(paths[n], "too_large", "takes too much memory or time to read")
    return [answer for answer in answers if answer is not None]


def _answers(handles: list[int]) -> list[bytes]:
    """Run the process on open files; return one line of JSON for each, or fewer if it ended early."""
    if not handles:
        return []
    command = [sys.executable, "-I", "-S", "-B", "-c", _START, str(_FOLDER), *map(str, handles)]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ},
        cwd=_FOLDER,
        pass_fds=handles,
    ) as process:
        try:
            out, _ = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
    return out.split(b"\n")[:-1]


def _read(path: Path, identity: Identity, line: bytes) -> Tensors | BadFileError:
    """Check and convert one line from the process, which is not trusted because the file determines it."""
    try:
        answer = strict_json.parse(line)
        if "message" in answer:
            return _bad(path, answer["code"], answer["message"])
        runs = [_run(identity.size, *run) for run in answer["runs"]]
        laid = [_entry(runs, *tensor) for tensor in answer["tensors"]]
        entries: dict[str, Entry] = {}
        tree = _tree(answer["tree"], laid, entries, "")
        if keys := weights_at(tree):
            tree, entries = _unwrapped(tree, entries, "".join(f"{key}." for key in keys))
        if sum(entry.nbytes for entry in entries.values()) > _SHARED * max(
            1 << 20, sum(run.size for run in runs)
        ):
            return _bad(path, "bad_pickle", "has too many tensors that share the same bytes")
        return Tensors(path, identity, answer["format"], entries, {}, tree)
    except (GraphError, KeyError, TypeError, ValueError, IndexError):
        return _bad(path, "bad_pickle", "cannot be read; its pickle is malformed")
    except _TwiceError as error:
        return _bad(path, "bad_pickle", f"has two tensors named {str(error)[:80]!r}")


class _TwiceError(Exception):
    """Raised if two tensors get the same name, such as one with the key `a.b`, and `b` inside `a`."""


def _run(size: int, start: int, deflated: int, whole: int) -> Run:
    if min(start, whole) < 0 or start + (whole if deflated < 0 else deflated) > size:
        raise ValueError
    return Run(start, whole, None if deflated < 0 else deflated)


def _entry(runs: list[Run], run: int, dtype: str, first: int, shape: list[int], strides: list[int]) -> Entry:
    item = DTYPES[dtype][1]
    last, follows, dense = first, 1, True
    for side, stride in reversed(list(zip(shape, strides, strict=True))):
        if side < 0 or stride < 0:
            raise ValueError
        last += (side - 1) * stride
        dense = dense and (stride == follows or side == 1)
        follows *= side
    if run < 0 or first < 0 or (follows and (last + 1) * item > runs[run].size):
        raise ValueError
    return Entry(
        dtype, tuple(shape), runs[run], first * item, None if dense or not follows else tuple(strides)
    )


def _tree(item: Any, laid: list[Entry], entries: dict[str, Entry], name: str) -> Any:
    """Convert the content of a pickle to dicts and lists, with a `Named` in place of each tensor.

    Each tensor is added to `entries` under its path, such as `768.0.linear.0.weight`.
    """
    if isinstance(item, list):
        return [_tree(inner, laid, entries, _joined(name, n)) for n, inner in enumerate(item)]
    if not isinstance(item, dict):
        return item
    ((kind, value),) = item.items()
    if kind == "tensor":
        if name in entries:
            raise _TwiceError(name)
        entries[name] = laid[value]
        return Named(name)
    if kind == "float":
        return float(value)
    if kind == "dict":
        tree = {}
        for key, inner in value:
            if isinstance(key, dict):
                raise TypeError
            tree[key] = _tree(inner, laid, entries, _joined(name, key))
        return tree
    return None


def _unwrapped(tree: Any, entries: dict[str, Entry], prefix: str) -> tuple[Any, dict[str, Entry]]:
    """The tree and the entries with the keys that lead to the weights removed from the names of tensors."""
    renamed: dict[str, Entry] = {}
    for name, entry in entries.items():
        own = name.removeprefix(prefix)
        if own in renamed:
            raise _TwiceError(own)
        renamed[own] = entry

    def walk(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: walk(inner) for key, inner in item.items()}
        if isinstance(item, list):
            return [walk(inner) for inner in item]
        return Named(item.name.removeprefix(prefix)) if isinstance(item, Named) else item

    return walk(tree), renamed


def _joined(name: str, part: object) -> str:
    return f"{name}.{part}" if name else str(part)


def _bad(path: Path, code: str, what: str) -> BadFileError:
    return BadFileError(code, f"{path} {what}.")
