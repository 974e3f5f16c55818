"""Work that packs do before a run needs it (`warm_up`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

WarmUp = Callable[[], Iterator[object]]
"""A pack's function `warm_up()`: prepares in steps what most of its runs need, such as imports.

A worker takes the steps while no run waits for it. Steps must change nothing that a result depends on.
"""
