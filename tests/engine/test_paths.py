"""Home folders in paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import GraphError
from engine.paths import expanded


def test_a_home_folder_is_spelled_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/a") == tmp_path / "a"
    assert expanded(Path("a/~")) == Path("a/~")


def test_nobody_s_home_folder_is_a_sentence() -> None:
    with pytest.raises(GraphError, match="begins with a home folder that is not known here"):
        expanded("~nobody-of-this-name/a")
