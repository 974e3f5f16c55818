"""Mistakes of node authors: each becomes a problem of the node with the author's file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.document.reader import from_json
from engine.errors import GraphError, Problem
from engine.testing import computed, open_session, output, run_graph

PACK = """
from typing import NamedTuple
from pydantic import field_validator
from engine.context import Context
from engine.lazy import Lazy
from engine.node import Node
from engine.values import Json, Packed, Value

class Box(Value, wire="AuthorBox"):
    def pack(self): return Packed(self.wire, {})
    @classmethod
    def unpack(cls, meta, parts): return cls()

class PackFails(Box, wire="AuthorPackFails"):
    def pack(self): return 1 / 0  # here: MakePackFails

class PackWrong(Box, wire="AuthorPackWrong"):
    def pack(self): return "text"  # here: MakePackWrong

class PackOther(Box, wire="AuthorPackOther"):
    def pack(self): return Packed("AuthorBox", {})  # here: MakePackOther

class MakePackFails(Node):
    def run(self, ctx: Context) -> PackFails: return PackFails()

class MakePackWrong(Node):
    def run(self, ctx: Context) -> PackWrong: return PackWrong()

class MakePackOther(Node):
    def run(self, ctx: Context) -> PackOther: return PackOther()

class PrintFails(Node):
    def fingerprint(self, files): return 1 / 0  # here: PrintFails
    def run(self, ctx: Context) -> int: return 1

class PrintNan(Node):
    def fingerprint(self, files): return float("nan")  # here: PrintNan
    def run(self, ctx: Context) -> int: return 1

class PrintObject(Node):
    def fingerprint(self, files): return [object()]  # here: PrintObject
    def run(self, ctx: Context) -> int: return 1

class Refuses(Node):
    a: int = 1
    @field_validator("a")
    @classmethod
    def check(cls, a):
        return [][a] if a == 5 else a  # here: Refuses
    def run(self, ctx: Context) -> int: return 1

class RunFails(Node):
    def run(self, ctx: Context) -> int:
        return sorted([1, "a"])  # here: RunFails

class WritesInput(Node):
    a: int = 1
    def run(self, ctx: Context) -> int:
        self.a = 2  # here: WritesInput
        return self.a

class ReturnsText(Node):
    def run(self, ctx: Context) -> int: return "x"  # here: ReturnsText

class ReturnsNone(Node):
    def run(self, ctx: Context) -> int: return None  # here: ReturnsNone

class Two(NamedTuple):
    out: int
    more: int

class ReturnsTuple(Node):
    def run(self, ctx: Context) -> Two: return (1, 2)  # here: ReturnsTuple

class ReturnsOther(Node):
    def run(self, ctx: Context) -> PackFails: return Box()  # here: ReturnsOther

class ReturnsNan(Node):
    def run(self, ctx: Context) -> float: return float("nan")  # here: ReturnsNan

class ReturnsDeepNan(Node):
    def run(self, ctx: Context) -> dict: return {"a": [(1.0, float("inf"))]}  # here: ReturnsDeepNan

class ReturnsHalf(Node):
    def run(self, ctx: Context) -> str: return "\\ud800 x"  # here: ReturnsHalf

class ReturnsDeepHalf(Node):
    def run(self, ctx: Context) -> dict: return {"é\\udfff": 1}  # here: ReturnsDeepHalf

class ReturnsWhole(Node):
    def run(self, ctx: Context) -> dict: return {"é": ["\U0001f600", None, 1.5]}

class UpgradeFails(Node, version=3):
    a: int = 1
    @classmethod
    def upgrade(cls, inputs, version):
        return {"a": inputs["nope"]}  # here: UpgradeFails
    def run(self, ctx: Context) -> int: return 1

class UpgradeNone(Node, version=3):
    a: int = 1
    @staticmethod  # here: UpgradeNone
    def upgrade(inputs, version): inputs.pop("a")
    def run(self, ctx: Context) -> int: return 1

