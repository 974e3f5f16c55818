"""A user's packs: read again when they change, broken without harm, mended without a restart."""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import pytest

from engine import settings
from engine.digests import FileDigests
from engine.document.reader import from_json
from engine.errors import GraphError
from engine.packs import outside_code, stamps
from engine.packs.registry import Registry
from engine.session import Session
from engine.testing import assert_cached, computed, output
from engine.values import Value

ADD = '''
from engine.context import Context
from engine.node import Node

class Add(Node):
    """Add."""

    a: int = 0

    def run(self, ctx: Context) -> int:
        return self.a + {more}
'''

GRAPH = {
    "safelight": 1,
    "outputs": {"out": {"from": "add.out"}},
    "nodes": {"add": {"type": "Add@1", "inputs": {"a": 5}}},
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "nodes").mkdir()
    return tmp_path


@pytest.fixture
def session(home: Path) -> Iterator[Session]:
    with Session(settings.load(home, device="cpu")) as session:
        yield session
        session.registry.close()


def write(file: Path, text: str) -> None:
    """Save as an editor does, and as another moment's file, even within one tick of the clock."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def run(session: Session, tree: dict[str, Any] = GRAPH) -> Any:
    return output(session.run(from_json(tree)), "out")


def refused(session: Session) -> str:
    with pytest.raises(GraphError) as caught:
        session.run(from_json(GRAPH))
    return str(caught.value)


def said(registry: Registry) -> list[tuple[str, str]]:
    return [(problem.code, problem.message) for problem in registry.problems]


def test_a_saved_file_counts_at_the_next_run_and_its_old_results_do_not(session: Session, home: Path) -> None:
    write(home / "nodes" / "add.py", ADD.format(more=1))
    assert run(session) == 6
    write(home / "nodes" / "add.py", ADD.format(more=2))
    assert run(session) == 7
    write(home / "nodes" / "add.py", ADD.format(more=1))
    again = session.run(from_json(GRAPH))
    assert output(again) == 6
    assert_cached(again)


def test_unchanged_packs_are_not_read_again(session: Session, home: Path) -> None:
    file = home / "nodes" / "add.py"
    write(file, ADD.format(more=1))
    kind = session.registry.types["Add"]
    assert not session.registry.refresh()
    os.utime(file, (1, 1))
    assert not session.registry.refresh(), "the same bytes with another date are the same"
    assert session.registry.types["Add"] is kind
    write(file, ADD.format(more=2))
    assert session.registry.refresh()
    assert session.registry.types["Add"] is not kind


def test_a_look_at_what_has_lain_for_long_is_a_stat_and_misses_nothing(
    session: Session, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps, "_SETTLED_SECONDS", -3600.0)
    folder = home / "nodes" / "kit"
    write(folder / "__init__.py", ADD.format(more=1))
    (folder / "data" / "deep").mkdir(parents=True)
    (home / "nodes" / "later").mkdir()
    assert run(session) == 6
    session.registry.refresh()
    with monkeypatch.context() as patch:
        patch.setattr(FileDigests, "digest", None)
        assert not session.registry.refresh(), "no file is even looked into"

    def seen(change: Callable[[], object]) -> bool:
        sleep(0.02)  # a tick of the file system's clock
        change()
        return session.registry.refresh()

    assert seen(lambda: write(folder / "__init__.py", ADD.format(more=10)))
    assert seen(lambda: write(folder / "data" / "deep" / "colours.json", "[]"))
    assert seen(lambda: write(folder / "data" / "deep" / "colours.json", "[1]"))
    assert seen(lambda: write(home / "nodes" / "sum.py", ADD.format(more=1).replace("Add", "Sum")))
    assert seen(lambda: write(home / "nodes" / "later" / "__init__.py", "x = 1"))
    assert seen(lambda: write(home / "nodes" / "sum.py", "("))
    assert seen(lambda: (home / "nodes" / "sum.py").rename(home / "nodes" / "total.py"))
    assert seen((folder / "data" / "deep" / "colours.json").unlink)
    assert seen(lambda: (home / "nodes").rename(home / "away"))
    assert "Add" not in session.registry.types
    assert seen(lambda: (home / "away").rename(home / "nodes"))
    assert run(session) == 15


def test_files_come_and_go(session: Session, home: Path) -> None:
    assert "'Add'" in refused(session)
    write(home / "nodes" / "add.py", ADD.format(more=1))
    assert run(session) == 6
    (home / "nodes" / "add.py").rename(home / "nodes" / "sum.py")
    assert_cached(session.run(from_json(GRAPH)))
    (home / "nodes" / "sum.py").unlink()
    assert "the node type 'Add' does not exist" in refused(session)


def test_every_file_of_a_folder_is_part_of_its_code(session: Session, home: Path) -> None:
    folder = home / "nodes" / "adding"
    code = ADD.format(more="more()").replace("class", "from .inner.more import more\n\nclass", 1)
    write(folder / "__init__.py", code)
    write(
        folder / "inner" / "more.py",
        "from pathlib import Path\n"
        "def more(): return int((Path(__file__).parents[1] / 'more.txt').read_text())",
    )
    write(folder / "more.txt", "1")
    assert run(session) == 6
    write(folder / "more.txt", "3")
    assert run(session) == 8
    write(folder / "inner" / "more.py", "def more(): return 10")
    assert run(session) == 15
    write(folder / ".more", "a dot-file is read like any other")
    assert session.registry.refresh()
    write(folder / ".git" / "index", "no part of it")
    write(folder / ".more.swp", "nor this")
    write(folder / "__pycache__" / "more.pyc", "nor this")
    assert not session.registry.refresh()


def test_a_change_reaches_the_packs_that_import_it(session: Session, home: Path) -> None:
    code = ADD.format(more="MORE").replace("class", "from safelight_user_nodes.z import MORE\n\nclass", 1)
    write(home / "nodes" / "a.py", code)
    write(home / "nodes" / "z.py", "MORE = 1")
    assert run(session) == 6
    write(home / "nodes" / "z.py", "MORE = 4")
    assert run(session) == 9
    (home / "nodes" / "z.py").unlink()
    assert "correct the pack z, or restore it" in str(*self_problems(session))
    write(home / "nodes" / "z.py", "MORE = 5")
    assert run(session) == 10


IMPORTS = {
    "relative": ("from .helper import more", ""),
    "relative module": ("from . import helper\nmore = lambda: helper.more()", ""),
    "absolute": ("from safelight_user_nodes.helper import more", ""),
    "package": ("from safelight_user_nodes import helper\nmore = lambda: helper.more()", ""),
    "late": ("", "from .helper import more"),
    "late module": ("", "from . import helper; more = helper.more"),
    "importlib": (
        "import importlib",
        "name = 'helper'; more = importlib.import_module('.' + name, __package__).more",
    ),
    "importlib aliased": (
        "from importlib import import_module as load",
        "more = load('safelight_user_nodes.' + ''.join(['help', 'er'])).more",
    ),
    "through another": ("from .between import more", ""),
}


@pytest.mark.parametrize("how", IMPORTS)
def test_a_helper_that_is_imported_in_any_way_is_part_of_the_code(
    session: Session, home: Path, how: str
) -> None:
    top, inside = IMPORTS[how]
    code = ADD.format(more="more()").replace("class", f"{top}\n\nclass", 1)
    write(home / "nodes" / "add.py", code.replace("return", f"{inside or 'pass'}\n        return"))
    write(home / "nodes" / "between.py", "from .helper import more")
    write(home / "nodes" / "helper.py", "def more(): return 1")
    assert run(session) == 6
    assert_cached(session.run(from_json(GRAPH)))
    write(home / "nodes" / "helper.py", "def more(): return 4")
    assert run(session) == 9
    write(home / "nodes" / "apart.py", "X = 1")
    if not how.startswith("importlib"):  # a computed name may mean any file
        assert_cached(session.run(from_json(GRAPH)))


def test_a_folder_imports_helpers_beside_it(session: Session, home: Path) -> None:
    code = ADD.format(more="more()").replace("class", "from .inner.deep import more\n\nclass", 1)
    write(home / "nodes" / "adding" / "__init__.py", code)
    write(home / "nodes" / "adding" / "inner" / "deep.py", "from ..._helper import more")
    write(home / "nodes" / "_helper.py", "def more(): return 1")
    assert run(session) == 6
    write(home / "nodes" / "_helper.py", "def more(): return 4")
    assert run(session) == 9


LATE = {"at the top": ("import outside_helper", ""), "in run": ("", "import outside_helper")}


@pytest.mark.parametrize("how", LATE)
def test_a_module_outside_of_the_nodes_folder_is_part_of_the_code(tmp_path: Path, how: str) -> None:
    """Each process imports it once, so that another one sees the change."""
    top, inside = LATE[how]
    code = ADD.format(more="outside_helper.more()").replace("class", f"{top}\n\nclass", 1)
    code = code.replace("return", f"{inside or 'pass'}\n        return")
    write(tmp_path / "home" / "nodes" / "add.py", code)
    write(tmp_path / "path" / "outside_helper.py", "from outside_inner import more")
    results = []
    for more in (1, 4):
        write(tmp_path / "path" / "outside_inner.py", f"def more(): return {more}")
        results.append(in_a_process(tmp_path / "home", tmp_path / "path"))
    assert results == ["6", "9"]


def test_a_data_file_of_a_module_outside_of_the_nodes_folder_is_part_of_the_code(tmp_path: Path) -> None:
    package = tmp_path / "path" / "outside_helper"
    write(
        tmp_path / "home" / "nodes" / "add.py",
        "import outside_helper\n" + ADD.format(more="outside_helper.more()"),
    )
    reads = (
        "from pathlib import Path\ndef more(): return int(Path(__file__).with_name('.amount').read_text())"
    )
    write(package / "__init__.py", reads)
    results = []
    for more in (1, 4):
        write(package / ".amount", str(more))
        results.append(in_a_process(tmp_path / "home", tmp_path / "path"))
    assert results == ["6", "9"]


def in_a_process(home: Path, path: Path) -> str:
    code = (
        "import sys; from pathlib import Path; from engine.testing import *\n"
        f"print(output(run_graph({GRAPH!r}, home=Path(sys.argv[1]))))"
    )
    search = os.pathsep.join([str(path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": search, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(home)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Shop:
    """Distributions that are installed in a folder, as pip leaves them."""

    def __init__(self, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._site = site
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.setattr(outside_code, "_INSTALLED", (site.resolve(), *outside_code._INSTALLED))

    def install(self, name: str, version: str, more: int) -> None:
        write(self._site / name / "__init__.py", ADD.format(more=more))
        for old in self._site.glob(f"{name}-*.dist-info"):
            shutil.rmtree(old)
        info = self._site / f"{name}-{version}.dist-info"
        write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        write(info / "entry_points.txt", f"[safelight.nodes]\n{name} = {name}\n")
        sys.modules.pop(name, None)
        importlib.invalidate_caches()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    yield Shop(tmp_path / "site", monkeypatch)
    for name in ("toolshed_one", "toolshed_two"):
        sys.modules.pop(name, None)


def test_an_installed_pack_has_new_keys_after_an_upgrade(shop: Shop, home: Path) -> None:
    results = []
    for version, more in (("1.0", 1), ("1.0", 1), ("1.1", 4)):
        shop.install("toolshed_one", version, more)
        with Session(settings.load(home, device="cpu")) as session:
            results.append((run(session), session.registry.types["Add"].code))
    assert [result for result, _ in results] == [6, 6, 9]
    assert results[0] == results[1]
    assert "" not in {code for _, code in results}


def test_two_installed_packs_with_a_type_of_one_name_share_no_result(shop: Shop, home: Path) -> None:
    shop.install("toolshed_one", "1.0", 1)
    shop.install("toolshed_two", "1.0", 4)
    with Session(settings.load(home, device="cpu")) as session:
        first, second = session.registry.types["Add"], session.registry.types["toolshed_two/Add"]
        assert first.code != second.code
        assert [problem.code for problem in session.registry.problems] == ["name_taken"]
        nodes = {"add": {"type": "toolshed_two/Add@1", "inputs": {"a": 5}}}
        assert (run(session), run(session, {**GRAPH, "nodes": nodes})) == (6, 9)
        assert session.registry.types["Decode"].code == "", "built-in types change by version"


def self_problems(session: Session) -> list[Any]:
    session.registry.refresh()
    return session.registry.problems


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("x = 1\ndef (", 2, "SyntaxError: invalid syntax"),
        ("import no_such_module_at_all", 1, "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("\n\n1 / 0", 3, "ZeroDivisionError: division by zero"),
        ("import json\nx = json.loads('{')", 2, "JSONDecodeError"),
        ("import sys\nsys.exit(3)", 2, "SystemExit: 3"),
        (ADD.format(more=1).replace("a: int = 0", "a = 0"), 8, "Add.a: it has no annotation"),
        (ADD.format(more=1).replace("a: int = 0", "a: int = 'x'"), 8, "Add.a: its default must be"),
        (
            ADD.format(more=1).replace("a: int = 0", "copy: int = 0"),
            8,
            "Add.copy: every node has an attr",
        ),
        (ADD.format(more=1).replace("a: int", "a: object"), 8, "Add.a: <class 'object'> is not a wire type"),
        (ADD.format(more=1).replace(" -> int", ""), 10, "Add.run: declare what it returns"),
        (ADD.format(more=1).replace("(Node)", "(Node, verson=2)"), 5, "Add: unknown class keyword verson"),
    ],
)
def test_a_broken_pack_is_named_by_the_users_file_and_line(
    session: Session, home: Path, text: str, line: int, what: str
) -> None:
    file = home / "nodes" / "mine.py"
    write(file, text)
    write(home / "nodes" / "other.py", ADD.format(more=1).replace("Add", "Other"))
    (problem,) = session.registry.problems
    assert (problem.code, problem.severity) == ("broken_pack", "warning")
    assert f"{file}, line {line}: {what}" in problem.message
    assert problem.message.count("\n") == 0
    assert problem.hint
    assert "Other" in session.registry.types
    write(file, ADD.format(more=1))
    assert run(session) == 6
    assert session.registry.problems == []


def test_while_a_pack_is_broken_its_types_are_missing_and_the_graph_is_told_why(
    session: Session, home: Path
) -> None:
    file = home / "nodes" / "add.py"
    write(file, ADD.format(more=1))
    assert run(session) == 6
    write(file, ADD.format(more="("))
    session.registry.refresh()
    assert "Add" not in session.registry.types
    hint = session.registry.near("Add")
    assert hint is not None
    assert f"{file}, line 11: SyntaxError" in hint
    assert "Add" in str(session.registry.problems[0].hint)
    assert "the node type 'Add' does not exist" in refused(session)


def test_two_files_that_claim_one_name_are_both_named(session: Session, home: Path) -> None:
    write(home / "nodes" / "a.py", ADD.format(more=1))
    write(home / "nodes" / "b.py", "# a copy\n" + ADD.format(more=2))
    assert run(session) == 6
    (problem,) = session.registry.problems
    assert problem.code == "name_taken"
    assert f"{home / 'nodes' / 'b.py'}, line 6" in problem.message
    assert f"{home / 'nodes' / 'a.py'}, line 5" in problem.message
    (home / "nodes" / "a.py").unlink()
    assert run(session) == 7
    assert session.registry.problems == []


def test_a_pack_cannot_take_the_name_of_a_built_in_node(session: Session, home: Path) -> None:
    write(home / "nodes" / "a.py", ADD.format(more=1).replace("Add", "Decode"))
    assert session.registry.types["Decode"].code == ""
    (problem,) = session.registry.problems
    assert problem.code == "name_taken"
    assert "nodes.latent.decode" in problem.message
    assert '"a/Decode"' in str(problem.hint)
    assert "a/Decode" not in Registry.find().types


def test_a_type_whose_name_is_taken_is_reached_through_its_pack(session: Session, home: Path) -> None:
    write(home / "nodes" / "a.py", ADD.format(more=1))
    write(home / "nodes" / "b.py", ADD.format(more=2))
    for kind, result in (("Add@1", 6), ("b/Add@1", 7), ("b/Add", 7)):
        nodes = {"add": {"type": kind, "inputs": {"a": 5}}}
        assert run(session, {**GRAPH, "nodes": nodes}) == result


def test_a_node_without_run_is_most_likely_a_slip(session: Session, home: Path) -> None:
    write(home / "nodes" / "a.py", ADD.format(more=1).replace("def run", "def execute"))
    (problem,) = session.registry.problems
    assert problem.code == "no_node"
    assert f"{home / 'nodes' / 'a.py'}, line 5: Add has no run()" in problem.message


VALUE = """
from dataclasses import dataclass
from engine.context import Context
from engine.node import Node
from engine.values import Packed, Value

