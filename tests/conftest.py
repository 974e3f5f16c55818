"""Every test runs in checked mode: a node that writes into its inputs fails.

A run of all tests fails if `nodes/formats.md` has a row that no test records (`matrix.record`).
"""

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest

from tests import matrix

os.environ["SAFELIGHT_CHECKED"] = "1"
os.environ["SAFELIGHT_WARM_UP"] = "0"  # most servers of tests run no models
os.environ["SAFELIGHT_DTYPE"] = "float32"  # `auto` depends on the CPU

# No test fails because the machine is busy.
hypothesis.settings.register_profile("safelight", deadline=None)
hypothesis.settings.load_profile("safelight")


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


_recorded_by_workers: set[str] = set()
"""The rows that tests in the processes of pytest-xdist recorded."""


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Collect the rows of a process of pytest-xdist that has ended."""
    _recorded_by_workers.update(getattr(node, "workeroutput", {}).get("recorded", ()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Compare the page with the recorded rows, or pass the rows on to the process that does."""
    recorded = {row.line for row in matrix.ROWS}
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["recorded"] = sorted(recorded)
        return
    options = config.option
    is_whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not (
        options.keyword or options.markexpr != "not slow" or options.collectonly or options.lf
    )
    has_peft = importlib.util.find_spec("peft") is not None  # its tests record some rows
    if is_whole and has_peft and not session.testsfailed:
        uncovered = matrix.uncovered(recorded | _recorded_by_workers)
        if uncovered:
            print(
                f"\n\n{matrix.PAGE.name} has rows that no test records; python -m tests.nodes.matrix",
                *uncovered,
                sep="\n",
            )
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
