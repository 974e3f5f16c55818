from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "engine" / "README.md").read_text("utf-8")


def test_every_file_that_the_page_names_exists() -> None:
    files = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if ".venv" not in path.parts]
    named = re.findall(r"`((?:[a-z0-9_]+/)*[a-z0-9_]+\.py)`", PAGE)
    assert len(named) > 20
    assert [name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)] == []


def test_the_table_lists_every_room_in_the_order_that_the_contract_enforces() -> None:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    listed = [name for row in rows for name in re.findall(r"`([a-z_]+)/`", row)]
    assert sorted(listed) == sorted(path.parent.name for path in (ROOT / "engine").glob("*/__init__.py"))
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    layers = next(item["layers"] for item in linter["contracts"] if item["name"].startswith("Each room"))
    level = {name: place for place, layer in enumerate(layers) for name in re.findall(r"\w+", layer)}
    assert [level[name] for name in listed] == sorted(level[name] for name in listed)
