"""The lines about a large file that is being read."""

import time

import pytest

from engine.cli.reading import Reading


def test_a_line_appears_once_a_file_takes_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress = Reading()
    for seconds in range(12):
        now = 100.0 + seconds
        progress("/models/large\x1b.safetensors", seconds * 10**9, 7 * 10**9)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3, "after 1, 6 and 11 seconds"
    assert lines[0] == "reading large\\x1b.safetensors: 1.0 GB of 7.0 GB"
    progress("/models/other.safetensors", 0, 10**9)
    assert capsys.readouterr().err == "", "a file that is read quickly has no line"
