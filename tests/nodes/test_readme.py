"""The map of `nodes/`: it lists every package, in the order that the contracts enforce."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODES = ROOT / "nodes"
PAGE = (NODES / "README.md").read_text("utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"## {title}")[2].partition("\n## ")[0]


def layers(container: str) -> dict[str, int]:
    """The level of each module in a package, 0 at the top, from the contract of import-linter."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    found = next(item["layers"] for item in linter["contracts"] if item.get("containers") == [container])
    return {name: level for level, layer in enumerate(found) for name in re.findall(r"\w+", layer)}


@pytest.mark.parametrize(
    ("title", "package", "prefix"),
    [("Packages", "nodes", ""), ("Parts of `sd/`", "nodes.sd", "sd/")],
)
def test_a_table_lists_every_package_and_file_from_top_to_bottom(
    title: str, package: str, prefix: str
) -> None:
    rows = [line.split("|")[1] for line in section(title).splitlines() if line.startswith("| `")]
    listed = [name.removeprefix(prefix) for row in rows for name in re.findall(r"`([a-z0-9_/.]+)`", row)]
    folder = ROOT / package.replace(".", "/")
    files = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert sorted(listed) == sorted(
        [*(f"{path.parent.name}/" for path in folder.glob("*/__init__.py")), *files]
    )
    level = layers(package)
    levels = [level[name.removesuffix("/").removesuffix(".py")] for name in listed]
    assert levels == sorted(levels)


def test_every_path_that_the_page_names_exists() -> None:
    named = re.findall(r"`([a-z0-9_/]+(?:/|\.py))`", PAGE)
    assert len(named) > 40
    assert [name for name in named if not (NODES / name).exists() and not (ROOT / name).exists()] == []


def test_every_link_of_the_page_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        file, _, heading = target.partition("#")
        text = (NODES / file).read_text("utf-8")
        titles = [
            line.lstrip("# ").lower().replace(" ", "-") for line in text.splitlines() if line[:1] == "#"
        ]
        assert not heading or heading in titles, target
