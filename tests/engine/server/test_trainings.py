"""The curve of a training whose worker is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from engine import settings
from engine.document.graph import From, Graph
from engine.events import Event, Metrics
from engine.queue.metric_table import merged
from engine.session import Session
from tests.engine.queue.waiting import until
from tests.engine.server.conftest import start_server
from tests.nodes.training.test_train_ti import graph, pictures

__all__ = ["pictures"]

STEPS, APART = 60, 6


def undisturbed(home: Path, work: Graph) -> list[dict[str, float | None]]:
    """The rows of the same training in this process, all in one."""
    events: list[Event] = []
    with Session(settings.load(home, device="cpu")) as session:
        session.run(work, emit=events.append)
    return merged(row for event in events if isinstance(event, Metrics) for row in event.rows)


@pytest.mark.slow
def test_a_killed_training_shows_its_whole_history_and_where_it_went_on(
    tmp_path: Path, pictures: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(pictures, home / "inputs" / "squares")
    work = graph(Path("squares"), steps=STEPS, checkpoint_every=APART, validate_every=25)
    work.nodes["train"].inputs["validation"] = From("data", "out")
    server = start_server(home, "--device", "cpu")
    try:
        with server.client() as client:

            def rows() -> list[dict[str, Any]]:
                found: list[dict[str, Any]] = client.get(f"/runs/{id}/metrics")["rows"].get("train", [])
                return found

            id = client.submit(work)["run"]
            until(lambda: len([row for row in rows() if "loss" in row]) > APART, 120)
            os.kill(client.info()["devices"][0]["pid"], signal.SIGKILL)
            assert client.wait(id, 120)["summary"]["state"] == "done"
            after = rows()
    finally:
        server.stop()
    resumed = [row["step"] for row in after if row.pop("resumed", None)]
    assert len(resumed) == 1
    assert resumed[0] in range(APART, STEPS, APART)
    shutil.copytree(pictures, tmp_path / "whole" / "inputs" / "squares")
    expected = undisturbed(tmp_path / "whole", work)
    assert [row["step"] for row in after] == [row["step"] for row in expected]
    for row, other in zip(after, expected, strict=True):
        assert row == pytest.approx(other), json.dumps(row)
