"""Every block of the guide for node authors, run from top to bottom in a home of its own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.nodes.node_table import node_table, written_table

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "nodes" / "guide.md").read_text()


class Block(NamedTuple):
    language: str
    file: str
    text: str
    before: str
    """What the guide says just before it."""


def blocks() -> list[Block]:
    found = re.finditer(r"^```(\w+) ?(\S*)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    return [Block(item[1], item[2], item[3], GUIDE[: item.start()].rpartition("```\n")[2]) for item in found]


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Each command of a console block, with the lines that the guide says it prints."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def test_the_guide_lists_every_built_in_node() -> None:
    assert node_table() == written_table(GUIDE), "write it anew: python -m tests.nodes.node_table"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A person's home folder, with our commands on the path and no network."""
    tools = tmp_path / "bin"
    tools.mkdir()
    python, site = shlex.quote(sys.executable), shlex.quote(str(tmp_path / "site"))
    offline = "--disable-pip-version-check --no-deps --no-build-isolation --no-index"
    scripts = {
        "safelight": f'exec {python} -c "import sys; from engine.cli import main; sys.exit(main())" "$@"',
        "pytest": f'exec {python} -m pytest -p no:cacheprovider "$@"',
        # An editable install has no place of its own to go to; the package is the same.
        "pip": f'exec {python} -m pip install --quiet {offline} --target {site} "./${{@: -1}}"',
    }
    for name, line in scripts.items():
        (tools / name).write_text(f"#!/bin/bash\n{line}\n")
        (tools / name).chmod(0o755)
    return {
        "HOME": str(tmp_path),
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{tmp_path / 'site'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "200",
        "OMP_NUM_THREADS": "1",
    }


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_the_guide_works_from_top_to_bottom(environment: dict[str, str], tmp_path: Path) -> None:
    script = ["exec 2>&1"]
    expected: list[tuple[str, list[str]]] = []
    for block in blocks():
        if block.language == "console":
            for command, lines in commands(block.text):
                script.append(f'{command}\nprintf "\\n=== {len(expected)} $?\\n"')
                expected.append((command, lines))
        else:
            assert f"`{block.file}`" in block.before, f"the guide does not say where {block.file} goes"
            folder = shlex.quote(os.path.dirname(block.file) or ".")
            script.append(
                f"mkdir -p {folder}\ncat > {shlex.quote(block.file)} <<'THE END'\n{block.text}THE END"
            )
    (tmp_path / "script.sh").write_text("\n".join(script))
    ended = subprocess.run(
        ["bash", tmp_path / "script.sh"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    answers = re.split(r"^=== (\d+) (\d+)$", ended.stdout, flags=re.MULTILINE)
    assert len(answers) == 3 * len(expected) + 1, ended.stdout
    for number, (command, lines) in enumerate(expected):
        printed, code = answers[3 * number], int(answers[3 * number + 2])
        assert (code != 0) == ("# fails" in command), f"{command}\n{printed}"
        left = squeezed(re.sub("[\u2500-\u257f]", " ", printed))
        for line in lines:
            before, found, left = left.partition(squeezed(line))
            assert found, f"$ {command}\nprints no line {line!r} after {before!r}"


def test_the_guide_uses_every_kind_of_block() -> None:
    languages = [block.language for block in blocks()]
    assert GUIDE.count("```") == 2 * len(languages), "a block that this test does not see"
    assert set(languages) == {"console", "python", "json"}
