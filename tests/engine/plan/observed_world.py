"""A small world that a node can observe: a graph, files, packs, an installed pack, and settings.

The nodes `See` and `Look` return a text of everything that the engine lets them observe. Each world is run
over an empty store, so that no result of another world can be reused.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.check import check as checking
from engine.devices.compute import compute_settings
from engine.devices.residency import Residency
from engine.document.reader import from_json
from engine.errors import GraphError
from engine.files import Files
from engine.packs import outside_code
from engine.packs.registry import Registry
from engine.plan import keys
from engine.plan import plan as planning
from engine.run.run import Run
from engine.settings import Settings
from engine.store.memory import Memory
from tests.engine.small_nodes import PlainDigests

INSTALLED = "observed_shop"
"""The name of the installed pack, and of its module."""

KIT = '''
"""Nodes that show everything that they observe."""
import json
from pathlib import Path
from typing import Any, NamedTuple

from engine.context import Context
from engine.files import Files
from engine.node import Node
from engine.values import Json, Value
from observed_shop import Shade
from safelight_user_nodes.tints import Tint
from .helper import MARK


def shown(value: Any) -> str:
    """The type, order and spelling of everything in a value."""
    if isinstance(value, Value):
        return f"{value.wire} {value.look()}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{shown(key)}: {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return f"{type(value).__name__} {ascii(value)}"


class Const(Node):
    """Return a value."""
    value: Json = None
    def run(self, ctx: Context) -> Json:
        return self.value

class Through(Node, passes={"out": "value"}):
    """Put a value into a list; off, it passes the value on."""
    value: Json = None
    def run(self, ctx: Context) -> Json:
        return [self.value]

class Both(NamedTuple):
    first: Json
    second: Json

class Two(Node):
    """Return two values."""
    value: Json = None
    def run(self, ctx: Context) -> Both:
        return Both(self.value, {"second": self.value})

class Many(Node):
    """Return numbers."""
    values: list[float] = []
    def run(self, ctx: Context) -> list[float]:
        return self.values

class Tints(Node):
    """Return values of a type that another pack declares."""
    names: list[str] = []
    def run(self, ctx: Context) -> list[Tint]:
        return [Tint({name: 1, "c": 2}) for name in self.names]

class MakeShade(Node):
    """Return a value of a type that an installed pack declares."""
    name: str = "grey"
    def run(self, ctx: Context) -> Shade:
        return Shade(self.name)

class _Observer(Node):
    thing: Json = None
    number: float = 0.0
    other: float = 0.0
    whole: int = 0
    flag: bool = False
    text: str = ""
    table: dict[str, float] = {}
    tint: Tint | None = None
    shade: Shade | None = None
    file: str = ""

    def fingerprint(self, files: Files) -> Json:
        return files.digest(files.find("inputs", self.file)) if self.file else None

    def observed(self, ctx: Context) -> str:
        from .late import LATE
        compute = ctx.compute
        try:
            node = ctx.node
        except Exception as error:
            node = type(error).__name__
        content = ctx.files.find("inputs", self.file).read_text() if self.file else ""
        palette = Path(__file__).with_name(".palette").read_text()
        inputs = [shown(getattr(self, name)) for name in type(self).model_fields]
        facts = [type(self).node_type.id, MARK, LATE, palette, content, node, compute.kind]
        return json.dumps([*inputs, *facts, compute.dtype, compute.attention, compute.compile])

class See(_Observer, accelerator=True):
    """Show everything, on the device."""
    def run(self, ctx: Context) -> str:
        return self.observed(ctx)

class Look(_Observer):
    """Show everything, on the host."""
    def run(self, ctx: Context) -> str:
        return self.observed(ctx)
'''

TINTS = '''
"""A wire type, declared apart from the nodes that use it."""
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from engine.context import Context
from engine.node import Node
from engine.values import Json, Packed, Value

@dataclass(frozen=True)
class Tint(Value, wire="observed/Tint"):
    weights: dict[str, int]
    def pack(self) -> Packed:
        return Packed(self.wire, dict(self.weights))
    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        return cls(meta)
    def look(self) -> str:
        return ascii(list(self.weights.items()))

class ShowTint(Node):
    """Show a tint, so that this file is a pack."""
    tint: Tint
    def run(self, ctx: Context) -> str:
        return self.tint.look()
'''

SHOP = '''
"""An installed pack."""
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from engine.context import Context
from engine.node import Node
from engine.values import Json, Packed, Value

@dataclass(frozen=True)
class Shade(Value, wire="observed/Shade"):
    name: str
    def pack(self) -> Packed:
        return Packed(self.wire, self.name)
    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        return cls(meta)
    def look(self) -> str:
        return self.name

class Shades(Node):
    """Return shades."""
    def run(self, ctx: Context) -> list[Shade]:
        return [Shade("light"), Shade("dark")]
'''

PEEK = '''
"""A node for values of any type; it names no other pack."""
from typing import TypeVar

from engine.context import Context
from engine.node import Node

T = TypeVar("T")

class Peek(Node):
    """Show a value, once for each number."""
    thing: T
    number: int = 0
    def run(self, ctx: Context) -> str:
        return self.thing.look()
'''

CODE = {
    "kit/__init__.py": KIT,
    "kit/helper.py": 'MARK = "mark"\n',
    "kit/late.py": 'LATE = "late"\n',
    "kit/.palette": "red",
    "tints.py": TINTS,
    "peek.py": PEEK,
}
"""The packs in the home's `nodes/`."""


