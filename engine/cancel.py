"""The flag that cancels a run."""

from __future__ import annotations

from collections.abc import Callable

from engine.errors import Cancelled


class Cancel:
    """Thread-safe flag that cancels a run.

    It is checked while a run is planned (between the parts of large files), before each step, while a step
    waits for its lock, and by `Context.track` and `Context.cancelled` inside steps.
    """

    def __init__(self) -> None:
        self._asked = False  # setting it takes one bytecode, so it needs no lock
        self.then: Callable[[], object] | None = None
        """A function that `ask` calls, for example to cancel a run on a server; it must return soon."""

    def ask(self) -> None:
        """Ask the run to stop at its next check."""
        self._asked = True
        if self.then is not None:
            self.then()

    @property
    def asked(self) -> bool:
        """True after `ask` was called."""
        return self._asked

    def check(self) -> None:
        """Raise `Cancelled` if the run was asked to stop.

        Raises:
            Cancelled: the run was asked to stop.
        """
        if self._asked:
            raise Cancelled
