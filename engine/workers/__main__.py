"""The worker process: `python -m engine.workers SETTINGS`, with messages on its standard input and output."""

from __future__ import annotations

import os
import sys

from engine.workers.pipes import reserved


def start() -> int:
    """Reserve standard input and output for messages, then serve the owner; return the exit code."""
    incoming, outgoing = reserved()

    from engine.workers.process import main

    return main(sys.argv[1], incoming, outgoing)


if __name__ == "__main__":
    code = start()
    sys.stderr.flush()
    os._exit(code)  # all work is on the disk; taking torch and its libraries down takes seconds
