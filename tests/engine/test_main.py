"""The `safelight` command as a process: Ctrl-C while it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from engine.__main__ import main
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_during_start_up_prints_no_traceback() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", INTERRUPTED]
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_python_m_engine_is_the_command() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "engine", "--version"]
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, check=True, timeout=100)
    assert ended.stdout.startswith("safelight ")
