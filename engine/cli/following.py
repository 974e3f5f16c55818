"""Who follows a run if somebody asks: `--trace`, `--events`, and OpenTelemetry by its environment."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from engine.cli import say
from engine.errors import GraphError, Problem
from engine.paths import expanded

if TYPE_CHECKING:
    from engine.events import Emit, Event
    from engine.session import Session
    from engine.watch import Watch

TraceFile = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        metavar="FILE",
        help="Write who worked when, what was waited for, and the memory of each step; ui.perfetto.dev "
        "opens it.",
    ),
]
EventsFile = Annotated[
    Path | None,
    typer.Option(
        "--events", metavar="FILE", help="Write each event as a line of JSON as it happens; - is stdout."
    ),
]

_ASKS = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@contextmanager
def following(session: Session, trace: Path | None) -> Iterator[Watch]:
    """What watches the run for `--trace` and OpenTelemetry, if somebody asked.

    Raises:
        GraphError: the trace cannot be written.
    """
    from engine.watch import Watch

    telling = wants_telemetry(os.environ)
    if trace is None and not telling:
        yield Watch()
        return
    from engine.lifecycles.measured import Measured

    measured = Measured(session.device)
    with Watch(measured) as watch:
        if trace is not None:
            from engine.trace import Trace

            _spare("--trace", expanded(trace), b"[")
            try:
                watch.add(Trace(expanded(trace), session.device, measured, say.warn))
            except OSError as error:
                raise _unwritable("--trace", trace, error) from None
        if telling:
            try:
                from engine.telemetry import telemetry
            except ImportError:
                say.warn("OpenTelemetry is not installed · hint: pip install 'safelight[observe]'")
            else:
                if (told := telemetry(measured, os.environ, say.warn)) is not None:
                    watch.add(told)
        yield watch


def wants_telemetry(environment: Mapping[str, str]) -> bool:
    """Whether the environment asks for OpenTelemetry, in its own variables."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    asked = [environment.get(name, "") for name in _ASKS]
    return any(asked) and asked[0] != "none"


@contextmanager
def events_to(path: Path | None) -> Iterator[Emit | None]:
    """What writes `--events`; None if nobody asked.

    Raises:
        GraphError: the file cannot be written.
    """
    if path is None:
        yield None
    elif str(path) == "-":
        yield _Lines(sys.stdout, "standard output")
    else:
        _spare("--events", expanded(path), b'{"t":')
        try:
            file = expanded(path).open("w", encoding="ascii")
        except OSError as error:
            raise _unwritable("--events", path, error) from None
        try:
            yield _Lines(file, str(path))
        finally:
            with suppress(OSError):  # said already, when it happened
                file.close()


class _Lines:
    """A line for each event, at once; a file that takes no more is said once, and the run goes on."""

    def __init__(self, file: TextIO, name: str) -> None:
        from engine.event_line import event_line

        self._line = event_line
        self._file: TextIO | None = file
        self._name = name
        self._start = time.perf_counter()

    def __call__(self, event: Event) -> None:
        if self._file is None:
            return
        try:
            self._file.write(self._line(event, self._start))
            self._file.flush()
        except (OSError, ValueError) as error:
            self._file = None
            say.warn(f"the events cannot be written to {self._name} any more: {error}")


def together(*listeners: Emit | None) -> Emit:
    """Tells every one of some listeners."""
    there: list[Callable[[Event], None]] = [listener for listener in listeners if listener is not None]

    def tell(event: Event) -> None:
        for listener in there:
            listener(event)

    return tell if len(there) > 1 else there[0]


def _spare(option: str, path: Path, head: bytes) -> None:
    """Replace nothing but what an earlier run wrote: a slip of the pen must not cost somebody a graph.

    Raises:
        GraphError: a file lies there that begins otherwise.
    """
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            begins = file.read(len(head))
    except OSError as error:
        raise _unwritable(option, path, error) from None
    if begins not in (b"", head):
        message = f"{option}: {path} is another kind of file, which would be lost"
        raise GraphError([Problem("unwritable", message, hint="name another file")])


def _unwritable(option: str, path: Path, error: OSError) -> GraphError:
    message = f"{option}: {path} cannot be written: {error.strerror or error}"
    return GraphError([Problem("unwritable", message, hint="name another file")])
