"""Writes an event of a run as one line of JSON, for the journal and for `safelight run --events`.

Each line is an object with `t`, the seconds since the run began, and `event`. The other keys depend on it:

- `planned`: `pid`; `at`, seconds since the epoch; `run`, the id of the run; `title` of the graph; `nodes` and
  `to_run`, counts.
- `started`: `node`.
- `progress`: `node`; `value` of `total` units, where 0 stands for an unknown total.
- `preview`: `node`; `width` and `height` of the picture.
- `metrics`: `node`; `rows`, a list of objects with numbers.
- `sample`: `node`; `step`; `caption`; `width` and `height` of the picture.
- `checkpoint`: `node`; `step`; `name`.
- `published`: `node`; `name` of the file in the node's folder; `path`, absolute; `size` in bytes.
- `printed`: `text`, one line that a node or a library printed, and `node` if it is known.
- `warned`: `message`, and `node` if the warning concerns one.
- `done`: `node`; `seconds`; `cache`, where the result came from: `none` (computed), `memory` or `disk`;
  `key`, the first 16 digits of the key of the result, if later runs can use it.
- `missed`: `node`, and `key` if known, of a result that the store has lost, so that the node runs again.
- `grown`: `node`, whose list elements or returned graph became known; `steps`, the number of new steps.
- `failed`: `node`; `seconds`; `problem`, with the fields of `errors.Problem.as_json`; `trace`, the traceback.
- `skipped`: `node`; `because`.
- `output`: `output`, the declared output; `index` of the element in a list, empty for a single value;
`values` of the swept inputs; `type`; `files`, absolute paths; `digest`.
- `finished`: `state` (`done`, `failed` or `cancelled`); `seconds`.

No further lines are written for steps that `planned` found in the store. Keys may be added, but are never
renamed or removed.
"""

from __future__ import annotations

import json
import os
import time
from json.encoder import encode_basestring_ascii as quoted

from engine.events import (
    Checkpoint,
    Done,
    Event,
    Failed,
    Finished,
    Metrics,
    OutputWritten,
    Planned,
    Preview,
    Printed,
    Progress,
    Published,
    ResultLost,
    Sample,
    Skipped,
    Started,
    StepsAdded,
    Warned,
)
from engine.values import Json, canonical


def event_line(event: Event, since: float) -> str:
    """Convert an event to a line of JSON in ASCII, including the newline.

    Args:
        event: the event.
        since: the value of `time.perf_counter` at the start of the run.
    """
    return f'{{"t":{time.perf_counter() - since:.6f},{_fields(event)}}}\n'


def _fields(event: Event) -> str:
    match event:
        case Started(node):
            return f'"event":"started","node":{quoted(node)}'
        case Done(node, seconds, cache, key):
            field = f',"key":"{key[:16]}"' if key else ""
            return f'"event":"done","node":{quoted(node)},"seconds":{seconds:.6f},"cache":"{cache}"{field}'
        case ResultLost(node, key):
            field = f',"key":"{key[:16]}"' if key else ""
            return f'"event":"missed","node":{quoted(node)}{field}'
        case Progress(node, value, total, _):
            return f'"event":"progress","node":{quoted(node)},"value":{value},"total":{total or 0}'
        case Failed(node, seconds, problem, trace):
            fields = canonical({"problem": problem.as_json(), "trace": trace}).decode()[1:-1]
            return f'"event":"failed","node":{quoted(node)},"seconds":{seconds:.6f},{fields}'
        case Skipped(node, because):
            return f'"event":"skipped","node":{quoted(node)},"because":{quoted(because)}'
        case Warned(message, node):
            return f'"event":"warned","message":{quoted(message)}{_place(node)}'
        case Printed(text, node):
            return f'"event":"printed","text":{quoted(text)}{_place(node)}'
        case StepsAdded(node, steps):
            return f'"event":"grown","node":{quoted(node)},"steps":{len(steps)}'
        case Finished(state, seconds):
            return f'"event":"finished","state":"{state}","seconds":{seconds:.6f}'
        case Planned(run, title, steps):
            head = f'"event":"planned","pid":{os.getpid()},"at":{time.time():.3f},"run":{quoted(run)}'
            return f'{head},"title":{quoted(title)},"nodes":{len(steps)},"to_run":{event.to_run}'
        case Preview(_, picture) | Sample(picture=picture):
            tree = {name: value for name, value in event.as_json().items() if name != "picture"}
            return _plain({**tree, "width": picture.width, "height": picture.height})
        case OutputWritten() | Metrics() | Checkpoint() | Published():
            return _plain(event.as_json())


def _place(node: str | None) -> str:
    return f',"node":{quoted(node)}' if node else ""


def _plain(fields: dict[str, Json]) -> str:
    return json.dumps(fields, separators=(",", ":"))[1:-1]
