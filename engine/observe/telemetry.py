"""Sends runs as OpenTelemetry spans: one span for the run, and inside it one for each step."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Token
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING, Any

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, Tracer

from engine.errors import error_text as explained
from engine.events import Event, Failed, Finished, Planned, Started, Warned
from engine.observe.step_memory import MemoryMeasurement
from engine.observe.watch import Watcher, Why, no_reason
from engine.plan.step import Step
from engine.store.store import Result

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter


FLUSH_SECONDS = 3.0
"""The longest time in seconds that the end of a run waits for a collector."""


class Telemetry(Watcher):
    """A watcher that sends one run as OpenTelemetry spans.

    The attributes of a run are `safelight.title`, `.steps`, `.to_run` and `.state`; those of a step are
    `safelight.node`, `.type`, `.reason`, `.key`, `.cache`, `.problem`, and in bytes `.memory.host`, `.rise`
    and `.device`. The values of inputs are not sent, unless an error message quotes one.

    Args:
        tracer: creates the spans.
        measured: measures the memory of steps; its lifecycle runs inside this one.
        environment: the environment variables, of which `TRACEPARENT` may name the calling program's span.
        closing: called after all spans have ended.
    """

    def __init__(
        self,
        tracer: Tracer,
        measured: MemoryMeasurement,
        environment: Mapping[str, str],
        closing: Callable[[], object] = lambda: None,
    ) -> None:
        self.why: Why = no_reason
        self._tracer, self._measured, self._closing = tracer, measured, closing
        carrier = {name.lower(): environment.get(name, "") for name in ("TRACEPARENT", "TRACESTATE")}
        self._run = tracer.start_span("safelight run", context=propagate.extract(carrier))
        self._inside = trace.set_span_in_context(self._run)
        self._steps: dict[str, tuple[Span, Token[Context]]] = {}
        self._unfinished: dict[str, tuple[Span, int]] = {}
        self._computed: set[str] = set()

    def close(self) -> None:
        """End all spans that are still open."""
        for node in list(self._unfinished):
            self._end(node)
        self._run.end()
        self._closing()

    def _end(self, node: str) -> None:
        """End the span of a step that ended without a result."""
        if node in self._unfinished:
            span, ended = self._unfinished.pop(node)
            span.end(ended)

    @contextmanager
    def span(self, name: str, **facts: object) -> Iterator[None]:
        """Context manager: a span inside that of the calling thread's step, or of the run if it has none."""
        nowhere = trace.get_current_span() is trace.INVALID_SPAN
        attributes: dict[str, Any] = {f"safelight.{key}": value for key, value in facts.items()}
        with self._tracer.start_as_current_span(
            name, self._inside if nowhere else None, attributes=attributes, record_exception=False
        ):
            yield

    def setup(self, step: Step, inputs: Mapping[str, object]) -> Result | None:
        """Begin the span of a step, which is the current span while the node runs."""
        self._end(step.id)  # the span of a node that returned a graph, which has now run
        attributes = {
            "safelight.node": step.id,
            "safelight.type": step.bound.type.id,
            "safelight.reason": self.why(step),
            "safelight.key": step.key or "",
        }
        span = self._tracer.start_span(step.bound.type.name, self._inside, attributes=attributes)
        self._steps[step.id] = span, contexts.attach(trace.set_span_in_context(span))
        return None

    def teardown(self, step: Step, inputs: Mapping[str, object], result: Result | None) -> None:
        """End the span of a step. That of a failed step is ended by the event `Failed`."""
        span, token = self._steps.pop(step.id)
        contexts.detach(token)
        span.set_attribute("safelight.cache", "none" if step.id in self._computed else "store")
        if (memory := self._measured.memory.get(step.id)) is not None:
            for name, held in memory.as_json().items():
                if held is not None:
                    span.set_attribute(f"safelight.memory.{name}", held)
        if result is not None:
            span.end()
        else:
            self._unfinished[step.id] = span, time.time_ns()

    def __call__(self, event: Event) -> None:
        """Add the data of an event to the span of its step or of the run."""
        match event:
            case Planned(_, title, steps):
                self._run.set_attribute("safelight.title", title)
                self._run.set_attribute("safelight.steps", len(steps))
                self._run.set_attribute("safelight.to_run", event.to_run)
            case Started(node):
                self._computed.add(node)
            case Warned(message, node):
                there = self._steps.get(node or "")
                (there[0] if there else self._run).add_event("warning", {"message": message})
            case Failed(node, _, problem) if node in self._unfinished:
                span, _ = self._unfinished[node]
                span.set_attribute("safelight.problem", problem.code)
                span.set_status(Status(StatusCode.ERROR, problem.message))
                self._end(node)
            case Finished(state):
                self._run.set_attribute("safelight.state", state)
                if state == "failed":
                    self._run.set_status(Status(StatusCode.ERROR, "a step failed"))
            case _:
                pass


def telemetry(
    measured: MemoryMeasurement, environment: Mapping[str, str], warn: Callable[[str], None]
) -> Telemetry | None:
    """Create the watcher that sends spans to the exporters set in the environment; None if that fails.

    If the program has set up OpenTelemetry itself, its exporters are used; otherwise those that
    `OTEL_TRACES_EXPORTER` names, by default `otlp`.
    """
    provider = trace.get_tracer_provider()
    if not isinstance(provider, trace.ProxyTracerProvider):
        return Telemetry(_tracer(provider), measured, environment)
    try:
        ours = _provider(environment)
    except Exception as error:  # an exporter may raise anything
        hint = "pip install 'safelight[observe]'"
        warn(f"this run cannot be sent to OpenTelemetry: {explained(error)} · hint: {hint}")
        return None

    def flush() -> None:
        """Send the remaining spans, waiting at most `FLUSH_SECONDS` for the collector."""
        thread = threading.Thread(target=ours.shutdown, name="safelight-telemetry", daemon=True)
        thread.start()
        thread.join(FLUSH_SECONDS)

    return Telemetry(_tracer(ours), measured, environment, flush)


def _tracer(provider: trace.TracerProvider) -> Tracer:
    return provider.get_tracer("safelight", version("safelight"))


def _provider(environment: Mapping[str, str]) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = environment.get("OTEL_SERVICE_NAME") or "safelight"
    provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
    for exporter in environment.get("OTEL_TRACES_EXPORTER", "otlp").split(","):
        provider.add_span_processor(BatchSpanProcessor(_exporter(exporter.strip(), environment)))
    return provider


def _exporter(name: str, environment: Mapping[str, str]) -> SpanExporter:
    """Create the exporter that has this name in OpenTelemetry."""
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    if name == "console":
        return ConsoleSpanExporter(out=sys.stderr)
    if name == "otlp":
        protocol = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        name = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    found = list(entry_points(group="opentelemetry_traces_exporter", name=name))
    if not found:
        raise LookupError(f"there is no OpenTelemetry exporter {name!r}")
    made: SpanExporter = found[0].load()()
    return made
