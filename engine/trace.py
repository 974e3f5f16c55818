"""A run as a trace file: who worked on what, when, and what was waited for; ui.perfetto.dev opens it.

The format is the JSON array of the Trace Event Format of Chrome, which Perfetto reads.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import said
from engine.events import Event, Failed, Finished, Grown, Planned, Progress, Skipped, Started, Warned
from engine.lifecycles.measured import Measured
from engine.store.store import Result

if TYPE_CHECKING:
    from engine.plan import Plan
    from engine.step import Step

THREADS, LANES, WAITS = 1, 2, 3
"""The groups of tracks, which the format calls processes."""

MOST_ARROWS = 5000
"""How many wires are drawn; more would hide the slices."""
MOST_REUSED = 500
"""How many steps that the store answers are told one by one."""
SHORTEST_WAIT = 0.0002
"""In seconds; shorter waits are not drawn."""

_END = b"\n]\n"

Said = Mapping[str, object]


class Trace:
    """Writes down what this process does; a watcher of runs.

    The file is a whole JSON document after each event, so it can be opened whatever ends the process. Nothing
    here raises once it is made: a file that cannot be written any more is said once, and the run goes on.

    Args:
        path: the file; replaced if it is there.
        device: what accelerator nodes compute on.
        measured: what measures the memory of steps; it goes inside this one.
        warn: told when the file cannot be written any more.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, device: str, measured: Measured, warn: Callable[[str], None]) -> None:
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
        """Let go of the file."""
        with self._lock:
            file, self._file = self._file, None
        if file is not None:
            file.close()

    @contextmanager
    def span(self, name: str, **said: object) -> Iterator[None]:
        """A slice on the track of the calling thread."""
        track = self._track()
        self._write("B", name, THREADS, track, args=said)
        try:
            yield
        finally:
            self._write("E", name, THREADS, track)

    def setup(self, step: Step, inputs: Mapping[str, object]) -> Result | None:
        """Begin a step's slice, and draw the wait before it and the wires that it waited for."""
        with self._lock:
            self._begin(step)
        return None

    def teardown(self, step: Step, inputs: Mapping[str, object], result: Result | None) -> None:
        """End a step's slice."""
        with self._lock:
            self._finish(step, result)

    def __call__(self, event: Event) -> None:
        """Tell what is not the beginning or the end of a step."""
        match event:
            case Planned(plan):
                self._ready = time.perf_counter()
                self._tell_plan(plan)
            case Grown(node, steps):
                self._instant(f"{node} brings {len(steps)} more steps", "run", {"node": node})
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
        makers = {(one.leader or one).id for parent in step.parents for one in parent.elements()}
        parents = [self._ended[maker] for maker in makers if maker in self._ended]
        ready = max([self._ready, *(ended for _, ended in parents)])
        if now - ready >= SHORTEST_WAIT:
            self._waits += 1
            whom = "the accelerator" if step.lane and self._lane_free > ready else "a worker"
            name, number = f"{step.id} waits for {whom}", f"wait {self._waits}"
            self._write("b", name, WAITS, now=ready, id=number, cat="wait", args={"node": step.id})
            self._write("e", name, WAITS, now=now, id=number, cat="wait")
        args = {
            "node": step.id,
            "type": step.bound.type.id,
            "reason": step.reason,
            "key": step.key or "",
            "wires": {source.input: f"{source.step.id}.{source.output}" for source in step.sources},
        }
        self._write("B", step.id, THREADS, track, now, cat="step", args=args)
        if step.lane:
            self._write("B", step.id, LANES, 1, now, cat="step", args=args)
        for parent_track, ended in parents:
            if self._arrows < MOST_ARROWS:
                self._arrows += 1
                arrow = {"cat": "wire", "id": self._arrows}
                # An arrow hangs on the slices around its ends, so it has to begin before its slice is over.
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
        if step.lane:
            self._write("E", step.id, LANES, 1, now, cat="step", args=args)
            self._lane_free = now
        self._write("E", step.id, THREADS, track, now, cat="step", args=args)
        self._ended[step.id] = track, now
        self._under_way -= 1
        self._over += 1
        self._count(now)

    def _tell_plan(self, plan: Plan) -> None:
        reused = [step for step in plan.steps.values() if step.action != "run"]
        counts = {"steps": len(plan.steps), "reused": len(reused), "title": plan.checked.graph.title}
        self._instant("planned", "run", counts)
        for step in reused[:MOST_REUSED]:
            self._instant(f"{step.id}: {step.reason}", "reuse", {"node": step.id, "key": step.key or ""})

    def _instant(self, name: str, kind: str, args: Said) -> None:
        self._write("i", name, THREADS, self._track(), cat=kind, s="t", args=args)

    def _count(self, now: float) -> None:
        steps = {"under way": self._under_way, "over": self._over}
        self._write("C", "steps", THREADS, now=now, args=steps)
        if (held := self._measured.resident()) is not None:
            self._write("C", "memory of the process", THREADS, now=now, args={"MiB": held / 2**20})

    def _track(self) -> int:
        """The track of the calling thread."""
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
                self._warn(f"the trace {self._path} cannot be written any more: {said(error)}")
            else:
                self._size += len(lead) + len(data)
