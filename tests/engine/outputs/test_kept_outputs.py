"""Tests of a report's outputs: few are held, many are read again from the store or from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import settings
from engine.errors import SafelightError
from engine.outputs import kept_outputs
from engine.packs.registry import Registry
from engine.session import Session
from engine.store.disk import Disk
from tests.engine.run.test_deliveries import Drop, Make, More, sweep_of

REGISTRY = Registry([Make, More])


def numbers(value: object) -> list[int]:
    assert isinstance(value, list)
    return [drop.n for drop in value if isinstance(drop, Drop)]


@pytest.mark.parametrize("room", [0, 1000])
@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("keeps", [False, True])
def test_outputs_are_read_from_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, write: bool, keeps: bool
) -> None:
    monkeypatch.setattr(kept_outputs, "HELD_BYTES", room)
    budget = {} if keeps else {"disk_budget": 0, "memory_budget": 0}
    with Session(settings.load(tmp_path, device="cpu", **budget), registry=REGISTRY) as session:
        report = session.run(sweep_of([1, 2, 3], write=write))
        if room or write or keeps:
            assert numbers(report["drop"]) == [101, 102, 103]
            assert report.outputs["drop"].digest == report.written["drop"].digest
        else:
            with pytest.raises(SafelightError, match="run the graph again"):
                report["drop"]
    if room or write:
        assert numbers(report["drop"]) == [101, 102, 103], "also when the session is closed"


def test_outputs_without_another_copy_are_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_outputs, "HELD_BYTES", 0)
    acts = type("Acts", (Make,), {"__module__": __name__, "__doc__": "Act."}, pure=False)
    with Session(settings.load(tmp_path, device="cpu"), registry=Registry([acts])) as session:
        request = sweep_of([1, 2], write=False)
        request.graph.nodes["make"].type = "Acts"
        del request.graph.nodes["more"]
        request.graph.outputs = {"drop": request.graph.outputs["drop"].__class__("make", "out")}
        assert numbers(session.run(request)["drop"]) == [1, 2]


def test_a_report_holds_nothing_that_both_the_store_and_files_have(tmp_path: Path) -> None:
    with Session(settings.load(tmp_path, device="cpu"), registry=REGISTRY) as session:
        report = session.run(sweep_of([1, 2], write=True))
        session.store.memory.clear()
        assert isinstance(session.store.disk, Disk)
        session.store.disk.clear()
        assert numbers(report["drop"]) == [101, 102], "from the files"
        for file in report.files["drop"]:
            file.unlink()
        with pytest.raises(SafelightError, match="run the graph again"):
            report["drop"]