@dataclass(frozen=True)
class Palette(Value, wire="acme/Palette"):
    names: tuple[str, ...]
    def pack(self):
        return Packed(self.wire, list(self.names))
    @classmethod
    def unpack(cls, meta, parts):
        return cls(tuple(meta))

class MakeColours(Node):
    def run(self, ctx: Context) -> Palette:
        return Palette(("red", {second!r}))

class CountColours(Node):
    palette: Palette
    def run(self, ctx: Context) -> int:
        return len(self.palette.names) + {more}
"""

COUNT = {
    "safelight": 1,
    "outputs": {"out": {"from": "count.out"}},
    "nodes": {
        "make": {"type": "MakeColours@1", "inputs": {}},
        "count": {"type": "CountColours@1", "inputs": {"palette": {"from": "make.out"}}},
    },
}


def test_a_wire_type_may_be_declared_anew_and_its_file_renamed(session: Session, home: Path) -> None:
    file = home / "nodes" / "colours.py"
    write(file, VALUE.format(second="blue", more=0))
    assert run(session, COUNT) == 2
    old = Value.types["acme/Palette"]
    write(file, VALUE.format(second="blue", more=1))
    assert run(session, COUNT) == 3
    assert Value.types["acme/Palette"] is not old
    file.rename(home / "nodes" / "palette.py")
    assert_cached(session.run(from_json(COUNT)))
    assert session.registry.problems == []
    (home / "nodes" / "palette.py").unlink()
    session.registry.refresh()
    assert "acme/Palette" not in Value.types


def test_two_packs_cannot_declare_one_wire_type(session: Session, home: Path) -> None:
    write(home / "nodes" / "a.py", VALUE.format(second="blue", more=0))
    write(home / "nodes" / "b.py", VALUE.format(second="blue", more=0))
    (problem,) = session.registry.problems
    assert f"{home / 'nodes' / 'b.py'}, line 8: TypeError: the wire type acme/Palette is" in problem.message
    assert "safelight_user_nodes.a.Palette already" in problem.message
    assert 'wire="my_pack/Palette"' in problem.message


def packages(name: str) -> set[str]:
    """The loaded versions of a pack in a home's `nodes` folder."""
    return {
        module.split(".")[1] for module in sys.modules if module.startswith(f"safelight_user_nodes.{name}@")
    }


