"""OpenTelemetry spans of a run, as the SDK's own exporter in memory receives them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from engine import settings
from engine.context import Context
from engine.node import Node
from engine.observe import telemetry
from engine.observe.step_memory import MemoryMeasurement
from engine.observe.telemetry import Telemetry
from engine.observe.watch import Watch
from engine.packs.registry import Registry
from engine.session import Session
from tests.engine.small_nodes import Broken, Mix, graph_of


class Inner(Node):
    """Call a library that tells of itself."""

    a: int = 0

    def run(self, ctx: Context) -> int:
        span = trace.get_current_span()
        span.add_event("the library was here")
        ctx.warn("rain")
        return self.a


GRAPH = graph_of(
    {
        "one": ("Mix", {"a": 1}),
        "two": ("Mix", {"a": {"from": "one.out"}}),
        "inner": ("Inner", {"a": {"from": "one.out"}}),
        "bad": ("Broken", {"a": {"from": "one.out"}}),
        "after": ("Mix", {"a": {"from": "bad.out"}}),
    }
)


def spans(home: Path, environment: dict[str, str] | None = None) -> Sequence[ReadableSpan]:
    """The spans of one run of the graph."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with Session(settings.load(home), registry=Registry([Mix, Broken, Inner])) as session:
        with Watch(measured := MemoryMeasurement("cpu")) as watch:
            watch.add(Telemetry(provider.get_tracer("test"), measured, environment or {}))
            session.run_plan(session.plan(GRAPH), watch, watch)
    return exporter.get_finished_spans()


def said(span: ReadableSpan) -> dict[str, Any]:
    return {key.removeprefix("safelight."): value for key, value in (span.attributes or {}).items()}


def test_a_run_is_one_span_with_one_for_each_step_in_it(tmp_path: Path) -> None:
    found = spans(tmp_path)
    (run,) = [span for span in found if span.name == "safelight run"]
    steps = {said(span)["node"]: span for span in found if "node" in said(span)}
    assert steps.keys() == {"one", "two", "inner", "bad"}
    assert {span.name for span in steps.values()} == {"Mix", "Inner", "Broken"}
    assert run.context is not None
    for span in steps.values():
        assert span.parent is not None
        assert span.parent.span_id == run.context.span_id
        assert run.start_time is not None
        assert span.start_time is not None
        assert span.end_time is not None
        assert run.end_time is not None
        assert run.start_time <= span.start_time <= span.end_time <= run.end_time
    told = said(steps["two"])
    assert (told["type"], told["cache"], len(told["key"])) == ("Mix@1", "none", 64)
    assert told["reason"]
    assert told["memory.host"] > 0
    assert {key: said(run)[key] for key in ("steps", "to_run", "state")} == {
        "steps": 5,
        "to_run": 5,
        "state": "failed",
    }


def test_a_failure_is_the_status_of_its_span_and_of_the_run(tmp_path: Path) -> None:
    found = spans(tmp_path)
    wrong = {
        span.name: span.status.description for span in found if span.status.status_code is StatusCode.ERROR
    }
    assert wrong == {"Broken": "it is broken", "safelight run": "a step failed"}
    (bad,) = [span for span in found if span.name == "Broken"]
    assert said(bad)["problem"] == "node_failed"


def test_spans_of_a_node_s_calls_are_inside_its_span(tmp_path: Path) -> None:
    (inner,) = [span for span in spans(tmp_path) if span.name == "Inner"]
    assert [event.name for event in inner.events] == ["the library was here", "warning"]
    assert trace.get_current_span() is trace.INVALID_SPAN, "nothing is left behind on this thread"


def test_the_store_is_told_inside_the_step_that_uses_it(tmp_path: Path) -> None:
    found = spans(tmp_path)
    steps = {span.context.span_id for span in found if "node" in said(span) and span.context is not None}
    writes = [span for span in found if span.name == "write to the store"]
    assert len(writes) == 3
    assert all(span.parent is not None and span.parent.span_id in steps for span in writes)


def test_a_caller_says_what_the_run_is_part_of(tmp_path: Path) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    (run,) = [span for span in spans(tmp_path, {"TRACEPARENT": parent}) if span.name == "safelight run"]
    assert run.parent is not None
    assert f"{run.parent.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{run.parent.span_id:016x}" == "b7ad6b7169203331"


def test_a_cached_run_has_no_steps(tmp_path: Path) -> None:
    spans(tmp_path)
    again = spans(tmp_path)
    assert {said(span)["node"] for span in again if "node" in said(span)} == {"bad"}
    (run,) = [span for span in again if span.name == "safelight run"]
    assert said(run)["to_run"] == 2


@pytest.mark.parametrize(
    "environment",
    [{"OTEL_TRACES_EXPORTER": "nobodys"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}],
)
def test_without_an_exporter_there_is_a_warning_and_no_telemetry(environment: dict[str, str]) -> None:
    warned: list[str] = []
    assert telemetry.telemetry(MemoryMeasurement("cpu"), environment, warned.append) is None
    assert len(warned) == 1
    assert "safelight[observe]" in warned[0]
