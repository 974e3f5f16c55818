"""One life of a server in a process of its own, for tools that watch processes: `python -m … LIFE`."""

from __future__ import annotations

import json
import sys

from engine.errors import GraphError
from engine.packs.registry import Registry
from tests.engine.queue.killed_server import Life, live

REFUSED = 3
"""The exit code after a problem that a user can read."""

if __name__ == "__main__":
    Registry.find()
    try:
        live(Life(**json.loads(sys.argv[1])), sys.stdout.fileno())
    except GraphError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)
