"""Detects nodes that write into their inputs, which other steps and the store share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.errors import NodeError
from engine.plan.step import Step
from engine.read_only import ReadOnlyError
from engine.run.lifecycle import Lifecycle
from engine.store.store import Result
from engine.values import arrays, sha256

_PLAIN = frozenset({bool, int, float, str, type(None)})


class WriteGuard(Lifecycle):
    """A lifecycle that compares the tensors in the inputs of a step before and after the step.

    torch counts the writes into a tensor (`_version`), so the comparison takes almost no time. Lists, dicts
    and numpy arrays are read-only and need no comparison; see `engine.read_only`. If two steps that share an
    input run at the same time and one of them writes into it, both fail.

    Args:
        contents: True to compare the contents, too: those of tensors on the CPU, since torch does not count
            writes through a numpy view, and those of other objects that hold memory. This is the checked
            mode.
    """

    def __init__(self, contents: bool = False) -> None:
        self._contents = contents
        self._marks: dict[Step, dict[str, list[object]]] = {}

    def setup(self, step: Step, inputs: Mapping[str, object]) -> Result | None:
        """Record the state of the inputs."""
        if marks := self._state(inputs):
            self._marks[step] = marks
        return None

    def teardown(self, step: Step, inputs: Mapping[str, object], result: Result | None) -> None:
        """Compare the inputs with their recorded state.

        Raises:
            NodeError: the step wrote into one of the inputs.
        """
        marks = self._marks.pop(step, None)
        if marks is None:
            return
        now = self._state(inputs)
        for name, mark in marks.items():
            if now.get(name) != mark:
                raise WroteInput(step, name)

    def _state(self, inputs: Mapping[str, object]) -> dict[str, list[object]]:
        """Compute the state of each input that holds tensors or other writable memory."""
        state: dict[str, list[object]] = {}
        for name, value in inputs.items():
            if type(value) not in _PLAIN:
                marks = [_mark(array, self._contents) for array in arrays(value)]
                if marks:
                    state[name] = marks
        return state


class WroteInput(NodeError):
    """Raised if a node wrote into an input.

    Args:
        step: the step of the node.
        name: the input; None if a read-only input refused the write, since the error does not name it.
    """

    def __init__(self, step: Step, name: str | None = None) -> None:
        which = "an input" if name is None else f"its input {name!r}"
        super().__init__(
            f"{step.bound.type.name} wrote into {which}, which other steps share",
            hint="work on a copy, such as `x = x.clone()` or `x = list(x)`",
            input=name,
            code="wrote_input",
        )


def is_safe_to_share(result: Result) -> bool:
    """Return True if a result holds arrays and all of them are read-only, such as pictures.

    Other steps may use such a result while it is still being saved. Tensors are writable.
    """
    held = list(arrays(list(result.outputs.values())))
    return bool(held) and all(_is_read_only(array) for array in held)


def is_write(error: BaseException) -> bool:
    """Return True for the exception that a read-only value raises when a node writes into it."""
    # numpy says "assignment destination is read-only" or "output array is read-only".
    return isinstance(error, ReadOnlyError) or (isinstance(error, ValueError) and "read-only" in str(error))


def _mark(array: Any, contents: bool) -> object:
    """Compute a value that changes when an array or tensor is written to; None if that cannot be known.

    It is also None for a read-only array, which needs no comparison.
    """
    if _is_read_only(array):
        return None
    try:
        version = getattr(array, "_version", None)
    except RuntimeError:  # a tensor made in inference mode does not count writes
        return _content(array) if contents else None
    if isinstance(version, int):
        return (version, _content(array)) if contents else version
    return sha256(memoryview(array).tobytes()) if contents else None


def _is_read_only(array: Any) -> bool:
    flags = getattr(array, "flags", None)
    return flags is not None and not getattr(flags, "writeable", True)


def _content(tensor: Any) -> str:
    """Compute the digest of a tensor on the CPU; empty for a tensor on another device."""

    if str(getattr(tensor, "device", "")) != "cpu":
        return ""
    import torch

    flat = tensor.detach().contiguous().flatten()
    return sha256(memoryview(flat.view(torch.uint8).numpy()).tobytes())
