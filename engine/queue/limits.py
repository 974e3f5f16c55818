"""The limits of a run queue, and its rules for crashes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from engine.settings import Settings

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """The limits of a run queue, and its rules for crashes."""

    max_queued: int = 10_000
    """The most runs that may wait; `QueueFull` is raised for further ones."""
    max_request_bytes: int = 16 * MIB
    """The most bytes of a request as JSON."""
    cancel_grace: float = 10.0
    """The seconds that a cancelled run may take to stop before its worker is killed."""
    worker_retries: int = 1
    """The number of times that a run is started again after its worker has died, before the run fails."""
    hang_timeout: float | None = None
    """The seconds without any event after which a run counts as hung: its worker is killed, and the run
    fails. None to wait forever, because some nodes send no event for a long time."""
    after_restart: Literal["interrupt", "requeue"] = "interrupt"
    """What to do with a run that was running when the server stopped or was killed: `interrupt` gives it the
    state `interrupted`, `requeue` puts it back to the front of the queue."""
    max_attempts: int = 3
    """A run that workers have started this many times is not put back into the queue any more."""
    detailed_runs: int = 2000
    """The states of steps and the metrics are kept for the runs that ended last, up to this number; the runs
    themselves and their outputs are kept without limit."""
    min_free_bytes: int = 64 * MIB
    """No run starts while the home's disk has less free space than this."""
    kept_events: int = 10_000
    """The most events that can be replayed."""
    kept_event_bytes: int = 32 * MIB
    """The most bytes of events, as JSON, that can be replayed."""
    kept_preview_bytes: int = 64 * MIB
    """The most bytes of preview pictures; older ones are dropped."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Make the limits from the settings of a home; those that are no settings have their defaults."""
        return cls(
            max_queued=settings.max_queued,
            worker_retries=settings.worker_retries,
            hang_timeout=settings.hang_timeout,
            after_restart=settings.after_restart,
        )
