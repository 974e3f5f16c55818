"""`--trace`, `--events` and OpenTelemetry by its environment, as a person asks for them."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.cli.following import wants_telemetry
from tests.engine.cli.conftest import Call, Start, Write
from tests.engine.cli.test_process import wait_for


@pytest.fixture(autouse=True)
def _unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


@pytest.fixture
def failing(write: Write) -> Path:
    """A graph of which one branch ends well and the other does not."""
    nodes = {
        "one": ("Add", {"a": 1}),
        "two": ("Add", {"a": {"from": "one.out"}}),
        "say": ("Say", {"text": "warn of rain"}),
        "bad": ("Fail", {"a": {"from": "one.out"}}),
        "after": ("Add", {"a": {"from": "bad.out"}}),
    }
    return write(nodes, outputs={"sum": "two.out", "never": "after.out", "said": "say.out"})


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_events_are_lines_of_json_in_a_file_or_on_stdout(call: Call, failing: Path) -> None:
    answer = call("run", failing, "--events", "events.jsonl", "--json")
    assert answer.code == 1
    told = lines(Path("events.jsonl").read_text())
    assert (told[0]["event"], told[-1]["event"], told[-1]["state"]) == ("planned", "finished", "failed")
    assert {(line["event"], line.get("node")) for line in told[1:-1]} == {
        *(("output", node) for node in ("two", "say")),
        *(("started", node) for node in ("one", "two", "say", "bad")),
        *(("done", node) for node in ("one", "two", "say")),
        ("warned", "say"),
        ("failed", "bad"),
        ("skipped", "after"),
    }
    again = call("run", failing, "--events", "-", "--quiet")
    events = [line for line in again.out.splitlines() if line.startswith('{"t":')]
    assert "finished" in {line["event"] for line in lines("\n".join(events))}
    assert ("warned", "say") in {(line["event"], line.get("node")) for line in lines("\n".join(events))}


def test_a_trace_holds_the_steps_the_failure_and_the_warning(call: Call, failing: Path) -> None:
    answer = call("run", failing, "--trace", "trace.json", "--json")
    assert answer.code == 1
    events = json.loads(Path("trace.json").read_text())
    steps = [event["name"] for event in events if event["ph"] == "B" and event.get("cat") == "step"]
    assert sorted(steps) == ["bad", "one", "say", "two"]
    said = {event["name"] for event in events if event["ph"] == "i"}
    assert {"bad failed: it cannot be done", "after is skipped: bad failed", "say: warn of rain"} <= said
    assert {event["name"] for event in events if event["ph"] == "B"} >= {"check and plan", "run"}
    memory = answer.json["nodes"]["two"]["memory"]
    assert memory.keys() == {"host", "rise", "device"}
    again = call("run", failing, "--json")
    assert all("memory" not in node for node in again.json["nodes"].values())


@pytest.mark.parametrize("option", ["--trace", "--events"])
def test_a_place_that_cannot_be_written_is_refused_before_anything_runs(
    call: Call, failing: Path, option: str
) -> None:
    for place in (".", "no/such/folder/file", "graph.json/below"):
        answer = call("run", failing, option, place, "--json")
        (problem,) = answer.json["problems"]
        assert (answer.code, problem["code"]) == (2, "unwritable")
        assert problem["message"].startswith(f"{option}: {place} cannot be written")
    assert call("plan", failing, "--json").json["to_run"] == 5


@pytest.mark.parametrize("option", ["--trace", "--events"])
def test_trace_and_events_do_not_replace_other_files(call: Call, painting: Path, option: str) -> None:
    before = painting.read_bytes()
    answer = call("run", painting, option, painting, "--json")
    assert (answer.code, answer.json["problems"][0]["code"]) == (2, "unwritable")
    assert painting.read_bytes() == before
    Path("told").touch()
    for _ in range(2):
        assert call("run", painting, option, "told").code == 0
    assert Path("told").stat().st_size > 100


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("option", ["--trace", "--events"])
def test_a_full_disk_is_said_once_and_costs_no_result(call: Call, write: Write, option: str) -> None:
    graph = write({"add": ("Add", {"a": 1})}, outputs={"sum": "add.out"})
    answer = call("run", graph, option, "/dev/full", "--json")
    if option == "--trace":
        assert answer.json["problems"][0]["code"] == "unwritable"
        return
    assert answer.json["outputs"]["sum"]["value"] == 1
    assert answer.err.count("any more") == 1


def test_a_graph_may_have_inputs_of_these_names(call: Call, write: Write) -> None:
    inputs = {name: {"type": "int", "default": 1} for name in ("trace", "events")}
    nodes = {"add": ("Add", {"a": {"param": "trace"}, "b": {"param": "events"}})}
    graph = write(nodes, inputs, {"sum": "add.out"})
    answer = call("run", graph, "--input.trace", "3", "--input.events=4", "--json")
    assert answer.json["outputs"]["sum"]["value"] == 7


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("times", [1, 2])
def test_a_trace_is_whole_after_ctrl_c(start: Start, write: Write, times: int) -> None:
    kind = "Slow" if times == 1 else "Stubborn"
    graph = write({"slow": (kind, {})}, outputs={"x": "slow.out"})
    process = start("run", graph, "--trace", "trace.json", "--events", "events.jsonl")
    for expected in ("slow ...", "Stopping")[:times]:
        wait_for(process, expected)
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=100)
    assert process.returncode == 130
    events = json.loads(Path("trace.json").read_text())
    phases = [event["ph"] for event in events if event["name"] == "slow" and event["pid"] == 1]
    assert phases == ["B", "E"][: 3 - times]
    assert lines(Path("events.jsonl").read_text())[1]["event"] == "started"


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "mine"}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://here"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://here"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://here"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "True"}, False),
    ],
)
def test_telemetry_is_asked_for_in_its_own_variables(environment: dict[str, str], wanted: bool) -> None:
    assert wants_telemetry(environment) is wanted


def test_spans_go_to_the_exporter_that_the_environment_names(
    call: Call, failing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    answer = call("run", failing, "--json")
    assert answer.json["state"] == "failed"
    assert '"name": "safelight run"' in answer.err
    assert '"safelight.node": "two"' in answer.err


def test_an_exporter_that_does_not_exist_is_a_warning(
    call: Call, painting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "nobodys")
    answer = call("run", painting, "--json")
    assert answer.json["state"] == "done"
    assert "there is no OpenTelemetry exporter 'nobodys'" in answer.err
    assert "safelight[observe]" in answer.err
