"""`safelight nodes`: the list, one node, and the beginning of a new one."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.engine.cli.conftest import Call

ROOT = Path(__file__).parents[3]


def test_the_list_one_node_and_its_json(call: Call) -> None:
    listed = call("nodes")
    assert "  Add" in listed.out
    assert "Add two numbers." in listed.out
    shown = call("nodes", "Add")
    assert shown.out.startswith("Add@1 · test\nAdd two numbers.\n")
    assert call("nodes", "show", "Add").out == shown.out
    schema = call("nodes", "Add@1", "--json").json
    assert schema["inputs"]["b"]["description"] == "What is added."
    assert call("nodes", "--json", "Add").json == schema
    assert schema in call("nodes", "--json").json["nodes"]


def test_another_home_may_be_named_before_or_after(call: Call, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for words in (["nodes", "--home", other], ["nodes", "--home", other, "Decode"]):
        assert call(*words).code == 0
    listed = [line.split()[0] for line in call("nodes", "--home", other).out.splitlines() if line.strip()]
    assert "Decode" in listed
    assert "Add" not in listed
    assert call("nodes", "Add", "--home", other).code == 2
    assert call("nodes", "--home", other, "Add").code == 2


def test_a_broken_pack_is_named_with_its_line_where_its_node_is_asked_for(call: Call, home: Path) -> None:
    (home / "nodes" / "half.py").write_text("class Half(Node):\n    a: int = 2\n")
    assert f"{home / 'nodes' / 'half.py'}, line 1: NameError" in call("nodes").err
    answer = call("nodes", "Half")
    assert answer.code == 2
    assert "half.py, line 1: NameError: name 'Node' is not defined" in answer.err


def test_a_deprecated_node_says_so(call: Call, home: Path) -> None:
    pack = (home / "nodes" / "pack.py").read_text()
    old = pack.replace('class Add(Node, category="test")', 'class Add(Node, replaced_by="Sum")')
    (home / "nodes" / "pack.py").write_text(old)
    assert "(deprecated: use Sum instead)" in call("nodes").out
    assert "deprecated: use Sum instead" in call("nodes", "Add").out


@pytest.mark.parametrize(
    ("name", "node", "file"),
    [
        ("SharpenEdges", "SharpenEdges", "sharpen_edges"),
        ("sharpen-edges", "SharpenEdges", "sharpen_edges"),
        ("Sharpen edges", "SharpenEdges", "sharpen_edges"),
        ("RGBToLab2", "RGBToLab2", "rgb_to_lab2"),
        ("blur", "Blur", "blur"),
        ("X", "X", "x"),
    ],
)
def test_a_new_node_is_there_at_once_and_its_test_passes(
    call: Call, home: Path, name: str, node: str, file: str
) -> None:
    answer = call("nodes", "new", name, "--json").json
    pack, test = home / "nodes" / f"{file}.py", home / "nodes" / "tests" / f"test_{file}.py"
    assert answer == {"node": node, "files": [str(pack), str(test)]}
    assert call("nodes", node).out.startswith(f"{node}@1 · my nodes\n")
    assert call("nodes").err == ""
    if name == "SharpenEdges":
        assert passes(home / "nodes")


def passes(folder: Path, **environment: str) -> bool:
    """Whether the tests in a folder pass, in a process of their own that knows no other home."""
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    known = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    ended = subprocess.run(line, cwd=folder, env=known, check=True, capture_output=True, text=True)
    return "2 passed" in ended.stdout


@pytest.mark.parametrize("name", ["", "1st", "a/b", "../x", "é", "class", "x" * 61, "a\nb", "_", "--"])
def test_a_name_that_cannot_be_one_is_refused_and_nothing_is_written(
    call: Call, home: Path, name: str
) -> None:
    before = sorted(home.rglob("*"))
    answer = call("nodes", "new", "--json", "--", name)
    assert (answer.code, answer.json["problems"][0]["code"]) == (2, "bad_name")
    assert sorted(home.rglob("*")) == before


def test_nothing_is_overwritten(call: Call, home: Path, tmp_path: Path) -> None:
    assert call("nodes", "new", "add", "--json").json["problems"][0]["code"] == "name_taken"
    (home / "nodes" / "tests").mkdir()
    mine = home / "nodes" / "tests" / "test_blur.py"
    mine.write_text("mine")
    (problem,) = call("nodes", "new", "Blur", "--json").json["problems"]
    assert problem["code"] == "exists"
    assert str(mine.relative_to(tmp_path)) in problem["message"]
    assert mine.read_text() == "mine"
    assert not (home / "nodes" / "blur.py").exists()
    assert call("nodes", "new", "Kit", "--pack").code == 0
    assert call("nodes", "new", "Kit", "--pack").code == 2


def test_a_home_that_cannot_be_written_is_said(call: Call, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "nodes").write_text("a file")
    answer = call("nodes", "new", "Blur", "--home", tmp_path / "full")
    assert answer.code == 1
    assert "cannot be written" in answer.err
    assert "Traceback" not in answer.err


def test_a_package_installs_as_it_is_and_is_found_by_its_entry_point(call: Call, tmp_path: Path) -> None:
    assert call("nodes", "new", "colour kit", "--pack").code == 0
    package = tmp_path / "colour-kit"
    assert passes(package, PYTHONPATH=f"{ROOT}:{package}")
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    (site / "ours.pth").write_text(
        "\n".join(
            f"import site; site.addsitedir({folder!r})" for folder in sys.path if "site-packages" in folder
        )
    )
    offline = ["--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", *offline]
    known = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([*install, "-e", str(package)], check=True, capture_output=True)
    line = "import sys; from engine.cli import main; sys.exit(main(['nodes', 'ColourKit']))"
    told = subprocess.run(
        [python, "-c", line], cwd=tmp_path, env=known, check=True, capture_output=True, text=True
    )
    assert told.stdout.startswith("ColourKit@1 · my nodes\n")


def test_the_lines_of_a_docstring_are_joined_for_the_terminal_to_wrap(call: Call, home: Path) -> None:
    pack = (home / "nodes" / "pack.py").read_text()
    long = pack.replace('"""What is added."""', '"""What is\n    added.\n\n    Second paragraph."""')
    (home / "nodes" / "pack.py").write_text(long)
    shown = call("nodes", "Add").out
    assert "What is added." in shown
    assert "added. Second" not in shown
