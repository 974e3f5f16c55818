"""Which names of files are put in other words, and which are left as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from engine.check.portable import make_portable
from engine.context import Context
from engine.digests import FileDigests
from engine.document.graph import Entry, From, Graph, GraphInput, Literal, Param
from engine.document.sweep import Sweep
from engine.errors import NodeError
from engine.files import Files
from engine.node import Node
from engine.packs.registry import Registry
from engine.widgets import FileIn


class Read(Node):
    """Read a picture with a model."""

    picture: Annotated[str, FileIn("inputs")] = ""
    model: Annotated[str, FileIn("checkpoints")] = ""
    text: str = ""

    def run(self, ctx: Context) -> str:
        return self.picture


REGISTRY = Registry([Read])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A home with one picture, beside a folder with a picture, a model and a folder."""
    home, beside = tmp_path / "home", tmp_path / "beside"
    for path in (home / "inputs" / "in.png", beside / "sub" / "out.png", beside / "sub" / "model.bin"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    files = Files(lambda kind: [home / kind], FileDigests(), home / "outputs", local=True)
    files.beside = beside
    return files


def renamed(files: Files, name: str, value: str) -> str:
    """What a literal becomes; the same value given through the graph's own input must become the same."""
    literal, _ = make_portable(Graph({"read": Entry("Read@1", {name: Literal(value)})}), {}, REGISTRY, files)
    graph = Graph({"read": Entry("Read@1", {name: Param("p")})}, {"p": GraphInput("file", value, False)})
    unchanged, values = make_portable(graph, {}, REGISTRY, files)
    assert unchanged == graph
    binding = literal.nodes["read"].inputs[name]
    assert isinstance(binding, Literal)
    assert values.get("p", value) == binding.value
    assert isinstance(binding.value, str)
    return binding.value


def test_a_picture_from_elsewhere_goes_by_its_content(files: Files, tmp_path: Path) -> None:
    name = renamed(files, "picture", "sub/out.png")
    assert name.startswith("kept/out-")
    assert name.endswith(".png")
    assert renamed(files, "picture", str(tmp_path / "beside" / "sub" / "out.png")) == name
    assert files.find("inputs", name).read_text() == "out.png"
    files.keep(pytest.fail)
    elsewhere = Files(lambda kind: [tmp_path / "home" / kind], FileDigests(), tmp_path)
    assert elsewhere.find("inputs", name).read_text() == "out.png"


def test_a_model_from_elsewhere_is_not_copied_but_named_in_full(files: Files, tmp_path: Path) -> None:
    assert renamed(files, "model", "sub/model.bin") == str(tmp_path / "beside" / "sub" / "model.bin")
    files.keep(pytest.fail)
    assert not (tmp_path / "home" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("picture", "in.png"),
        ("picture", "gone.png"),
        ("picture", "~nobody-here/x"),
        ("model", "sub"),
        ("text", "sub/out.png"),
    ],
)
def test_everything_else_stays_as_it_is(files: Files, name: str, value: str) -> None:
    assert renamed(files, name, value) == value


def test_a_value_that_is_a_file_and_a_text_stays_as_it_is(files: Files) -> None:
    inputs = {"picture": Param("p"), "text": Param("p")}
    graph = Graph({"read": Entry("Read@1", dict(inputs))}, {"p": GraphInput("file", "sub/out.png", False)})
    assert make_portable(graph, {}, REGISTRY, files) == (graph, {})


def test_swept_and_listed_files_are_named_like_single_ones(files: Files) -> None:
    name = renamed(files, "picture", "sub/out.png")
    graph = Graph({"read": Entry("Read@1", {"picture": Param("p")})}, {"p": GraphInput("file", "", False)})
    _, values = make_portable(graph, {"p": Sweep(("sub/out.png", "in.png"))}, REGISTRY, files)
    assert values == {"p": Sweep((name, "in.png"))}
    _, values = make_portable(graph, {"p": ["sub/out.png", ["in.png", "gone.png"]]}, REGISTRY, files)
    assert values == {"p": [name, ["in.png", "gone.png"]]}
    listed = Graph({"read": Entry("Read@1", {"picture": Literal(["sub/out.png"])}, lift="cross")})
    named, _ = make_portable(listed, {}, REGISTRY, files)
    assert named.nodes["read"] == Entry("Read@1", {"picture": Literal([name])}, lift="cross")


def test_files_in_subgraphs_are_named_like_others_and_all_else_is_kept(files: Files) -> None:
    name = renamed(files, "picture", "sub/out.png")
    inner = Graph(
        {
            "bound": Entry("Read@1", {"picture": Param("q")}),
            "typed": Entry("Read@1", {"picture": Literal("sub/out.png"), "text": Param("t")}, off=True),
        },
        {"q": GraphInput("file", "sub/out.png", False), "t": GraphInput("text", "sub/out.png", False)},
        {"out": From("bound", "out")},
        passes={"out": "q"},
        graphs={"deeper": Graph({"self": Entry("#inner", {"q": Literal("sub/out.png")})})},
    )
    graph = Graph(
        {"given": Entry("#inner", {"q": Param("p"), "t": Literal("sub/out.png")}, title="T", off=True)},
        {"p": GraphInput("file", "sub/out.png", False)},
        graphs={"inner": inner},
        layout={"given": [1, 2]},
        folder=Path("folder"),
    )
    named, values = make_portable(graph, {}, REGISTRY, files)
    assert values == {"p": name}
    assert (named.nodes, named.inputs, named.layout, named.folder) == (
        graph.nodes,
        graph.inputs,
        graph.layout,
        graph.folder,
    )
    found = named.graphs["inner"]
    assert {key: item.default for key, item in found.inputs.items()} == {"q": name, "t": "sub/out.png"}
    assert found.nodes["typed"] == Entry("Read@1", {"picture": Literal(name), "text": Param("t")}, off=True)
    assert found.graphs["deeper"].nodes["self"].inputs == {"q": Literal(name)}
    assert (found.passes, found.outputs) == (inner.passes, inner.outputs)


def test_a_file_that_changed_meanwhile_is_not_kept(files: Files, tmp_path: Path) -> None:
    warnings: list[str] = []
    name = renamed(files, "picture", "sub/out.png")
    (tmp_path / "beside" / "sub" / "out.png").write_text("another")
    files.keep(warnings.append)
    assert ["changed during the run" in said for said in warnings] == [True]
    with pytest.raises(NodeError, match="there is no"):
        Files(lambda kind: [tmp_path / "home" / kind], FileDigests(), tmp_path).find("inputs", name)