class AsksFails(Node):
    a: Lazy[int]
    def asks(self): return 1 / 0  # here: AsksFails
    def run(self, ctx: Context) -> int: return 1

class AsksNone(Node):
    a: Lazy[int]
    def asks(self): return None  # here: AsksNone
    def run(self, ctx: Context) -> int: return 1

class AsksText(Node):
    a: Lazy[int]
    def asks(self): return "a"  # here: AsksText
    def run(self, ctx: Context) -> int: return 1

class AsksOther(Node):
    a: Lazy[int]
    def asks(self): return ["b"]  # here: AsksOther
    def run(self, ctx: Context) -> int: return 1

class TakesAny(Node):
    a: Json
    def run(self, ctx: Context) -> int: return 1

class ShowFails(Box, wire="AuthorShowFails"):
    def summary(self): return 1 / 0
    def preview(self): return 1 / 0

class MakeShowFails(Node):
    def run(self, ctx: Context) -> ShowFails:
        ctx.preview(ShowFails())
        return ShowFails()

class UnpackWrong(Box, wire="AuthorUnpackWrong"):
    @classmethod
    def unpack(cls, meta, parts): return None

class MakeUnpackWrong(Node):
    def run(self, ctx: Context) -> UnpackWrong: return UnpackWrong()

class UseUnpackWrong(Node):
    box: UnpackWrong
    n: int = 0
    def run(self, ctx: Context) -> int: return self.n
"""
LINES = {
    line.rpartition("# here: ")[2]: n for n, line in enumerate(PACK.splitlines(), 1) if "# here: " in line
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "faulty.py").write_text(PACK)
    return tmp_path


def graph_of(name: str, **inputs: Any) -> dict[str, Any]:
    kind = f"{name}@1" if name.startswith("Upgrade") else name
    return {
        "safelight": 1,
        "nodes": {"n": {"type": kind, "inputs": inputs}},
        "outputs": {"out": {"from": "n.out"}},
    }


def problem_of(home: Path, name: str) -> Problem:
    inputs = {"a": 5} if name.startswith(("Refuses", "Upgrade", "Asks")) else {}
    try:
        report = run_graph(graph_of(name, **inputs), home=home)
    except GraphError as error:
        (problem,) = error.problems
    else:
        (problem,) = [node.problem for node in report.nodes.values() if node.problem is not None]
    return problem


@pytest.mark.parametrize("name", LINES)
def test_a_mistake_is_placed_in_the_author_s_file(home: Path, name: str) -> None:
    problem = problem_of(home, name)
    assert problem.node == "n"
    assert problem.code in ("node_failed", "bad_upgrade")
    assert f"{home / 'nodes' / 'faulty.py'}, line {LINES[name]}" in str(problem.hint)


@pytest.mark.parametrize("name", ["ReturnsNan", "ReturnsDeepNan", "ReturnsHalf", "ReturnsDeepHalf"])
def test_what_no_json_file_can_hold_fails_the_node_before_any_other_reads_it(home: Path, name: str) -> None:
    graph = graph_of("TakesAny", a={"from": "made.out"})
    graph["nodes"]["made"] = {"type": name}
    report = run_graph(graph, home=home)
    assert {node: fared.state for node, fared in report.nodes.items()} == {"made": "failed", "n": "skipped"}


def test_any_other_text_and_number_is_returned(home: Path) -> None:
    assert output(run_graph(graph_of("ReturnsWhole"), home=home)) == {"é": ["\U0001f600", None, 1.5]}


@pytest.mark.parametrize("name", ["PrintNan", "PrintObject"])
def test_a_fingerprint_that_is_not_json_has_a_hint_about_pure(home: Path, name: str) -> None:
    assert "pure=False" in str(problem_of(home, name).hint)


HOOKS = """
from engine.context import Context
from engine.node import Node

class Plain(Node):
    def run(self, ctx: Context) -> int: return 1

