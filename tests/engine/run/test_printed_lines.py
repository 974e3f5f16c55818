"""What steps print: each line goes to standard error and into an event of its node."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import settings
from engine.context import Context
from engine.document.graph import Graph
from engine.events import Event, Failed, Finished, Printed, Progress
from engine.node import Node
from engine.packs.registry import Registry
from engine.run import captured_stdout, printed_lines
from engine.session import Session
from engine.values import Json
from tests.engine.small_nodes import graph_of

MEETING = threading.Barrier(2)


class Speak(Node):
    """Print a line in two parts, while another node does the same."""

    words: str = ""

    def run(self, ctx: Context) -> str:
        MEETING.wait(60)
        print(self.words, end=" ")
        MEETING.wait(60)
        print("and more")
        print("no end", end="")
        return self.words


class Chatter(Node):
    """Print very many lines."""

    def run(self, ctx: Context) -> int:
        for n in range(printed_lines.MOST_LINES + 5):
            print(n)
        return 0


class Track(Node):
    """Report progress and print."""

    def run(self, ctx: Context) -> int:
        for _ in ctx.track(1):
            print("at work")
        return 0


class Outside(Node):
    """Let a thread that is not a step's print."""

    def run(self, ctx: Context) -> int:
        thread = threading.Thread(target=print, args=("by another thread",))
        thread.start()
        thread.join()
        return 0


class Mix(Node):
    """Write to standard output in every way, one after the other."""

    def run(self, ctx: Context) -> int:
        print("by print")
        os.write(1, b"by the system\n")
        thread = threading.Thread(target=print, args=("by another thread",))
        thread.start()
        thread.join()
        os.write(1, b"by the system again\nhalf a line, ")
        print("by print again")
        os.write(1, b"and its end")
        return 0


class Endless(Node):
    """Print, and call itself without end."""

    def run(self, ctx: Context) -> int:
        print("again")
        return self.run(ctx)


class Fork(Node):
    """Let a fork of the process print."""

    def run(self, ctx: Context) -> int:
        child = os.fork()
        if not child:
            try:
                print("by a fork")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        return 0


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    registry = Registry([Speak, Chatter, Track, Outside, Mix, Endless, Fork])
    with Session(settings.load(tmp_path, device="cpu"), registry=registry) as session:
        yield session


def graph(type: str) -> Graph:
    return graph_of({"node": (type, {})})


def told(events: list[Event]) -> list[tuple[str, str | None]]:
    return [(event.text, event.node) for event in events if isinstance(event, Printed)]


def test_lines_of_nodes_that_run_at_once_are_told_apart(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = {"a": ("Speak", {"words": "one"}), "b": ("Speak", {"words": "two"})}
    events: list[Event] = []
    before = sys.stdout
    session.run(graph_of(nodes), targets=("a", "b"), emit=events.append)
    assert sys.stdout is before
    expected = {("one and more", "a"), ("no end", "a"), ("two and more", "b"), ("no end", "b")}
    assert set(told(events)) == expected
    out, err = capsys.readouterr()
    assert out == ""
    assert sorted(err.splitlines()) == sorted(text for text, _ in expected)


def test_standard_error_gets_every_line_and_the_events_are_bounded(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[Event] = []
    session.run(graph("Chatter"), emit=events.append)
    assert len(told(events)) == printed_lines.MOST_LINES + 1
    assert len(capsys.readouterr().err.splitlines()) == printed_lines.MOST_LINES + 5


def test_a_node_that_prints_and_recurses_without_end_fails_alone(session: Session) -> None:
    """The listeners are not called so near to the recursion limit that they break themselves."""
    events: list[Event] = []
    nodes: dict[str, tuple[str, dict[str, Json]]] = {"a": ("Endless", {}), "b": ("Chatter", {})}
    report = session.run(graph_of(nodes), emit=events.append)
    assert {node: told.state for node, told in report.nodes.items()} == {"a": "failed", "b": "done"}
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert failed.problem.message.startswith("RecursionError")
    assert "test_printed_lines.py" in failed.trace
    assert isinstance(events[-1], Finished)


def test_text_printed_by_a_listener_is_not_the_node_s(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, Printed | Progress):
            print("heard", type(event).__name__)

    session.run(graph("Track"), emit=listen)
    assert told(events) == [("at work", "node")]
    assert capsys.readouterr() == ("heard Printed\nheard Progress\n", "at work\n")


def test_other_threads_of_a_script_print_to_its_standard_output(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[Event] = []
    session.run(graph("Outside"), emit=events.append)
    assert told(events) == []
    assert capsys.readouterr() == ("by another thread\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(not hasattr(select, "poll"), reason="standard output is captured with poll")
def test_lines_keep_their_order_while_the_reader_of_the_descriptor_is_late(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, read = threading.Event(), captured_stdout._Capture._read

    def read_late(self: captured_stdout._Capture) -> None:
        late.wait(60)
        read(self)

    monkeypatch.setattr(captured_stdout._Capture, "_read", read_late)
    events: list[Event] = []
    with captured_stdout.captured_stdout():
        session.run(graph("Mix"), emit=events.append)
        late.set()
    assert [text for text, _ in told(events)] == [
        "by print",
        "by the system",
        "by another thread",
        "by the system again",
        "by print again",
        "half a line, and its end",
    ]


def test_a_fork_sends_no_events_of_its_own(session: Session) -> None:
    """It holds copies of the journal and of every other listener."""
    assert session.run(graph("Fork")).state == "done"
    (journal,) = (session.settings.store_folder / "journal").iterdir()
    assert '"done"' in journal.read_text()
    assert '"printed"' not in journal.read_text()
