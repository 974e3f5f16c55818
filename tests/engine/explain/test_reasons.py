"""Why a step runs, in words, held against what was done to the graph or the world since it last ran."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest

from engine import settings
from engine.context import Context
from engine.document.graph import Entry, From, Graph, Literal
from engine.files import Files
from engine.lazy import Lazy
from engine.node import Node
from engine.packs.registry import Registry
from engine.plan import keys
from engine.session import Session
from engine.values import Json
from engine.widgets import FileIn
from tests.engine.small_nodes import Act, Broken, Mix, Settings, Split

NEW = "new: never run in this graph"


class Read(Node):
    """Read a file."""

    file: Annotated[str, FileIn("inputs")]

    def fingerprint(self, files: Files) -> Json:
        return files.digest(files.find("inputs", self.file))

    def run(self, ctx: Context) -> str:
        return ctx.files.find("inputs", self.file).read_text()


class Measure(Node, libraries=("numpy",), accelerator=True):
    """Measure a text."""

    text: str

    def run(self, ctx: Context) -> int:
        return len(self.text)


class Either(Node):
    """Hand on one of two numbers."""

    first: Lazy[int]
    second: Lazy[int]
    take: bool = True

    def asks(self) -> tuple[str, ...]:
        return ("first",) if self.take else ("second",)

    def run(self, ctx: Context) -> int:
        return self.first.get() if self.take else self.second.get()


class Say(Node):
    """Say a text."""

    text: str

    def run(self, ctx: Context) -> str:
        return self.text


class Numbers(Node):
    """Say some numbers."""

    numbers: list[int]

    def run(self, ctx: Context) -> list[int]:
        return self.numbers


class Table(Node):
    """Count the rows of a table."""

    rows: list[list[int]]

    def run(self, ctx: Context) -> int:
        return len(self.rows)


TYPES: list[type[Node]] = [Table, Mix, Split, Act, Broken, Settings, Read, Measure, Either, Say, Numbers]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "photo.png").write_text("a photo")
    return tmp_path


@pytest.fixture
def session(home: Path) -> Iterator[Session]:
    with Session(settings.load(home), registry=Registry(TYPES)) as session:
        yield session


def graph(**nodes: tuple[str, dict[str, Any]]) -> Graph:
    """A graph in short: links are written as `{"a": "@node.output"}`."""

    def bound(value: Any) -> Any:
        return From(*value[1:].split(".")) if str(value).startswith("@") else Literal(value)

    entries = {
        node: Entry(kind, {name: bound(value) for name, value in inputs.items()})
        for node, (kind, inputs) in nodes.items()
    }
    return Graph(entries, title="graph")


def chain(count: int = 3, salt: int = 1, **first: Any) -> Graph:
    nodes: dict[str, Any] = {"n0": ("Mix@1", {"salt": salt, **first})}
    nodes |= {f"n{n}": ("Mix@1", {"a": f"@n{n - 1}.out", "salt": n}) for n in range(1, count)}
    return graph(**nodes)


def why(session: Session, of: Graph, **more: Any) -> dict[str, str]:
    """Why each step runs that does."""
    plan = session.plan(of, **more)
    reasons = session.reasons(plan)
    return {step.id: reasons.why(step) for step in plan.steps.values() if "run" in step.action}


def reasons_of(session: Session, of: Graph) -> dict[str, str]:
    """The reason of each step."""
    plan = session.plan(of)
    reasons = session.reasons(plan)
    return {node: reasons.why(step) for node, step in plan.steps.items()}


def test_a_graph_that_never_ran_is_new(session: Session) -> None:
    assert why(session, chain()) == {"n0": NEW, "n1": NEW, "n2": NEW}


def test_the_report_gives_the_reasons_that_the_plan_gave(session: Session) -> None:
    assert {node.reason for node in session.run(chain()).nodes.values()} == {NEW}
    planned = why(session, chain(salt=2))
    assert planned == {"n0": "salt is 2, was 1", "n1": "salt changed in `n0`", "n2": "salt changed in `n0`"}
    report = session.run(chain(salt=2))
    assert {node: item.reason for node, item in report.nodes.items()} == planned
    assert why(session, chain(salt=2)) == {}
    again = session.run(chain(salt=2))
    assert {item.reason for item in again.nodes.values()} == {"memory"}


@pytest.mark.parametrize(
    ("was", "now", "says", "after"),
    [
        ({"text": "a cat"}, {"text": "a dog"}, "text changed", "text changed in `set`"),
        ({"mode": "fast"}, {"mode": "fine"}, "mode is `fine`, was `fast`", "mode changed in `set`"),
        ({"scale": 1}, {"scale": 1.5}, "scale is 1.5, was 1.0", "scale changed in `set`"),
        ({}, {"on": True}, "on is true, was false", "on changed in `set`"),
        ({"text": "x" * 60}, {"text": "y"}, "text changed", "text changed in `set`"),
        ({"text": "x" * 10**6}, {"text": "y" * 10**6}, "text changed", "text changed in `set`"),
        (
            {"weights": [1, 2]},
            {"weights": [1]},
            "weights is [1.0], was [1.0,2.0]",
            "weights changed in `set`",
        ),
        ({}, {"text": "a", "count": 3}, "count and text changed", "count and text changed in `set`"),
        (
            {},
            {"text": "a", "count": 3, "on": True, "scale": 2.0},
            "count, scale and 2 more changed",
            "count, scale and 2 more changed in `set`",
        ),
    ],
)
def test_literals_that_changed(
    session: Session, was: dict[str, Any], now: dict[str, Any], says: str, after: str
) -> None:
    def of(inputs: dict[str, Any]) -> Graph:
        return graph(set=("Settings@1", inputs), mix=("Mix@1", {"a": "@set.out"}))

    session.run(of(was))
    assert why(session, of(now)) == {"set": says, "mix": after}


def test_wires_that_lead_elsewhere(session: Session) -> None:
    def of(**inputs: Any) -> Graph:
        mix = ("Mix@1", inputs)
        return graph(a=("Split@1", {"a": 1}), b=("Split@1", {"a": 2}), c=mix, d=("Act@1", {"a": "@c.out"}))

    session.run(of(a="@a.low"))
    session.run(of(a="@b.low", b="@b.low"), name="so that `b` has run")
    assert why(session, of(a="@b.low"))["c"] == "a now comes from `b`"
    assert why(session, of(a="@a.high"))["c"] == "a now comes from `a.high`"
    assert why(session, of(a=7))["c"] == "a no longer comes from `a`"
    assert why(session, of(a="@b.low", b="@a.low"))["c"] == "a and b are connected differently"
    assert why(session, of(a="@a.low", b="@a.low"))["c"] == "b now comes from `a`"
    assert why(session, of(a="@a.low"))["d"] == "Act has side effects, so it always runs"


def test_the_nearest_own_difference_goes_before_what_others_changed(session: Session) -> None:
    session.run(chain(4))
    other = chain(4, salt=2)
    other.nodes["n2"].inputs["salt"] = Literal(9)
    assert why(session, other) == {
        "n0": "salt is 2, was 1",
        "n1": "salt changed in `n0`",
        "n2": "salt is 9, was 2",
        "n3": "salt changed in `n2`",
    }


def test_why_names_a_changed_ancestor_that_is_cached(session: Session) -> None:
    session.run(chain(1, salt=2), name="another")
    session.run(chain(2))
    plan = session.plan(chain(2, salt=2))
    why = session.reasons(plan).why
    assert {step.id: (step.action, why(step)) for step in plan.steps.values()} == {
        "n0": ("reuse", "memory"),
        "n1": ("run", "salt changed in `n0`"),
    }


def test_lost_results_are_called_evicted_and_equal_steps_share(session: Session) -> None:
    twice = graph(
        a=("Mix@1", {"salt": 1}), b=("Mix@1", {"salt": 1}), c=("Mix@1", {"a": "@a.out", "b": "@b.out"})
    )
    session.run(twice)
    session.close()
    shutil.rmtree(session.settings.store_folder / "blobs", ignore_errors=True)
    for path in session.settings.store_folder.glob("*.sqlite*"):
        path.unlink()
    with Session(session.settings, registry=Registry(TYPES)) as other:
        assert reasons_of(other, twice) == {
            "a": "evicted",
            "b": "shared with `a`: same inputs",
            "c": "evicted",
        }


def test_results_computed_by_another_process_are_not_called_evicted(session: Session) -> None:
    with Session(session.settings, registry=Registry(TYPES)) as other:
        plan = other.plan(chain(2))
        session.run(chain(2))
        why = other.reasons(plan).why
        assert {why(step) for step in plan.steps.values()} == {"another run has just computed it"}


def test_results_on_disk_say_when_they_were_made(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.run(chain(2))
    session.close()
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 2 * 3600)
    with Session(session.settings, registry=Registry(TYPES)) as other:
        assert reasons_of(other, chain(2))["n1"] == "disk, made 2 h ago"


def test_failed_and_cancelled_steps_name_their_last_state(session: Session) -> None:
    failing = graph(
        bad=("Broken@1", {"a": 1}), after=("Mix@1", {"a": "@bad.out"}), fine=("Mix@1", {"salt": 4})
    )
    session.run(failing)
    assert why(session, failing) == {"bad": "failed last time", "after": "not reached last time"}
    failing.nodes["bad"].inputs["a"] = Literal(2)
    assert why(session, failing) == {"bad": "a is 2, was 1", "after": "a changed in `bad`"}


def test_a_file_that_changed_is_named(session: Session, home: Path) -> None:
    reading = graph(read=("Read@1", {"file": "photo.png"}), size=("Measure@1", {"text": "@read.out"}))
    session.run(reading)
    (home / "inputs" / "photo.png").write_text("another photo")
    assert why(session, reading) == {
        "read": "`photo.png` changed",
        "size": "`photo.png` changed in `read`",
    }


def test_a_copy_of_a_file_goes_by_the_name_of_the_file(session: Session, home: Path) -> None:
    for digest in ("0" * 16, "1" * 16):
        path = home / "inputs" / "kept" / f"my-cat-{digest}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_text(digest)

    def of(name: str) -> Graph:
        return graph(read=("Read@1", {"file": name}), size=("Measure@1", {"text": "@read.out"}))

    session.run(of(f"kept/my-cat-{'0' * 16}.png"))
    assert why(session, of(f"kept/my-cat-{'1' * 16}.png")) == {
        "read": "`my-cat.png` changed",
        "size": "`my-cat.png` changed in `read`",
    }
    assert why(session, of("photo.png"))["read"] == "file is `photo.png`, was `my-cat.png`"


def test_a_type_of_another_version_or_other_code_or_another_type(session: Session) -> None:
    session.run(chain(2))
    types = session.registry.types
    mine = types["Mix"]
    types["Mix"] = replace(mine, version=2)
    assert why(session, chain(2)) == dict.fromkeys(("n0", "n1"), "Mix is now version 2")
    types["Mix"] = replace(mine, code="f00")
    assert why(session, chain(2)) == dict.fromkeys(("n0", "n1"), "its code changed")
    other = chain(2)
    other.nodes["n0"] = Entry("Settings@1")
    types["Mix"] = mine
    assert why(session, other) == {"n0": "Settings replaces Mix", "n1": "Settings replaces Mix in `n0`"}
    types["Mix"] = replace(mine, code="f00")
    ends = graph(n0=("Mix@1", {"salt": 1}), s=("Split@1", {"a": "@n0.out"}))
    types["Mix"] = mine
    session.run(ends)
    types["Mix"] = replace(mine, code="f00")
    assert why(session, ends)["s"] == "the code of `n0` changed"


def test_an_environment_that_changed(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    measuring = graph(size=("Measure@1", {"text": "four"}), mix=("Mix@1", {"a": "@size.out"}))
    session.run(measuring)
    monkeypatch.setattr(keys, "_version", lambda library: "9.9")
    keys._machine.cache_clear()
    try:
        assert why(session, measuring) == dict.fromkeys(("size", "mix"), "numpy is now 9.9")
    finally:
        keys._machine.cache_clear()


def test_a_node_under_another_id_is_no_new_node(session: Session) -> None:
    session.run(chain(3))
    renamed = chain(3)
    renamed.nodes = {f"m{node[1:]}": entry for node, entry in renamed.nodes.items()}
    for entry in renamed.nodes.values():
        for name, binding in entry.inputs.items():
            if isinstance(binding, From):
                entry.inputs[name] = From(f"m{binding.node[1:]}", binding.output)
    assert why(session, renamed) == {}
    renamed.nodes["m1"].inputs["b"] = Literal(5)
    assert why(session, renamed) == {"m1": NEW, "m2": NEW}, "renamed and changed: it might be any node"
    renamed.nodes["n1"] = renamed.nodes.pop("m1")
    renamed.nodes["m2"].inputs["a"] = From("n1", "out")
    assert why(session, renamed) == {"n1": "b is 5, was 0", "m2": "b changed in `n1`"}


def test_a_node_that_was_put_in_between(session: Session) -> None:
    session.run(chain(3))
    longer = chain(3)
    longer.nodes["blur"] = Entry("Mix@1", {"a": From("n0", "out"), "salt": Literal(9)})
    longer.nodes["n1"].inputs["a"] = From("blur", "out")
    assert why(session, longer) == {
        "blur": NEW,
        "n1": "a now comes from `blur`",
        "n2": "a now comes from `blur` in `n1`",
    }


def test_unread_lazy_inputs_are_not_a_reason(session: Session) -> None:
    def of(take: bool, first: int, second: int) -> Graph:
        return graph(
            one=("Mix@1", {"salt": first}),
            two=("Mix@1", {"salt": second}),
            either=("Either@1", {"first": "@one.out", "second": "@two.out", "take": take}),
        )

    session.run(of(True, 1, 2))
    assert why(session, of(True, 1, 3)) == {}
    assert why(session, of(True, 5, 3)) == {"one": "salt is 5, was 1", "either": "salt changed in `one`"}
    assert why(session, of(False, 1, 2)) == {"two": NEW, "either": "take is false, was true"}


def test_elements_of_a_list_have_their_own_reasons(session: Session) -> None:
    def of(numbers: list[int], salt: int = 0) -> Graph:
        return graph(
            numbers=("Numbers@1", {"numbers": numbers}),
            each=("Mix@1", {"a": "@numbers.out", "salt": salt}),
            all=("Numbers@1", {"numbers": "@each.out"}),
        )

    session.run(of([1, 2]))
    report = session.run(of([1, 2, 3]))
    assert {node: item.reason for node, item in report.nodes.items() if item.state == "done"}[
        "numbers"
    ] == "numbers is [1,2,3], was [1,2]"
    assert report.nodes["each[2]"].reason == NEW
    assert report.nodes["all"].reason == "`each[2]` is new"
    reasons = reasons_of(session, of([1, 2, 3], 4))
    assert {reasons[f"each[{n}]"] for n in range(3)} == {"salt is 4, was 0"}
    assert reasons["all"] == "salt changed in `each[0]`"
    other = session.run(of([5, 2, 3])).nodes
    assert {node: item.reason for node, item in other.items() if item.state == "done"} == {
        "numbers": "numbers is [5,2,3], was [1,2,3]",
        "each[0]": "numbers changed in `numbers`",
        "each": "1 of 3 elements run",
        "all": "numbers changed in `numbers`",
    }


def test_a_table_that_was_not_reached_is_connected_as_before(session: Session) -> None:
    def of(salt: int) -> Graph:
        made = graph(
            bad=("Broken@1", {"a": 1}),
            cells=("Mix@1", {"a": [1, 2], "b": [3, 4], "salt": "@bad.out"}),
            table=("Table@1", {"rows": "@cells.out"}),
        )
        made.nodes["cells"].lift = "cross"
        made.nodes["bad"].inputs["a"] = Literal(salt)
        return made

    session.run(of(1))
    reasons = why(session, of(1))
    assert (reasons["cells[1][0]"], reasons["table"]) == ("not reached last time",) * 2
    assert why(session, of(2))["table"] == "a changed in `bad`"


def test_elements_that_wait_for_a_value_are_not_called_cached(session: Session, home: Path) -> None:
    (home / "inputs" / "other.png").write_text("another photo")
    names = ["photo.png", "other.png"]
    reading = graph(name=("Say@1", {"text": names}), read=("Read@1", {"file": "@name.out"}))
    session.run(reading)
    assert reasons_of(session, reading)["read"] == "2 of 2 elements may run"


def test_a_node_that_was_single_and_goes_through_a_list_is_compared_and_the_other_way_round(
    session: Session,
) -> None:
    def of(a: int | list[int]) -> Graph:
        return graph(one=("Mix@1", {"a": a}), after=("Mix@1", {"a": "@one.out"}))

    session.run(of(1))
    swept = why(session, of([2, 1]))
    assert (swept["one[0]"], swept["after[0]"]) == ("a is 2, was 1", "a changed in `one[0]`")
    session.run(of([2, 3]))
    single = why(session, of(4))
    assert (single["one"], single["after"]) == ("a is 4, was 2", "a changed in `one`")


def test_a_list_that_goes_by_another_id_is_no_other_list(session: Session) -> None:
    def of(name: str) -> Graph:
        nodes = {name: ("Mix@1", {"a": "@numbers.out"}), "all": ("Numbers@1", {"numbers": f"@{name}.out"})}
        return graph(numbers=("Numbers@1", {"numbers": [1, 2]}), **nodes)

    session.run(of("each"))
    mix = session.registry.types["Mix"]
    session.registry.types["Mix"] = replace(mix, version=2)
    reasons = why(session, of("every"))
    assert {reasons[node] for node in ("every[0]", "every[1]", "all")} == {"Mix is now version 2"}


def test_steps_decided_during_the_run_are_explained_as_such(session: Session, home: Path) -> None:
    (home / "inputs" / "other.png").write_text("another photo")

    def of(name: str) -> Graph:
        return graph(name=("Say@1", {"text": name}), read=("Read@1", {"file": "@name.out"}))

    session.run(of("photo.png"))
    assert why(session, of("photo.png")) == {"read": "depends on a value that is only known while running"}
    assert why(session, of("other.png"))["read"] == "text changed in `name`"
    assert session.run(of("photo.png")).nodes["read"].state == "cached"


def test_a_node_within_a_subgraph_is_named_with_it(session: Session) -> None:
    def of(salt: int) -> Graph:
        inner = chain(2, salt)
        inner.outputs = {"out": From("n1", "out")}
        outer = graph(after=("Mix@1", {"a": "@sub.out"}))
        return replace(outer, nodes={"sub": Entry("#inner"), **outer.nodes}, graphs={"inner": inner})

    session.run(of(1))
    assert why(session, of(2)) == {
        "sub/n0": "salt is 2, was 1",
        "sub/n1": "salt changed in `sub/n0`",
        "after": "salt changed in `sub/n0`",
    }


def test_thousands_of_nodes_deep_is_no_deeper_than_one(session: Session) -> None:
    session.run(chain(3000))
    reasons = why(session, chain(3000, salt=2))
    assert reasons.pop("n0") == "salt is 2, was 1"
    assert len(reasons) == 2999
    assert set(reasons.values()) == {"salt changed in `n0`"}
