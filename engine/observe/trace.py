"""Writes a trace file of a run: for each thread, its steps and their waiting times on a time axis.

The format is the JSON array of Chrome's Trace Event Format, which https://ui.perfetto.dev shows.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.errors import error_text
from engine.events import (
    Event,
    Failed,
    Finished,
    Planned,
    PlannedStep,
    Progress,
    Skipped,
    Started,
    StepsAdded,
    Warned,
)
from engine.observe.step_memory import MemoryMeasurement
from engine.observe.watch import Watcher, Why, no_reason
from engine.plan.step import Step
from engine.store.store import Result

THREADS, LANES, WAITS = 1, 2, 3
"""The groups of tracks. The format calls them processes."""

MOST_ARROWS = 5000
"""The most wires that are drawn; more would hide the slices."""
MOST_REUSED = 500
"""The most reused steps that are drawn."""
SHORTEST_WAIT = 0.0002
"""Shorter waits, in seconds, are not drawn."""

_END = b"\n]\n"

Facts = Mapping[str, object]


class Trace(Watcher):
    """A watcher that writes a trace file of one run.

    The file is complete JSON after each event, so it can be opened after a crash. Once the file has been
    created, no method raises: if it can no longer be written, there is one warning, and the run continues.

    Args:
        path: the file, which is replaced if it exists.
        device: the device of accelerator nodes.
        measured: measures the memory of steps; its lifecycle runs inside this one.
        warn: receives a warning if the file can no longer be written.

    Raises:
        OSError: the file cannot be created.
    """

    def __init__(
        self, path: Path, device: str, measured: MemoryMeasurement, warn: Callable[[str], None]
    ) -> None:
        self.why: Why = no_reason
        self._path, self._measured, self._warn = path, measured, warn
        self._start = self._ready = self._lane_free = time.perf_counter()
        self._lock = threading.RLock()
        self._tracks: dict[int, int] = {}
        self._computed: set[str] = set()
        self._ended: dict[str, tuple[int, float]] = {}
        self._under_way = self._over = self._arrows = self._waits = 0
        self._file: Any = path.open("wb", buffering=0)
        self._size = 1
        try:
            self._file.write(b"[" + _END)
        except OSError:
            self.close()
            raise
        for group, name in ((THREADS, "threads"), (LANES, "lanes"), (WAITS, "waits")):
            self._write("M", "process_name", group, args={"name": name})
            self._write("M", "process_sort_index", group, args={"sort_index": group})
        self._write("M", "thread_name", LANES, 1, args={"name": f"accelerator ({device})"})

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            file, self._file = self._file, None
        if file is not None:
            file.close()

    @contextmanager
    def span(self, name: str, **facts: object) -> Iterator[None]:
        """Context manager: a slice of time on the track of the calling thread."""
        track = self._track()
        self._write("B", name, THREADS, track, args=facts)
        try:
            yield
        finally:
            self._write("E", name, THREADS, track)

    def setup(self, step: Step, inputs: Mapping[str, object]) -> Result | None:
        """Begin the slice of a step, and draw the wait before it and the wires to it."""
        with self._lock:
            self._begin(step)
        return None

    def teardown(self, step: Step, inputs: Mapping[str, object], result: Result | None) -> None:
        """End the slice of a step."""
        with self._lock:
            self._finish(step, result)

    def __call__(self, event: Event) -> None:
        """Draw an event that is not the beginning or the end of a step."""
        match event:
            case Planned():
                self._ready = time.perf_counter()
                self._draw_plan(event)
            case StepsAdded(node, steps):
                self._instant(f"{node} adds {len(steps)} steps", "run", {"node": node})
            case Started(node):
                self._computed.add(node)
            case Progress(node, value):
                self._write("C", f"progress of {node}", THREADS, args={"units": value})
            case Failed(node, _, problem):
                self._instant(f"{node} failed: {problem.message}", "failure", {"problem": problem.as_json()})
            case Skipped(node, because):
                self._instant(f"{node} is skipped: {because}", "failure", {"node": node})
            case Warned(message, node):
                self._instant(f"{node}: {message}" if node else message, "warning", {"node": node or ""})
            case Finished(state):
                self._instant(f"run {state}", "run", {})
            case _:
                pass

    def _begin(self, step: Step) -> None:
        now = time.perf_counter()
        track = self._track()
        makers = {(one.same_as or one).id for parent in step.parents for one in parent.elements()}
        parents = [self._ended[maker] for maker in makers if maker in self._ended]
        ready = max([self._ready, *(ended for _, ended in parents)])
        if now - ready >= SHORTEST_WAIT:
            self._waits += 1
            whom = "the accelerator" if step.needs_device and self._lane_free > ready else "a worker"
            name, number = f"{step.id} waits for {whom}", f"wait {self._waits}"
            self._write("b", name, WAITS, now=ready, id=number, cat="wait", args={"node": step.id})
            self._write("e", name, WAITS, now=now, id=number, cat="wait")
        args = {
            "node": step.id,
            "type": step.bound.type.id,
            "reason": self.why(step),
            "key": step.key or "",
            "wires": {source.input: f"{source.step.id}.{source.output}" for source in step.sources},
        }
        self._write("B", step.id, THREADS, track, now, cat="step", args=args)
        if step.needs_device:
            self._write("B", step.id, LANES, 1, now, cat="step", args=args)
        for parent_track, ended in parents:
            if self._arrows < MOST_ARROWS:
                self._arrows += 1
                arrow = {"cat": "wire", "id": self._arrows}
                # An arrow attaches to the slices around its ends, so it must begin before its slice ends.
                self._write("s", "wire", THREADS, parent_track, ended - 1e-6, **arrow)
                self._write("f", "wire", THREADS, track, now, bp="e", **arrow)
        self._under_way += 1
        self._count(now)

    def _finish(self, step: Step, result: Result | None) -> None:
        now = time.perf_counter()
        track = self._track()
        args: dict[str, object] = {
            "state": "no result" if result is None else "done",
            "cache": "none" if step.id in self._computed else "store",
        }
        if (memory := self._measured.memory.get(step.id)) is not None:
            args["memory"] = memory.as_json()
        if step.needs_device:
            self._write("E", step.id, LANES, 1, now, cat="step", args=args)
            self._lane_free = now
        self._write("E", step.id, THREADS, track, now, cat="step", args=args)
        self._ended[step.id] = track, now
        self._under_way -= 1
        self._over += 1
        self._count(now)

    def _draw_plan(self, event: Planned) -> None:
        reused = [step for step in event.steps if step.action != "run"]
        counts = {"steps": len(event.steps), "reused": len(reused), "title": event.title}
        self._instant("planned", "run", counts)
        for step in reused[:MOST_REUSED]:
            name = f"{step.id}: {_reason(step)}"
            self._instant(name, "reuse", {"node": step.id, "key": step.key or ""})

    def _instant(self, name: str, kind: str, args: Facts) -> None:
        self._write("i", name, THREADS, self._track(), cat=kind, s="t", args=args)

    def _count(self, now: float) -> None:
        steps = {"under way": self._under_way, "over": self._over}
        self._write("C", "steps", THREADS, now=now, args=steps)
        if (held := self._measured.resident()) is not None:
            self._write("C", "memory of the process", THREADS, now=now, args={"MiB": held / 2**20})

    def _track(self) -> int:
        """Return the number of the calling thread's track."""
        thread = threading.get_ident()
        with self._lock:
            track = self._tracks.get(thread)
            if track is None:
                track = self._tracks[thread] = len(self._tracks) + 1
                args = {"name": threading.current_thread().name}
                self._write("M", "thread_name", THREADS, track, args=args)
            return track

    def _write(
        self, phase: str, name: str, group: int, track: int = 0, now: float | None = None, **more: object
    ) -> None:
        moment = ((time.perf_counter() if now is None else now) - self._start) * 1e6
        event = {"ph": phase, "name": name, "pid": group, "tid": track, "ts": round(moment, 3), **more}
        lead = b",\n" if self._size > 1 else b"\n"
        data = json.dumps(event, default=repr).encode()
        with self._lock:
            if self._file is None:
                return
            try:
                self._file.seek(self._size)
                self._file.write(lead + data + _END)
            except OSError as error:
                self.close()
                self._warn(f"the trace {self._path} can no longer be written: {error_text(error)}")
            else:
                self._size += len(lead) + len(data)


def _reason(step: PlannedStep) -> str:
    """Return the reason why a step does not run."""
    if step.action == "reuse":
        return f"reused from {step.tier}"
    return f"shared with {step.same_as}" if step.action == "share" else "not needed"
