"""What the tests of faults share: the process that forks, and a place for figures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest

from tests.faults.forks import Forks

collect_ignore_glob = ["test_*.py"] if sys.platform == "win32" else []  # forks, SIGKILL and flock are POSIX


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """The process whose children die."""
    process = Forks()
    yield process
    process.close()


@pytest.fixture
def figures(
    capsys: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]
) -> Callable[..., None]:
    """Prints numbers by name, whether or not output is captured."""

    def show(**numbers: object) -> None:
        for name, number in numbers.items():
            record_property(name, number)
        with capsys.disabled():
            print("\n    " + ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in numbers.items()))

    return show