def test_a_plan_goes_on_with_the_code_that_it_was_made_for(session: Session, home: Path) -> None:
    folder = home / "nodes" / "adding"
    late = ADD.format(more="self.more()") + (
        "\n    def more(self) -> int:\n        from .late import MORE\n        return MORE\n"
    )
    earlier = packages("adding")
    write(folder / "__init__.py", late)
    write(folder / "late.py", "MORE = 1")
    before = session.plan(from_json(GRAPH))
    write(folder / "late.py", "MORE = 2")
    assert run(session) == 7
    report = session.run_plan(before)
    assert computed(report) == {"add"}
    assert output(report) == 6, "the module that it imports late is the one that its key speaks of"
    assert len(packages("adding") - earlier) == 2
    del before, report
    gc.collect()  # plans may be parts of reference cycles
    assert len(packages("adding") - earlier) == 1, "with the last plan, its modules go"


def test_values_of_the_old_class_are_still_of_their_type(session: Session, home: Path) -> None:
    file = home / "nodes" / "colours.py"
    write(file, VALUE.format(second="blue", more=0))
    before = session.plan(from_json(COUNT))
    write(file, VALUE.format(second="blue", more=1))
    assert run(session, COUNT) == 3
    report = session.run_plan(before)
    assert computed(report) == {"make", "count"}
    assert output(report) == 2


