"""Counts that are small in `make test` and complete in `make slow`."""

from __future__ import annotations

from typing import Any

import pytest


def short_and_full(name: str, short: Any, full: Any) -> pytest.MarkDecorator:
    """Parametrize a test with `name`: the value `short`, and in `make slow` also the value `full`."""
    return pytest.mark.parametrize(
        name, [pytest.param(short, id="short"), pytest.param(full, id="full", marks=pytest.mark.slow)]
    )
