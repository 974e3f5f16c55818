"""Home folders in paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import GraphError
from engine.paths import expanded


def test_tilde_is_replaced_by_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/a") == tmp_path / "a"
    assert expanded(Path("a/~")) == Path("a/~")


def test_an_unknown_user_s_home_is_a_graph_error() -> None:
    with pytest.raises(GraphError, match="there is no such user"):
        expanded("~nobody-of-this-name/a")
