"""Reads the journals of a home, and nothing else, and says where they tell what cannot be: `history.py HOME`.

It knows no code of the engine; its model is this. A run is planned first and finished at most once, last.
A step starts once, then makes progress, then is done or failed; one that is done is never done again, one
that was skipped never started, and names a step that failed. How a run ended agrees with its steps. A run
that never finished was cut off by the end of its process, and only its last line may be torn.

A key is computed once in a run unless it was missed; what comes from the store, some run has made.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KEPT = 200
"""Of more runs than this the oldest are deleted, and what they made is not known any more."""

STATES = {"done", "failed", "cancelled"}
WORDS = set(
    "planned grown warned started progress preview metrics sample checkpoint printed done failed skipped "
    "missed output".split()
)
WITHOUT_NODE = {"warned", "printed", "output"}
"""Events that need not name a step."""

Event = Mapping[str, Any]


@dataclass
class Run:
    """One run, as far as its journal has been read."""

    name: str
    wrong: list[str] = field(default_factory=list)
    pid: int = 0
    begun: bool = False
    state: str = ""
    time: float = 0.0
    started: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    # By key, what was computed and what came from the store: a digest, if one is report.
    made: dict[str, str | None] = field(default_factory=dict)
    taken: dict[str, str | None] = field(default_factory=dict)

    def say(self, what: str) -> None:
        """Note something that cannot be."""
        self.wrong.append(f"{self.name}: {what}")

    def take(self, event: Event) -> None:
        """One event more."""
        word, node, time = event.get("event"), event.get("node"), event.get("t")
        if word not in WORDS | {"finished"}:
            self.say(f"an event that does not exist: {word!r}")
            return
        if not isinstance(time, int | float) or time < self.time:
            self.say(f"{word} at {time!r}, after something at {self.time}")
        else:
            self.time = time
        if self.state:
            self.say(f"{word} {node or ''} after it had finished")
        if (word == "planned") is self.begun:
            self.say("planned twice" if self.begun else f"{word} before it was planned")
        if word in ("planned", "finished"):
            getattr(self, f"_{word}")(event)
        elif isinstance(node, str):
            getattr(self, f"_{word}", lambda node, event: None)(node, event)
        elif word not in WITHOUT_NODE:
            self.say(f"{word} names no step")

    def _planned(self, event: Event) -> None:
        self.begun, self.pid = True, event.get("pid", 0)
        if not 0 <= event.get("to_run", -1) <= event.get("nodes", -1):
            self.say(f"of {event.get('nodes')} steps {event.get('to_run')} are to run")

    def _started(self, node: str, event: Event) -> None:
        if node in self.started:
            self.say(f"{node} started twice")
        if node in self.skipped or node in self.done or node in self.failed:
            self.say(f"{node} started although it was over")
        self.started.add(node)

    def _progress(self, node: str, event: Event) -> None:
        if node not in self.started or node in self.done or node in self.failed:
            self.say(f"{event['event']} of {node}, which is not under way")

    _preview = _metrics = _sample = _checkpoint = _progress

    def _done(self, node: str, event: Event) -> None:
        computed = event.get("cache") == "none"
        if node in self.done:
            self.say(f"{node} done twice")
        if node in self.failed or node in self.skipped:
            self.say(f"{node} done although it was given up")
        if computed and node not in self.started:
            self.say(f"{node} done without having started")
        self.done.add(node)
        key = event.get("key")
        if key is None:
            return
        if computed and key in self.made:
            self.say(f"{node} computed {key} again")
        (self.made if computed else self.taken)[key] = event.get("digest")

    def _missed(self, node: str, event: Event) -> None:
        self.started.discard(node)
        self.done.discard(node)
        self.made.pop(event.get("key", ""), None)

    def _failed(self, node: str, event: Event) -> None:
        # One that is done may fail yet: when its output is to be written and does not become bytes.
        if node in self.failed or node in self.skipped:
            self.say(f"{node} failed although it was over")
        if event.get("problem", {}).get("node") != node:
            self.say(f"{node} failed of a problem that names {event.get('problem', {}).get('node')!r}")
        self.failed.add(node)

    def _skipped(self, node: str, event: Event) -> None:
        if node in self.started or node in self.done or node in self.skipped:
            self.say(f"{node} skipped although it had begun or was over")
        self.skipped[node] = str(event.get("because"))

    def _finished(self, event: Event) -> None:
        self.state = str(event.get("state"))
        under_way = self.started - self.done - self.failed
        broken = bool(self.failed or self.skipped)
        if self.state not in STATES:
            self.say(f"finished {self.state!r}")
        if self.state == "done" and broken:
            self.say("finished done, although steps failed")
        if self.state == "failed" and not self.failed:
            self.say("finished failed, although no step did")
        if self.state != "cancelled" and under_way:
            self.say(f"finished while {', '.join(sorted(under_way))} was under way")
        for node, because in self.skipped.items():
            if not because.endswith(" failed") or because.removesuffix(" failed") not in self.failed:
                self.say(f"{node} skipped because {because!r}, which is not so")


def read(path: Path) -> list[Run]:
    """The runs of one journal."""
    runs = [run := Run(path.stem)]
    *lines, rest = path.read_bytes().split(b"\n")
    for line in lines:
        try:
            event = json.loads(line)
            if event["event"] == "planned" and run.state:
                runs.append(run := Run(f"{path.stem}:{len(runs)}"))
            run.take(event)
        except (ValueError, AttributeError, TypeError, KeyError):
            run.say(f"a line that is no event: {line[:80]!r}")
    if rest and run.state:
        run.say("half a line after it had finished")
    return runs


def check(runs: Iterable[Run], alive: Callable[[int], bool], idle: bool = False) -> Iterator[str]:
    """What cannot be in a history.

    Args:
        runs: the oldest first.
        alive: whether there is a process of this id.
        idle: nobody is at work now, so every run has finished or its process is gone.
    """
    runs = list(runs)
    known: dict[str, str | None] = {}
    made = {key for run in runs for key in run.made}
    # One that was cut off may have kept a result, and been killed before it said so.
    torn = any(not run.state and run.started - run.done - run.failed for run in runs)
    for run in runs:
        yield from run.wrong
        for key, digest in [*run.made.items(), *run.taken.items()]:
            if digest is not None and known.get(key) not in (None, digest):
                yield f"{run.name}: {key} is {digest}, and was {known[key]} before"
            if key in run.taken and key not in made and not torn and len(runs) < KEPT:
                yield f"{run.name}: {key} came from the store, and nobody had made it"
            known[key] = digest or known.get(key)
        if run.begun and not run.state and idle and alive(run.pid):
            yield f"{run.name}: it has not finished, and its process {run.pid} is still there"


def is_alive(pid: int) -> bool:
    """Whether there is a process of this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def history(home: Path) -> list[Run]:
    """All runs that a home remembers, the oldest first."""
    paths = sorted((home / "store" / "journal").glob("*.jsonl"))
    return [run for path in paths for run in read(path)]


if __name__ == "__main__":
    found = history(Path(sys.argv[1]))
    problems = list(check(found, is_alive))
    finished = sum(bool(run.state) for run in found)
    print(
        *problems, f"{len(found)} runs, {finished} finished, {len(problems)} things that cannot be", sep="\n"
    )
    sys.exit(bool(problems))
