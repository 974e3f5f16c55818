"""The `safelight` command, also as `python -m engine`."""

from __future__ import annotations

import gc
import signal
import sys

CANCELLED = 130


def main() -> int:
    """Run the command line; Ctrl-C ends it without a traceback, even during start-up and exit."""
    try:
        from engine.cli import main as run

        return run()
    except KeyboardInterrupt:
        return CANCELLED
    finally:
        gc.freeze()  # otherwise Python searches all objects of torch for garbage as the process ends
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
