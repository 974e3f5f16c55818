"""Damage to the example graphs is repaired by the fixes of its problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from random import Random

import pytest

from engine.document import reader
from engine.document.fixing import fixed
from engine.document.graph import Binding, From, Graph, Literal, Param
from engine.errors import Problem
from engine.plan.fingerprints import unreadable_files
from engine.session import Session
from engine.types.wires import bare
from tests.graphs.test_examples import EXAMPLES
from tests.nodes.conftest import home, open_session, session

__all__ = ["home", "open_session", "session"]

SEED = 3


def typo(name: str, chance: Random) -> str:
    """A name without one of its letters."""
    at = chance.randrange(len(name))
    return name[:at] + name[at + 1 :]


class Damage:
    """Damages graphs, each time in one place."""

    def __init__(self, session: Session, chance: Random) -> None:
        self.types, self.chance = session.registry.types, chance

    def places(self, graph: Graph) -> Iterator[tuple[str, str, Binding]]:
        for node, entry in graph.nodes.items():
            if entry.name in self.types and not entry.off:
                for name, held in entry.inputs.items():
                    yield node, name, held

    def held(self, graph: Graph, kind: type) -> list[tuple[str, str, Binding]]:
        return [place for place in self.places(graph) if isinstance(place[2], kind)]

    def type(self, graph: Graph) -> bool:
        nodes = [node for node, entry in graph.nodes.items() if len(entry.name) > 5 and not entry.is_graph]
        entry = graph.nodes[self.chance.choice(nodes)]
        entry.type = typo(entry.name, self.chance) + entry.type[len(entry.name) :]
        return True

    def input(self, graph: Graph) -> bool:
        places = [place for place in self.places(graph) if len(place[1]) > 5]
        if places:
            node, name, _ = self.chance.choice(places)
            wrong = typo(name, self.chance)
            entry = graph.nodes[node]
            entry.inputs = {wrong if key == name else key: held for key, held in entry.inputs.items()}
        return bool(places)

    def extra_input(self, graph: Graph) -> bool:
        entry = graph.nodes[self.chance.choice([node for node, _, _ in self.places(graph)])]
        entry.inputs["zzzz"] = Literal({"from": 1})
        return True

    def choice(self, graph: Graph) -> bool:
        places = [
            (node, name, held.value)
            for node, name, held in self.places(graph)
            if isinstance(held, Literal) and isinstance(held.value, str) and len(held.value) > 5
            if "Literal[" in str(bare(self.types[graph.nodes[node].name].inputs[name].info.annotation))
        ]
        if places:
            node, name, value = self.chance.choice(places)
            graph.nodes[node].inputs[name] = Literal(typo(value, self.chance))
        return bool(places)

    def source(self, graph: Graph) -> bool:
        places = [place for place in self.held(graph, From) if len(str(place[2]).partition(".")[0]) > 5]
        if places:
            node, name, held = self.chance.choice(places)
            assert isinstance(held, From)
            graph.nodes[node].inputs[name] = From(typo(held.node, self.chance), held.output)
        return bool(places)

    def output(self, graph: Graph) -> bool:
        places = self.held(graph, From)
        node, name, held = self.chance.choice(places)
        assert isinstance(held, From)
        graph.nodes[node].inputs[name] = From(held.node, typo(held.output, self.chance) or "x")
        return True

    def param(self, graph: Graph) -> bool:
        places = self.held(graph, Param)
        if places:
            node, name, held = self.chance.choice(places)
            assert isinstance(held, Param)
            graph.nodes[node].inputs[name] = Param(typo(held.name, self.chance))
        return bool(places)

    def wire(self, graph: Graph) -> bool:
        places = [
            (node, name)
            for node, name, _ in self.held(graph, From)
            if (item := self.types[graph.nodes[node].name].inputs[name]).required and item.wire.is_value
        ]
        if places:
            node, name = self.chance.choice(places)
            del graph.nodes[node].inputs[name]
        return bool(places)

    def model(self, graph: Graph) -> bool:
        places = [place for place in self.held(graph, Literal) if place[2] == Literal("safelight-tiny")]
        if places:
            node, name, _ = self.chance.choice(places)
            graph.nodes[node].inputs[name] = Literal(typo("safelight-tiny", self.chance))
        return bool(places)


KINDS = ("type", "input", "extra_input", "choice", "source", "output", "param", "wire", "model")


def problems_of(session: Session, graph: Graph, kind: str) -> list[Problem]:
    """The problems of a graph; those of files only if a file is damaged, since reading files takes long."""
    checked = session.check(graph)
    missing = unreadable_files(checked, session.files.for_run(graph.folder, None)) if kind == "model" else []
    return [*checked.problems, *missing]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fix_restores_what_was_meant_or_there_is_none(
    kind: str, session: Session, figures: Callable[..., None]
) -> None:
    chance = Random(SEED)
    damage: Callable[[Graph], bool] = getattr(Damage(session, chance), kind)
    counts: Counter[str] = Counter()
    for path in EXAMPLES[::2]:
        whole = replace(reader.parse(path.read_bytes()), folder=path.parent.absolute())
        graph = deepcopy(whole)
        if not damage(graph) or graph == whole:
            continue
        problems = problems_of(session, graph, kind)
        assert problems, path
        for problem in problems:
            if problem.fix is None:
                continue
            repaired = fixed(graph, problem.fix)
            assert repaired is not None, (path, problem)
            left = {(other.code, other.place) for other in problems_of(session, repaired, kind)}
            assert (problem.code, problem.place) not in left, (path, problem)
            assert fixed(repaired, problem.fix) is None, "a fix is applied once"
        fixes = [problem.fix for problem in problems if problem.fix is not None]
        if fixes:
            repaired = graph
            for fix in fixes:
                repaired = fixed(repaired, fix) or repaired
            if kind == "input":  # the order of the inputs is the same, too
                assert [*repaired.nodes[fixes[0].node].inputs] == [*whole.nodes[fixes[0].node].inputs], path
            assert repaired.nodes == whole.nodes, (path, fixes)
        counts["restored" if fixes else "left"] += 1
    assert counts["restored"] > (0 if kind == "wire" else counts["left"]), counts
    figures(damage=kind, **counts)


def test_a_picture_in_place_of_a_latent_is_encoded(session: Session) -> None:
    (path,) = (path for path in EXAMPLES if path.stem == "image_to_image")
    graph = reader.parse(path.read_bytes())
    (encode,) = (node for node, entry in graph.nodes.items() if entry.name == "Encode")
    (place,) = (
        (node, name)
        for node, entry in graph.nodes.items()
        for name, held in entry.inputs.items()
        if isinstance(held, From) and held.node == encode
    )
    graph.nodes[place[0]].inputs[place[1]] = graph.nodes.pop(encode).inputs["image"]
    codes = []
    while problems := session.check(graph).problems:
        (problem,) = problems
        codes.append(problem.code)
        assert problem.fix is not None
        repaired = fixed(graph, problem.fix)
        assert repaired is not None
        graph = repaired
    assert codes == ["type_mismatch", "missing_input"]
    assert graph.nodes["encode"].name == "Encode"
