"""Writes `nodes/formats.md` out of comparisons that really ran: `python -m tests.nodes.matrix`.

It runs the tests that tell of one; those against peft need it installed, and their rows are missing
otherwise.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests import matrix

TESTS = Path(__file__).parent

HEAD = """\
# What Safelight reads, and how closely

This page is written by `python -m tests.nodes.matrix`, out of tests that ran. An error is the largest
difference divided by the largest number of what was compared.
"""


def main(arguments: list[str]) -> int:
    """Run the tests that compare, and write what they told; returns pytest's answer."""
    telling = [
        str(path) for path in sorted(TESTS.rglob("test_*.py")) if "matrix.record(" in path.read_text("utf-8")
    ]
    os.environ[matrix.WRITING] = "1"
    code = pytest.main(["-q", "-p", "no:cacheprovider", *(arguments or telling)])
    if code == pytest.ExitCode.OK:
        matrix.PAGE.write_text(HEAD + matrix.tables(matrix.ROWS), encoding="utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