@dataclass(frozen=True)
class World:
    """Everything that may change between two runs."""

    nodes: Mapping[str, Mapping[str, Any]]
    """The nodes of the graph, as the document writes them."""
    target: str = "seen"
    """The node whose result is looked at."""
    files: Mapping[str, str] = field(default_factory=lambda: {"a.txt": "one", "b.txt": "two"})
    """The files in the home's `inputs/`."""
    code: Mapping[str, str] = field(default_factory=lambda: CODE)
    shop: tuple[str, str] = ("1.0", SHOP)
    """The version and the code of the installed pack."""
    compute: Mapping[str, Any] = field(default_factory=dict)
    """Settings."""
    beside: Mapping[str, Any] = field(default_factory=dict)
    """Other parts of the document: title, layout, view."""


class Observatory:
    """Runs worlds, each over an empty store. Packs are loaded again only if their code is another."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._site, self._nodes, self._inputs = folder / "site", folder / "nodes", folder / "inputs"
        self._loaded: tuple[object, Registry] | None = None
        monkeypatch.syspath_prepend(str(self._site))
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        monkeypatch.setattr(outside_code, "_INSTALLED", (self._site.resolve(), *outside_code._INSTALLED))

    def observe(self, world: World) -> tuple[str, Any]:
        """The identity of the target's output in the keys of other steps, and the output of a fresh run.

        Raises:
            GraphError: the graph is refused, or its run fails.
        """
        document = {
            "safelight": 1,
            **world.beside,
            "outputs": {"out": {"from": f"{world.target}.out"}},
            "nodes": world.nodes,
        }
        defaults = Settings(home=self._inputs, device="cpu", dtype="float32")  # `auto` depends on the CPU
        compute = compute_settings(defaults.model_copy(update=world.compute))
        shutil.rmtree(self._inputs, ignore_errors=True)
        for name, text in world.files.items():
            write(self._inputs / name, text)
        files = Files(lambda kind: [self._inputs], PlainDigests(), self._inputs)
        checked = checking.check(from_json(document), self._registry(world))
        store = Memory(1 << 24)
        planned = planning.plan(checked, store, files, compute=compute.signature)
        report = Run(planned, store, files=files, residency=Residency(0), compute=compute, workers=1).run()
        problems = [node.problem for node in report.nodes.values() if node.problem is not None]
        if problems:
            raise GraphError(problems)
        identity = keys.of_output(planned.steps[world.target], "out")
        assert identity is not None
        packed = report.outputs["out"]
        return identity, packed.meta

    def close(self) -> None:
        """Unload the packs."""
        if self._loaded is not None:
            self._loaded[1].close()
        sys.modules.pop(INSTALLED, None)

    def _registry(self, world: World) -> Registry:
        packs = (dict(world.code), world.shop)
        if self._loaded is None or self._loaded[0] != packs:
            self.close()
            for folder in (self._site, self._nodes):
                shutil.rmtree(folder, ignore_errors=True)
            self._install(*world.shop)
            for name, text in world.code.items():
                write(self._nodes / name, text)
            self._loaded = packs, Registry.find([self._nodes])
            assert not self._loaded[1].problems
        return self._loaded[1]

    def _install(self, version: str, code: str) -> None:
        """Install a release of the pack, as pip leaves it."""
        info = self._site / f"{INSTALLED}-{version}.dist-info"
        write(self._site / INSTALLED / "__init__.py", code)
        write(info / "METADATA", f"Metadata-Version: 2.1\nName: {INSTALLED}\nVersion: {version}\n")
        write(info / "top_level.txt", f"{INSTALLED}\n")
        write(info / "entry_points.txt", f"[safelight.nodes]\n{INSTALLED} = {INSTALLED}\n")
        importlib.invalidate_caches()
        outside_code._declaring.cache_clear()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
