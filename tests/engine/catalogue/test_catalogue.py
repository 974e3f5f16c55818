"""The catalogue over a home whose pack has a node that ends or blocks the process that looks at it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from engine.catalogue.catalogue import Catalogue
from engine.document import writer
from engine.errors import GraphError
from engine.queue.event_log import EventLog
from tests.engine.queue.trial_pack import make_home, request

EMBEDDINGS = Path(__file__).parents[3] / "graphs" / "embeddings"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("catalogue") / "home")


@pytest.fixture(scope="module")
def events() -> EventLog:
    return EventLog()


@pytest.fixture(scope="module")
def catalogue(home: Path, events: EventLog) -> Iterator[Catalogue]:
    with (home / "log").open("ab") as log, Catalogue(home, {"local": False}, events, log=log) as catalogue:
        yield catalogue


def test_it_describes_the_types_and_hears_of_changes(
    catalogue: Catalogue, home: Path, events: EventLog
) -> None:
    before = catalogue.types()
    assert {"Add@1", "Denoise@1"} & {known["type"] for known in before.types} >= {"Add@1"}
    assert catalogue.types() is before, "the same types are not sent again"
    reader = events.subscribe()
    source = (home / "nodes" / "trial.py").read_text()
    (home / "nodes" / "more.py").write_text(
        source[: source.index("class Add")] + "class More(Node):\n"
        '    """Return one."""\n\n    def run(self, ctx: Context) -> int:\n        return 1\n'
    )
    changed = next(event for event in reader.follow(30) if event.type == "types.changed")
    after = catalogue.types()
    assert changed.as_json()["data"] == {"etag": after.etag}
    assert after.etag != before.etag
    assert "More@1" in {known["type"] for known in after.types}


def test_a_validated_request_has_its_problems_seeds_and_plan(catalogue: Catalogue) -> None:
    checked = catalogue.validate(request("Roll", seed="random"))
    assert checked.ok
    (number,) = checked.seeds["node.seed"]
    assert checked.request == request("Roll", seed=number)
    assert [(step.node, step.action) for step in checked.plan] == [("node", "run")]
    wrong = catalogue.validate(request("Roll", sead=1))
    assert not wrong.ok
    assert (wrong.problems[0].code, wrong.problems[0].place) == ("unknown_input", "node.sead")
    assert wrong.plan == []


def test_files_of_graphs_are_read(catalogue: Catalogue) -> None:
    graph = request("Add", a=3).graph
    imported = catalogue.read_file("../../graph.json", writer.dump(graph).encode())
    assert imported.graph == graph
    with pytest.raises(GraphError) as error:
        catalogue.read_file("noise.bin", b"\x00\x01")
    assert error.value.problems[0].code == "bad_json"


def test_models_and_completions_are_listed(catalogue: Catalogue, home: Path, events: EventLog) -> None:
    catalogue.types()  # the process has started, and has created the folders
    reader = events.subscribe()
    (home / "models" / "loras" / "mine").mkdir()
    assert any(event.type == "models.changed" for event in reader.follow(30))
    assert catalogue.models(kind="lora") == []
    assert catalogue.complete("ink") == []
    copytree(EMBEDDINGS, home / "models" / "embeddings", dirs_exist_ok=True)
    assert any(event.type == "models.changed" for event in reader.follow(30))
    assert [item.text for item in catalogue.complete("ru")] == ["<ruby>"]
    with pytest.raises(GraphError):
        catalogue.models(kind="no such kind")


def test_the_process_is_replaced_when_it_dies_or_hangs(catalogue: Catalogue) -> None:
    first = catalogue.pid
    with pytest.raises(GraphError) as error:
        catalogue.validate(request("Trap", how="exit"))
    assert error.value.problems[0].code == "catalogue_died"
    checked = catalogue.validate(request("Add"))
    assert (checked.ok, checked.request) == (True, request("Add"))
    assert catalogue.pid not in (None, first)
    catalogue._seconds = 1.0
    began = time.monotonic()
    with pytest.raises(GraphError) as error:
        catalogue.validate(request("Trap", how="hang"))
    assert error.value.problems[0].code == "catalogue_timeout"
    assert time.monotonic() - began < 10
