"""Reads the database of a queue and the written files, and nothing else, and lists what cannot be.

It uses no code of the engine. Its model: a submission that was answered is one run, and a key is one run.
Runs end once, in the order of submission. A run that is done has each output once, whose file has the right
bytes; there are no other files.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

STATES = {"queued", "running", "done", "failed", "cancelled", "interrupted", "refused"}
ENDED = STATES - {"queued", "running"}


def wrong(home: Path, answered: Mapping[str, str], expected: Mapping[str, bytes]) -> list[str]:
    """What is wrong after every run of a queue has ended.

    Args:
        home: the home folder of a queue that is closed.
        answered: the ids that clients received, by idempotency key.
        expected: the bytes of the only output of each run, by key.
    """
    found: list[str] = []
    database = sqlite3.connect(f"file:{home / 'queue.sqlite'}?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    if (check := database.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
        found.append(f"the database is damaged: {check}")
    runs = database.execute("SELECT * FROM runs ORDER BY number").fetchall()
    outputs = database.execute("SELECT * FROM outputs").fetchall()
    nodes = database.execute("SELECT * FROM nodes").fetchall()
    database.close()

    by_key = {run["key"]: run for run in runs}
    for key, id in answered.items():
        if key not in by_key:
            found.append(f"{key} was accepted and is lost")
        elif by_key[key]["id"] != id:
            found.append(f"{key} was accepted as {id} and is {by_key[key]['id']}")
    found += [
        f"{key} is {count} runs" for key, count in Counter(run["key"] for run in runs).items() if count > 1
    ]
    found += [f"{run['key']} was never submitted" for run in runs if run["key"] not in expected]
    ends = [run["finished"] or 0.0 for run in runs]
    if ends != sorted(ends):
        found.append("runs ended in another order than they were submitted in")

    paths: Counter[str] = Counter()
    for run in runs:
        name = run["key"]
        if run["state"] != "done":
            ending = json.loads(zlib.decompress(run["ending"])) if run["ending"] else {}
            found.append(f"{name} is {run['state']}: {ending.get('problems')}")
            continue
        if not run["attempts"]:
            found.append(f"{name} is done without having begun")
        states = {json.loads(node["state"])["state"] for node in nodes if node["run"] == run["id"]}
        if not states <= {"done", "cached", "unneeded"}:
            found.append(f"{name} is done with steps that are {states}")
        made = [output for output in outputs if output["run"] == run["id"]]
        if len(made) != 1:
            found.append(f"{name} has {len(made)} outputs")
        for output in made:
            data = expected.get(name, b"")
            paths[output["path"]] += 1
            if (
                output["digest"] != hashlib.sha256(data).hexdigest()
                or Path(output["path"]).read_bytes() != data
            ):
                found.append(f"{name} has an output with other bytes")
    found += [f"{path} belongs to {count} runs" for path, count in paths.items() if count > 1]
    files = {str(path) for path in (home / "outputs").glob("*") if not path.name.startswith(".")}
    found += [f"{path} belongs to no run" for path in files - paths.keys()]
    return found
