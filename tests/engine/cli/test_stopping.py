"""Ctrl-C while the main thread is deep in a library, and what is left of it afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.cli.stopping import EXIT_CODE, stopping

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

DEEP = """
import hashlib, sys
from engine.cli.stopping import stopping

def ask():
    print("asked", flush=True)

with stopping(ask, float(sys.argv[1])):
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 2_000_000_000)  # hours, and no bytecode in them
print("over", flush=True)
"""


def begun(program: str, deadline: float = 3600) -> subprocess.Popen[str]:
    """A process that has come to its work."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    line = [sys.executable, "-c", program, str(deadline)]
    process = subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)])
def test_signals_are_heard_while_the_main_thread_runs_no_bytecode(
    numbers: tuple[signal.Signals, signal.Signals],
) -> None:
    process = begun(DEEP)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        process.send_signal(numbers[0])
        assert process.stdout.readline() == "asked\n"
        assert process.stderr.readline() == "\n"
        assert "Stopping" in process.stderr.readline()
        assert process.poll() is None, "the first signal ends nothing"
        process.send_signal(numbers[1])
        assert process.wait(timeout=30) == EXIT_CODE
        assert process.stdout.read() == ""
    finally:
        process.kill()
        process.communicate()


def test_after_sigterm_the_process_ends_at_its_deadline() -> None:
    process = begun(DEEP, deadline=0.5)
    try:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == EXIT_CODE
        assert process.stdout is not None
        assert process.stdout.read() == "asked\n"
    finally:
        process.kill()
        process.communicate()


def test_after_ctrl_c_there_is_no_deadline() -> None:
    process = begun(DEEP, deadline=0.1)
    try:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
    finally:
        process.kill()
        process.communicate()


def test_a_process_told_to_ignore_ctrl_c_goes_on_ignoring_it() -> None:
    program = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + DEEP
    process = begun(program)
    try:
        assert process.stdout is not None
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == EXIT_CODE
    finally:
        process.kill()
        process.communicate()


def test_signal_handlers_are_restored() -> None:
    heard: list[int] = []
    ours = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    read, write = os.pipe()
    os.set_blocking(write, False)
    wakeup = signal.set_wakeup_fd(write)
    threads = threading.active_count()
    asked = threading.Event()
    try:
        with stopping(asked.set, 60):
            signal.raise_signal(signal.SIGINT)
            assert asked.wait(30)
        assert heard == []
        assert threading.active_count() == threads
        signal.raise_signal(signal.SIGINT)
        assert os.read(read, 9) == bytes([signal.SIGINT])
        assert heard == [signal.SIGINT]
    finally:
        assert signal.set_wakeup_fd(wakeup) == write
        signal.signal(signal.SIGINT, ours)
        os.close(read)
        os.close(write)


def test_a_failure_inside_leaves_nothing_behind() -> None:
    before = signal.getsignal(signal.SIGINT), threading.active_count()
    with pytest.raises(ZeroDivisionError), stopping(lambda: None, 60):
        raise ZeroDivisionError
    assert (signal.getsignal(signal.SIGINT), threading.active_count()) == before
    assert signal.set_wakeup_fd(-1) == -1
