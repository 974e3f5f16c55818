from __future__ import annotations

import re
import sys
import threading
import tomllib
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from engine.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "engine" / "README.md").read_text("utf-8")
RUN = PAGE[PAGE.index("## One run") : PAGE.index("## Where to add")]
PATH = re.findall(r"`([a-z_/]+\.py)`\s\(`([\w.]+)`\)", RUN)
"""The files and functions on the path of one run."""


def test_every_file_that_the_page_names_exists() -> None:
    files = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if ".venv" not in path.parts]
    named = re.findall(r"`((?:[a-z0-9_]+/)*[a-z0-9_]+\.py)`", PAGE)
    assert len(named) > 20
    assert [name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)] == []


def test_the_table_lists_every_package_in_the_order_that_the_contract_enforces() -> None:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    listed = [name for row in rows for name in re.findall(r"`([a-z_]+)/`", row)]
    assert sorted(listed) == sorted(path.parent.name for path in (ROOT / "engine").glob("*/__init__.py"))
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    layers = next(item["layers"] for item in linter["contracts"] if item.get("containers") == ["engine"])
    level = {name: place for place, layer in enumerate(layers) for name in re.findall(r"\w+", layer)}
    assert [level[name] for name in listed] == sorted(level[name] for name in listed)


def test_the_path_of_a_run_is_short_and_returns_to_no_file_more_than_twice() -> None:
    times = Counter(file for file, _ in PATH)
    assert 20 < len(times) <= 25
    assert max(times.values()) <= 3


def test_a_run_calls_the_listed_functions_in_the_listed_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--width", "64", "--height", "64", "--steps", "1", "--guidance", "1"]
    words = ["run", "text_to_image", *small, "--home", str(tmp_path), "--quiet"]
    assert main(words) == 0  # so that the second run computes one step only
    listed = set(PATH)
    folder = f"{ROOT / 'engine'}/"
    called: dict[tuple[str, str], None] = {}

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(folder):
            place = code.co_filename[len(folder) :], code.co_qualname
            if place in listed:
                called.setdefault(place)

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        assert main([*words, "--set", "decode.tiled=true"]) == 0
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert list(called) == PATH
