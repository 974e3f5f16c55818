"""A session for the tests of textual inversion."""

from __future__ import annotations

from typing import Any

import pytest

from tests.nodes.conftest import home, open_session, session

__all__ = ["home", "open_session", "session"]


@pytest.fixture(scope="module")
def small_unet() -> Any:
    """The embedded UNet in float64."""
    from nodes.sd.models.folder import describe_folder
    from nodes.sd.models.weights import load_unet
    from tests.nodes.sd.conftest import TINY

    return load_unet(describe_folder(TINY)).double()