def test_a_folder_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "a.py").symlink_to(tmp_path / "nowhere.py")
    registry = Registry.find([tmp_path / "nodes"])
    assert [code for code, _ in said(registry)] == ["broken_pack"]
    assert "a.py cannot be read: No such file" in registry.problems[0].message


def test_a_pack_that_imports_its_own_files_wrongly_is_told_how(session: Session, home: Path) -> None:
    write(home / "nodes" / "kit" / "__init__.py", "from colours import RED")
    write(home / "nodes" / "kit" / "colours.py", "RED = 1")
    write(home / "nodes" / "lone.py", "import helper")
    write(home / "nodes" / "helper.py", "")
    kit, lone = (str(problem.hint) for problem in session.registry.problems)
    assert "write `from .colours import ...`" in kit
    assert "write `from .helper import ...`" in lone


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"\xff\xfe", "SyntaxError"),
        (b"# coding: nonsense\n", "SyntaxError: unknown encoding"),
        (b"def f(): return f()\nf()", "RecursionError"),
        (b"class E(Exception):\n    def __str__(self): 1 / 0\nraise E", "E"),
        (b"import sys\nsys.modules[__name__] = None", None),
        (b"", None),
        (b"__all__ = 5\nx = y = z = ...", None),
        (b"from engine.node import Node as Add", None),
    ],
)
def test_odd_files_do_not_stand_in_the_way(session: Session, home: Path, text: bytes, what: str) -> None:
    (home / "nodes" / "odd.py").write_bytes(text)
    write(home / "nodes" / "add.py", ADD.format(more=1))
    assert run(session) == 6
    told = [problem.message for problem in session.registry.problems]
    assert [what in message for message in told] == ([True] if what else [])


