"""Node classes: what is wrong with one is said when it is imported; packs and user files; their schema."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import pytest

from engine.check.check import check
from engine.context import Context
from engine.node import Node
from engine.packs.registry import Registry
from engine.values import Json, Value
from engine.widgets import Advanced, Range
from tests.engine.small_nodes import REGISTRY, graph_of

HEAD = """
from typing import Annotated, Any, Literal, NamedTuple, Optional
from engine.context import Context
from engine.files import Files
from engine.lazy import Lazy
from engine.node import Node
from engine.values import Value
from engine.widgets import Range
"""


def broken(body: str, head: str = "class X(Node):") -> str:
    """What is said about a class when it is made."""
    code = HEAD + head + "\n" + textwrap.indent(textwrap.dedent(body), "    ")
    with pytest.raises(TypeError) as caught:
        exec(compile(code, "made_up.py", "exec", dont_inherit=True), {"__name__": "made_up"})
    return str(caught.value)


class Metal(Value, wire="DrawnMetal", family="models"):
    pass


class Parts(NamedTuple):
    """A piece of metal and its weight."""

    out: Metal
    weight: Annotated[float, Advanced]


class Steel(Metal, wire="DrawnSteel"):
    pass


class Ore(Value, wire="JsonOre"):
    pass


RUN = "def run(self, ctx: Context) -> int: return 1"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f"a: object\n{RUN}", "X.a: <class 'object'> is not a wire type"),
        (f"a: __import__('numpy').ndarray\n{RUN}", "X.a: numpy.ndarray is not a type of inputs; use Image"),
        (
            f"b: int\na: list[__import__('PIL.Image').Image.Image]\n{RUN}",
            "X.a: PIL.Image.Image is not a type",
        ),
        (
            f"a: Optional[__import__('threading').Thread]\n{RUN}",
            "X.a: threading.Thread is not a type of inputs; use bool",
        ),
        (f"a: list\n{RUN}", "X.a: <class 'list'> is not a wire type"),
        (f"a: int | str\n{RUN}", "a wire has one type"),
        (f"a: Literal[1, 'a'] = 1\n{RUN}", "all choices must be of one type"),
        (f"a: Any = object()\n{RUN}", "a default is JSON"),
        (f"a: float = float('nan')\n{RUN}", "a default is JSON"),
        ("def run(self, ctx: Context): return 1", "X.run: declare what it returns"),
        ("def run(self) -> int: return 1", "inputs are fields"),
        ("def run(self, ctx: Context, more: int) -> int: return 1", "inputs are fields"),
        ("async def run(self, ctx: Context) -> int: return 1", "without async or yield"),
        ("def run(self, ctx: Context) -> int:\n    yield 1", "without async or yield"),
        ("def run(self, ctx: Context) -> 'Nowhere': return 1", "X.run: name 'Nowhere' is not defined"),
        ("def run(self, ctx: Context) -> object: return 1", "X.run, output out: <class 'object'> is not"),
        (
            "def run(self, ctx: Context) -> Optional[int]: return 1",
            "output out: typing.Optional[int] may be None",
        ),
        (f"a = 3\n{RUN}", "X.a: it has no annotation; write `a: int = ...` for an input, `a: ClassVar[int]"),
        (f"_a: int = 3\n{RUN}", "X._a: the name of an input begins with a letter"),
        (f"copy: int = 3\n{RUN}", "X.copy: every node has an attribute copy"),
        (f"node_type: int = 3\n{RUN}", "X.node_type: every node has an attribute node_type"),
        (f"run: int = 3\n{RUN}", "X.run: every node has an attribute run"),
        (f"a: 'Nowhere'\n{RUN}", "X.a: its annotation 'Nowhere' is not defined"),
        (f"a: 'list[int'\n{RUN}", "X: an annotation is not valid Python"),
        (f"a: int = '1'\n{RUN}", "X.a: its default must be"),
        (f"def __init__(self, a): pass\n{RUN}", "X.__init__: a node has no __init__"),
        (f"a: Lazy\n{RUN}", "X.a: write the type inside Lazy"),
        (f"a: Lazy[int] | None = None\n{RUN}", "X.a: put Lazy around the whole type"),
        (f"a: list[Lazy[int]]\n{RUN}", "X.a: put Lazy around the whole type"),
        (
            f"a: Lazy[int]\nasync def asks(self): return ['a']\n{RUN}",
            "X.asks: the engine cannot call it; declare `def asks(self)",
        ),
        (
            f"def fingerprint(self): return 1\n{RUN}",
            "X.fingerprint: the engine cannot call it; declare `def fingerprint(self, files",
        ),
        (f"def upgrade(self, inputs, version): return inputs\n{RUN}", "X.upgrade: it must be a class method"),
        ("def run(self, ctx: Context) -> Lazy[int]: return 1", "X.run, output out: an output cannot be Lazy"),
        ("def run(self, ctx: Context) -> tuple[int, int]: return 1, 2", "for several outputs return a Named"),
        (f"a: int = 0\ndef asks(self): return ['a']\n{RUN}", "X.asks: no input is lazy"),
    ],
)
def test_a_class_that_cannot_work_says_so_with_the_fix(body: str, said: str) -> None:
    assert said in broken(body)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("verson=2", "unknown class keyword verson"),
        ("version=0", "use a whole number of at least 1"),
        ("version=True", "use a whole number of at least 1"),
        ("version='1'", "use a whole number of at least 1"),
        ("libraries='torch'", "libraries is 'torch'; write a tuple"),
        ("title='x'", "unknown class keyword title"),
        ("aliases='x'", "aliases is 'x'; write a tuple"),
        ("aliases=(1,)", "aliases is (1,); write a tuple"),
        ("category=None", 'category is None; write text, such as "image"'),
        ("passes='out'", """passes is 'out'; write a dict, such as {"out": "image"}"""),
        ("passes={'out': 'b'}", "passes has 'out': 'b'; write an output (out) and the input"),
        ("converts=True", "converts=True does not determine one required input"),
        ("deprecated=True", 'deprecated and replaced_by are text, such as deprecated="use Upscale2"'),
    ],
)
def test_a_class_keyword_that_cannot_work_says_so(words: str, said: str) -> None:
    assert said in broken(RUN, f"class X(Node, {words}):")


def test_a_name_that_no_graph_could_write_is_refused() -> None:
    assert "only ASCII characters" in broken(RUN, "class Größe(Node):")


def test_an_input_of_a_base_may_be_given_another_default() -> None:
    class Base(Node):
        a: int

    class Derived(Base):
        a: int = 3
        shared: ClassVar[dict[str, int]] = {}

        def run(self, ctx: Context) -> int:
            return self.a

    assert Derived.node_type.inputs["a"].default == 3
    assert list(Derived.node_type.inputs) == ["a"]


def test_a_list_that_is_a_default_is_not_shared_between_nodes() -> None:
    class Listed(Node):
        a: list[int] = []  # noqa: RUF012  # what authors write

        def run(self, ctx: Context) -> int:
            return len(self.a)

    one, two = Listed(), Listed()
    one.a.append(1)
    assert two.a == []
    assert Listed().a == []


def test_the_schema_says_what_converts_and_what_is_deprecated() -> None:
    class Old(Node, converts="a", deprecated="it is slow", replaced_by="New"):
        a: int
        b: int

        def run(self, ctx: Context) -> int:
            return self.a

    class Renames(Node, replaced_by="New"):
        def run(self, ctx: Context) -> int:
            return 1

    schema = Old.node_type.schema()
    assert (schema["converts"], schema["deprecated"], schema["replaced_by"]) == ("a", "it is slow", "New")
    assert Renames.node_type.deprecated == "use New instead"
    assert "deprecated" not in REGISTRY.types["Mix"].schema()


def test_the_schema_says_how_a_canvas_draws_each_wire_type() -> None:
    class Drawn(Node, aliases=("Sketch", "Draw")):
        steel: Steel
        metals: list[Metal]
        count: Annotated[int, Range(1, 2), Advanced] = 1
        scale: float = 1.0
        words: list[str] = []  # noqa: RUF012
        data: Json = None
        on: bool = False

        def run(self, ctx: Context) -> Metal:
            return self.steel

    schema = Drawn.node_type.schema()
    assert schema["aliases"] == ["Sketch", "Draw"]
    assert [name for name, item in schema["inputs"].items() if "x-advanced" in item] == ["count"]
    look = {name: (item["family"], item["shape"], item["lists"]) for name, item in schema["wires"].items()}
    assert look == {
        "DrawnSteel": ("models", "square", 0),
        "list of DrawnMetal": ("models", "square", 1),
        "int": ("values", "triangle", 0),
        "float": ("values", "triangle", 0),
        "list of text": ("text", "circle", 1),
        "any": ("values", "circle", 0),
        "bool": ("values", "circle", 0),
        "DrawnMetal": ("models", "square", 0),
    }
    assert schema["wires"]["DrawnSteel"]["fits"] == ["DrawnSteel", "DrawnMetal", "any"]
    assert schema["wires"]["int"]["fits"] == ["int", "float", "any"]
    built_in = Registry.find([]).types["Denoise"].schema()["wires"]
    families = {name: item["family"] for name, item in built_in.items()}
    assert families["Latent"] == "latents"
    assert families["Conditioning"] == "conditioning"
    assert families["Model"] == "models"
    with pytest.raises(TypeError, match="Mud: 'mud' is not a family"):

        class Mud(Value, family="mud"):
            pass


def test_the_schema_says_what_a_canvas_hides_and_keeps_room_for() -> None:
    class Cut(Node, previews=True):
        metal: Metal
        data: Json = None
        anything: Any = None

        def run(self, ctx: Context) -> Parts:
            return Parts(self.metal, 1.0)

    schema = Cut.node_type.schema()
    assert schema["outputs"] == {"out": "DrawnMetal", "weight": "float"}
    assert schema["advanced_outputs"] == ["weight"]
    assert schema["previews"] is True
    assert [name for name, item in schema["inputs"].items() if "x-json" in item] == ["data"]
    plain = REGISTRY.types["Mix"].schema()
    assert "previews" not in plain
    assert "advanced_outputs" not in plain


def test_a_json_input_takes_any_plain_value_and_no_other() -> None:
    class Mine(Node):
        def run(self, ctx: Context) -> Ore:
            return Ore()

    class Keep(Node):
        data: Json
        more: dict[str, Json] = {}  # noqa: RUF012

        def run(self, ctx: Context) -> Json:
            return self.data

    registry = Registry([Mine, Keep])
    for value in ({"a": [1, {"b": None}]}, [1, [2]], 1.5, "x", True, None):
        checked = check(graph_of({"keep": ("Keep", {"data": {"value": value}})}), registry)
        assert checked.problems == []
        assert checked.steps["keep"].literals["data"] == value
        assert checked.steps["keep"].lift is None, "a list is taken as a whole"
    nodes = {"mine": ("Mine", {}), "keep": ("Keep", {"data": {"from": "mine.out"}})}
    (problem,) = check(graph_of(nodes), registry).problems
    assert (problem.code, problem.place) == ("type_mismatch", "keep.data")


def test_the_schema_comes_from_the_class_alone() -> None:
    nodes = Registry.find([]).types
    assert nodes["Denoise"].schema()["inputs"]["seed"]["x-widget"] == {"kind": "seed", "random": "random"}
    schema = REGISTRY.types["Settings"].schema()
    assert (schema["type"], schema["doc"], schema["outputs"]) == (
        "Settings@1",
        "One input of each plain kind.",
        {"out": "int"},
    )
    count = schema["inputs"]["count"]
    assert (count["wire"], count["required"], count["default"], count["minimum"], count["maximum"]) == (
        "int",
        False,
        20,
        1,
        150,
    )
    assert count["x-widget"] == {"kind": "number", "min": 1, "max": 150, "step": None}
    assert schema["inputs"]["mode"]["enum"] == ["fast", "fine"]
    assert REGISTRY.types["Split"].schema()["outputs"] == {"low": "int", "high": "int"}
    assert REGISTRY.types["TakeThing"].schema()["inputs"]["thing"]["wire"] == "SmallThing"


GOOD = f'''{HEAD}
class {{name}}(Node):
    """Good."""
    a: int = {{a}}
    """What it takes."""
    {RUN}
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.py").write_text(GOOD.format(name="Good", a=1))
    return tmp_path


def problems(registry: Registry) -> dict[str, Any]:
    return {problem.code: problem for problem in registry.problems}


@pytest.mark.parametrize(
    "text",
    ["def (", "import no_such_module_at_all", "1 / 0", "raise SystemExit(3)", "import sys; sys.exit()", "\0"],
)
def test_a_broken_pack_is_said_and_harms_nothing_else(folder: Path, text: str) -> None:
    (folder / "bad.py").write_text(text)
    (folder / "bad_package").mkdir()
    (folder / "bad_package" / "__init__.py").write_text(text)
    registry = Registry.find([folder, folder / "nowhere", folder / "good.py"])
    assert "Good" in registry.types
    said = [problem for problem in registry.problems if problem.code == "broken_pack"]
    assert len(said) == 2
    assert all(problem.severity == "warning" for problem in said)
    assert "bad.py" in said[0].message
    assert not [name for name in sys.modules if name.startswith("safelight_user_nodes.bad")]


def test_a_users_code_enters_the_keys_and_its_docs_the_schema(folder: Path) -> None:
    one = Registry.find([folder]).types["Good"]
    assert one.input_docs == {"a": "What it takes."}
    (folder / "good.py").write_text(GOOD.format(name="Good", a=2))
    two = Registry.find([folder]).types["Good"]
    assert one.code
    assert two.code
    assert one.code != two.code
    assert REGISTRY.types["Mix"].code == ""


def test_a_pack_does_not_own_the_types_that_it_imports(folder: Path) -> None:
    (folder / "pack").mkdir()
    (folder / "pack" / "__init__.py").write_text("from .inner import Inner\n")
    (folder / "pack" / "inner.py").write_text(GOOD.format(name="Inner", a=1))
    (folder / "z_thief.py").write_text(GOOD.format(name="Good", a=3))
    (folder / "z_user.py").write_text("from safelight_user_nodes.good import Good\n")
    registry = Registry.find([folder])
    assert {"Good", "Inner"} <= set(registry.types)
    assert registry.types["Good"].inputs["a"].default == 1
    assert [problem.code for problem in registry.problems] == ["name_taken"]
    assert "z_thief" in registry.problems[0].message


def test_the_engine_starts_without_anything_heavy() -> None:
    line = (
        "import sys, engine.session, engine.cli, engine.document.json_schema, engine.observe.journal\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy', 'networkx', 'PIL', 'safetensors'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    ended = subprocess.run([sys.executable, "-c", line], cwd=root, check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize("ends", [(5, 1), (0, float("nan"))])
def test_a_range_from_above_to_below_is_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="Range"):
        Range(*ends)
