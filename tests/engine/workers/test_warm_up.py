"""What a worker prepares while no run waits for it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast
from unittest.mock import MagicMock

import pytest

from engine import settings as loading
from engine.context import Context
from engine.document.graph import Entry, From, Graph
from engine.document.run_request import RunRequest
from engine.node import Node
from engine.packs.registry import Registry
from engine.session import Session
from engine.workers.frames import FrameWriter, frames
from engine.workers.process import Process

GRAPH = Graph({"seven": Entry("Seven@1")}, outputs={"seven": From("seven", "out")})


class Seven(Node):
    """A number."""

    def run(self, ctx: Context) -> int:
        return 7


@pytest.fixture(autouse=True)
def no_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose owner has ended ends its process; here that is the process of the tests."""
    monkeypatch.setattr(threading, "Timer", MagicMock())


class Served:
    """A worker's side on a thread, and the pipes of its owner."""

    def __init__(self, home: Path, warm_up: Callable[[], Iterator[object]], *, is_on: bool = True) -> None:
        registry = Registry([Seven])
        registry.warm_ups = [warm_up]
        self.session = Session(loading.load(home, device="cpu", warm_up=is_on), registry=registry)
        (incoming, order), (answer, outgoing) = os.pipe(), os.pipe()
        ends = ((order, "wb"), (incoming, "rb"), (outgoing, "wb"))
        self._pipes = [cast("BinaryIO", os.fdopen(end, mode)) for end, mode in ends]
        self._answers = os.fdopen(answer, "rb")
        self._orders = FrameWriter(self._pipes[0])
        self.process = Process(self.session, self._pipes[1], FrameWriter(self._pipes[2]))
        self._thread = threading.Thread(target=self.process.serve, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def run(self) -> None:
        self._orders.write({"do": "run", "run": "1", "request": RunRequest(GRAPH).to_json()})

    def said(self, *kinds: str) -> dict[str, Any]:
        """The next message of some kinds."""
        return next(message for message in frames(self._answers) if message["say"] in kinds)

    def close(self) -> None:
        self._orders.write({"do": "close"})
        self._thread.join(60)
        assert not self._thread.is_alive()
        self._pipes[0].close()  # ends the thread that reads it
        for thread in threading.enumerate():
            if thread.name == "safelight-owner":
                thread.join(60)
        for pipe in (*self._pipes, self._answers):
            pipe.close()
        self.session.close()


def test_a_run_starts_between_two_steps_and_the_rest_follows(tmp_path: Path) -> None:
    steps: list[str] = []

    def warm_up() -> Iterator[object]:
        steps.append("first")
        served.run()
        while served.process._orders.waiting.empty():
            time.sleep(0.001)
        yield None
        assert served.said("ended")["report"]["state"] == "done"
        steps.append("second")
        yield None
        steps.append("all")
        done.set()

    done = threading.Event()
    served = Served(tmp_path, warm_up)
    served.start()
    assert done.wait(60)
    served.close()
    assert steps == ["first", "second", "all"]


@pytest.mark.parametrize("is_on", [True, False])
def test_a_failed_preparation_is_a_warning_and_runs_go_on(tmp_path: Path, is_on: bool) -> None:
    def warm_up() -> Iterator[object]:
        yield None
        raise ValueError("no such library")

    served = Served(tmp_path, warm_up, is_on=is_on)
    served.start()
    if is_on:
        assert "no such library" in served.said("warned")["message"]
    served.run()
    assert served.said("ended", "warned")["report"]["state"] == "done"
    served.close()
