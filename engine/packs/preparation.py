"""The hook by which packs prepare for runs in advance (`warm_up`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

WarmUp = Callable[[], Iterator[object]]
"""A pack's function `warm_up()`: a generator that prepares what most runs need, such as imports.

A worker advances it bit by bit while no run is waiting. It must change nothing that a result depends on.
"""