def test_ctrl_c_while_a_pack_loads_passes_and_leaves_no_pack_behind(session: Session, home: Path) -> None:
    write(home / "nodes" / "add.py", ADD.format(more=1))
    assert run(session) == 6
    write(home / "nodes" / "add.py", ADD.format(more=2))
    write(home / "nodes" / "slow.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        session.registry.refresh()
    (home / "nodes" / "slow.py").unlink()
    assert run(session) == 7


def test_a_folder_that_links_to_itself_is_read_once(session: Session, home: Path) -> None:
    folder = home / "nodes" / "adding"
    write(folder / "__init__.py", ADD.format(more=1))
    (folder / "again").symlink_to(folder, target_is_directory=True)
    assert run(session) == 6
    assert session.registry.problems == []


def test_two_packs_that_import_each_other_are_both_told(session: Session, home: Path) -> None:
    write(home / "nodes" / "a.py", "from safelight_user_nodes.b import X")
    write(home / "nodes" / "b.py", "from safelight_user_nodes.a import X")
    assert [problem.code for problem in session.registry.problems] == ["broken_pack", "broken_pack"]
    write(home / "nodes" / "b.py", "X = 1")
    session.registry.refresh()
    assert session.registry.problems == []


def test_saving_while_others_run_harms_no_run(session: Session, home: Path) -> None:
    file = home / "nodes" / "add.py"
    write(file, ADD.format(more=1))
    assert run(session) == 6
    failures: list[BaseException] = []
    sums: list[int] = []

    def again() -> None:
        try:
            for n in range(30):
                tree = {**GRAPH, "nodes": {"add": {"type": "Add@1", "inputs": {"a": 1000 * n}}}}
                sums.append(run(session, tree) - 1000 * n)
        except BaseException as error:
            failures.append(error)

    threads = [Thread(target=again) for _ in range(3)]
    for thread in threads:
        thread.start()
    more = 0
    while any(thread.is_alive() for thread in threads):
        more = more % 9 + 1
        draft = home / "draft"
        write(draft, ADD.format(more=more))
        draft.replace(file)
    for thread in threads:
        thread.join()
    assert not failures
    assert len(sums) == 90
    assert set(sums) <= set(range(1, 10))


@dataclass(frozen=True, slots=True)
class Slotted(Value, wire="SlottedThing"):
    """A dataclass with slots is a second class, made of the first."""

    name: str


def test_a_value_class_that_is_made_again_keeps_its_type() -> None:
    assert Slotted.wire == "SlottedThing"
    assert Slotted.kinds == {"SlottedThing", "Value"}
    for wire in ("text", "list of Image", "", "a b", 5):
        with pytest.raises(TypeError, match="cannot name a wire type"):
            type("Bad", (Value,), {}, wire=wire)