def annotate(steps, target, index):
    return steps[1]  # annotate

def advise(steps, files):
    return [][2]  # advise

def measure(steps, files):
    return [][2]  # measure

def import_graph(foreign, files):
    if foreign.text == "fails":
        return [][3]  # import_graph
    return "a graph" if foreign.text == "wrong" else None
"""


def hook_line(name: str) -> int:
    return next(n for n, line in enumerate(HOOKS.splitlines(), 1) if line.endswith(f"# {name}"))


def test_a_mistake_in_a_hook_is_placed_in_the_author_s_file(tmp_path: Path) -> None:
    file = tmp_path / "nodes" / "hooks.py"
    file.parent.mkdir()
    file.write_text(HOOKS)
    with open_session(tmp_path) as session:
        (advice,) = session.advice(session.check(from_json(graph_of("Plain"))))
        assert advice.hint == f"{file}, line {hook_line('advise')}"
        assert "advise of the node pack safelight_user_nodes.hooks failed: IndexError" in advice.message
        texts, (problem,) = session.text_lengths(session.check(from_json(graph_of("Plain"))))
        assert (texts, problem.hint) == ([], f"{file}, line {hook_line('measure')}")
        for text, line in (("fails", hook_line("import_graph")), ("wrong", hook_line("import_graph") - 2)):
            foreign = tmp_path / "foreign.txt"
            foreign.write_text(text)
            with pytest.raises(GraphError) as caught:
                session.load(foreign)
            (problem,) = caught.value.problems
            assert problem.code == "pack_failed"
            assert problem.message.startswith(f"{foreign}: import_graph of the node pack")
            assert f"{file}, line {line}" in str(problem.hint)


def test_a_widget_that_cannot_be_described_breaks_its_pack_alone(tmp_path: Path) -> None:
    file = tmp_path / "nodes" / "widgets.py"
    file.parent.mkdir()
    file.write_text(
        "from typing import Annotated\nfrom engine.context import Context\nfrom engine.node import Node\n"
        "from engine.widgets import Widget\nclass Dial(Widget):\n    def describe(self): return 1 / 0\n"
        "class Turn(Node):\n    angle: Annotated[float, Dial()] = 0.0\n"
        "    def run(self, ctx: Context) -> float: return self.angle\n"
    )
    with open_session(tmp_path) as session:
        (problem,) = session.registry.problems
    assert f"{file}, line 8" in problem.message
    assert "its Dial cannot be described: ZeroDivisionError" in problem.message
    assert f"{file}, line 6" in problem.message


def test_a_failing_summary_or_preview_harms_no_run(home: Path) -> None:
    assert run_graph(graph_of("MakeShowFails"), home=home).state == "done"


def test_a_value_that_does_not_come_back_from_bytes_is_made_again(home: Path) -> None:
    for n in (1, 2):
        graph = graph_of("UseUnpackWrong", n=n, box={"from": "make.out"})
        graph["nodes"]["make"] = {"type": "MakeUnpackWrong"}
        report = run_graph(graph, home=home)
        assert computed(report) == {"make", "n"}
        assert output(report) == n


def test_an_argument_that_a_value_class_refuses_is_a_mistake_of_the_pack(tmp_path: Path) -> None:
    pack = tmp_path / "nodes" / "draws.py"
    pack.parent.mkdir()
    lines = [
        "import numpy",
        "from engine.context import Context",
        "from engine.node import Node",
        "from nodes.values import Image",
        "def made(array): return Image(array)",
        "class Draw(Node):",
        "    def run(self, ctx: Context) -> Image: return made(numpy.zeros((1, 8, 8, 3)))",
    ]
    pack.write_text("\n".join(lines))
    report = run_graph({"safelight": 1, "nodes": {"draw": {"type": "Draw"}}}, home=tmp_path, targets=["draw"])
    problem = report.nodes["draw"].problem
    assert problem is not None
    assert problem.hint == f"{pack}, line 5"
