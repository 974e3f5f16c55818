"""What the tests of faults share: the process that forks."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.faults.forks import Forks

collect_ignore_glob = ["test_*.py"] if sys.platform == "win32" else []  # forks, SIGKILL and flock are POSIX


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """The process whose children die."""
    process = Forks()
    yield process
    process.close()
