"""Catches a node that writes into its inputs: checked mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.errors import NodeError
from engine.step import Step
from engine.store.store import Result
from engine.values import arrays, sha256


class Guarded:
    """Compares every tensor of the inputs before and after a step.

    A tensor counts its in-place writes itself (`_version`); on the CPU, where they can be made behind its
    back, its content is compared as well, as that of arrays without such a count is. A write into an input
    would change what other steps and the store hold under the same key.
    """

    def __init__(self) -> None:
        self._marks: dict[str, dict[str, list[object]]] = {}

    def setup(self, step: Step, inputs: Mapping[str, object]) -> Result | None:
        """Remember how the inputs are."""
        self._marks[step.id] = {
            name: [_mark(held) for held in arrays(value)] for name, value in inputs.items()
        }
        return None

    def teardown(self, step: Step, inputs: Mapping[str, object], result: Result | None) -> None:
        """Compare.

        Raises:
            NodeError: the step wrote into an input.
        """
        before = self._marks.pop(step.id)
        if result is None:
            return
        for name, value in inputs.items():
            if [_mark(held) for held in arrays(value)] != before[name]:
                raise NodeError(
                    f"{step.bound.type.name} wrote into its input {name!r}, which other steps share",
                    hint="work on a copy, such as `x = x.clone()`",
                    input=name,
                    code="wrote_input",
                )


def _mark(held: Any) -> object:
    """What a write would change: the count of in-place writes, or else a digest of the content."""
    try:
        version = getattr(held, "_version", None)
    except RuntimeError:  # a tensor made in inference mode counts nothing
        version, held = None, held.cpu().numpy()
    if isinstance(version, int):
        return version, _content(held)
    flags = getattr(held, "flags", None)
    if flags is not None and not flags.writeable:
        return None  # numpy itself refuses the write
    return sha256(memoryview(held).tobytes())


def _content(tensor: Any) -> str:
    """The digest of a tensor on the CPU: a write through its numpy view is not counted in `_version`."""
    if str(getattr(tensor, "device", "")) != "cpu":
        return ""
    import torch

    flat = tensor.detach().contiguous().flatten()
    return sha256(memoryview(flat.view(torch.uint8).numpy()).tobytes())
