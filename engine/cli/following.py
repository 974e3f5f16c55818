"""Records a run: `--trace`, `--events`, and OpenTelemetry if its environment variables request it."""

from __future__ import annotations

import os
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
    from engine.observe.watch import Watch
    from engine.session import Session

TraceFile = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        metavar="FILE",
        help="Write a timeline of the run, with waits and the memory of each step, for ui.perfetto.dev.",
    ),
]
EventsFile = Annotated[
    Path | None,
    typer.Option(
        "--events",
        metavar="FILE",
        help="Write each event as a line of JSON when it happens; - writes to stdout.",
    ),
]

_REQUESTS = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@contextmanager
def following(session: Session, trace: Path | None) -> Iterator[Watch]:
    """Context manager: a watch for a run, which writes a trace and sends OpenTelemetry if requested.

    Raises:
        GraphError: the trace file cannot be created.
    """
    from engine.observe.watch import Watch

    exporting = wants_telemetry(os.environ)
    if trace is None and not exporting:
        yield Watch()
        return
    from engine.observe.step_memory import MemoryMeasurement

    measured = MemoryMeasurement(session.device)
    with Watch(measured) as watch:
        if trace is not None:
            from engine.observe.trace import Trace

            _refuse_other_file("--trace", expanded(trace), b"[")
            try:
                watch.add(Trace(expanded(trace), session.device, measured, say.warn))
            except OSError as error:
                raise _unwritable("--trace", trace, error) from None
        if exporting:
            try:
                from engine.observe.telemetry import telemetry
            except ImportError:
                say.warn("OpenTelemetry is not installed · hint: pip install 'safelight[observe]'")
            else:
                if (exporter := telemetry(measured, os.environ, say.warn)) is not None:
                    watch.add(exporter)
        yield watch


def wants_telemetry(environment: Mapping[str, str]) -> bool:
    """Return True if the environment variables of OpenTelemetry request traces."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    requests = [environment.get(name, "") for name in _REQUESTS]
    return any(requests) and requests[0] != "none"


@contextmanager
def events_to(path: Path | None, stdout: TextIO) -> Iterator[Emit | None]:
    """Context manager: a listener that writes events as lines of JSON to a file; None without a file.

    Args:
        path: the value of `--events`; `-` means standard output.
        stdout: the stream for standard output.

    Raises:
        GraphError: the file cannot be written.
    """
    if path is None:
        yield None
    elif str(path) == "-":
        yield _Lines(stdout, "standard output")
    else:
        _refuse_other_file("--events", expanded(path), b'{"t":')
        try:
            file = expanded(path).open("w", encoding="ascii")
        except OSError as error:
            raise _unwritable("--events", path, error) from None
        try:
            yield _Lines(file, str(path))
        finally:
            with suppress(OSError):  # a failed write has been reported already
                file.close()


class _Lines:
    """A listener that writes each event as a line. If a write fails, it warns once and writes no more."""

    def __init__(self, file: TextIO, name: str) -> None:
        from engine.observe.event_line import event_line

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
    """Return a listener that passes each event to all of these listeners; None is skipped."""
    present: list[Callable[[Event], None]] = [listener for listener in listeners if listener is not None]

    def emit(event: Event) -> None:
        for listener in present:
            listener(event)

    return emit if len(present) > 1 else present[0]


def _refuse_other_file(option: str, path: Path, head: bytes) -> None:
    """Refuse to overwrite a file that is not an earlier recording, such as a graph named by mistake.

    Raises:
        GraphError: the file exists and does not begin with the bytes of a recording.
    """
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            begins = file.read(len(head))
    except OSError as error:
        raise _unwritable(option, path, error) from None
    if begins not in (b"", head):
        message = f"{option}: {path} exists and is another kind of file"
        raise GraphError([Problem("unwritable", message, hint="name another file")])


def _unwritable(option: str, path: Path, error: OSError) -> GraphError:
    message = f"{option}: {path} cannot be written: {error.strerror or error}"
    return GraphError([Problem("unwritable", message, hint="name another file")])
