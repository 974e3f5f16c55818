"""An event of a run as one line of JSON: what the journal holds, and what `safelight run --events` writes.

Each line is an object with `t`, the seconds since the run was begun, and `event`. The rest depends on it:

- `planned`: `pid`; `at`, seconds since the epoch; `title` of the graph; `nodes` and `to_run`, counts.
- `started`: `node`.
- `progress`: `node`; `value` of `total` units, where 0 is a total that nobody knows.
- `preview`: `node`.
- `warned`: `message`, and `node` if it is about one.
- `done`: `node`; `seconds`; `cache`, where the result came from: `none` (computed), `memory` or `disk`;
  `key`, the first 16 digits of its content key, if it has one that means something to a later run.
- `missed`: `node` and perhaps `key` of a result that was there, or was said to be, and is made again.
- `grown`: `node` whose elements or returned graph became known; `steps`, how many.
- `failed`: `node`; `seconds`; `problem`, with the fields of `errors.Problem.as_json`; `trace`, Python's own.
- `skipped`: `node`; `because`.
- `finished`: `state` (`done`, `failed` or `cancelled`); `seconds`.

Steps whose results the plan found in the store are not heard of after `planned`. Keys may be added, never
renamed or removed.
"""

from __future__ import annotations

import os
import time
from json.encoder import encode_basestring_ascii as quoted

from engine.events import (
    Done,
    Event,
    Failed,
    Finished,
    Grown,
    Missed,
    Planned,
    Preview,
    Progress,
    Skipped,
    Started,
    Warned,
)
from engine.values import canonical


def event_line(event: Event, since: float) -> str:
    """The line of an event, in ASCII, with the newline at its end.

    Args:
        event: what happened.
        since: when the run was begun, by `time.perf_counter`.
    """
    return f'{{"t":{time.perf_counter() - since:.6f},{_told(event)}}}\n'


def _told(event: Event) -> str:
    match event:
        case Started(node):
            return f'"event":"started","node":{quoted(node)}'
        case Done(node, seconds, cache, key):
            said = f',"key":"{key[:16]}"' if key else ""
            return f'"event":"done","node":{quoted(node)},"seconds":{seconds:.6f},"cache":"{cache}"{said}'
        case Missed(node, key):
            said = f',"key":"{key[:16]}"' if key else ""
            return f'"event":"missed","node":{quoted(node)}{said}'
        case Progress(node, value, total, _):
            return f'"event":"progress","node":{quoted(node)},"value":{value},"total":{total or 0}'
        case Preview(node):
            return f'"event":"preview","node":{quoted(node)}'
        case Failed(node, seconds, problem, trace):
            told = canonical({"problem": problem.as_json(), "trace": trace}).decode()[1:-1]
            return f'"event":"failed","node":{quoted(node)},"seconds":{seconds:.6f},{told}'
        case Skipped(node, because):
            return f'"event":"skipped","node":{quoted(node)},"because":{quoted(because)}'
        case Warned(message, node):
            place = f',"node":{quoted(node)}' if node else ""
            return f'"event":"warned","message":{quoted(message)}{place}'
        case Grown(node, steps):
            return f'"event":"grown","node":{quoted(node)},"steps":{len(steps)}'
        case Finished(state, seconds):
            return f'"event":"finished","state":"{state}","seconds":{seconds:.6f}'
        case Planned(plan):
            counts = f'"nodes":{len(plan.steps)},"to_run":{len(plan.to_run)}'
            title = quoted(plan.checked.graph.title)
            return f'"event":"planned","pid":{os.getpid()},"at":{time.time():.3f},"title":{title},{counts}'
