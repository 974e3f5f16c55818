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
    """The most runs that wait; further ones are refused with `QueueFull`."""
    max_request_bytes: int = 16 * MIB
    """The most bytes of a request as JSON."""
    cancel_grace: float = 10.0
    """The seconds that a cancelled run may take to stop before its worker is killed."""
    worker_retries: int = 1
    """How often a run is started again after its worker has died, before it fails."""
    hang_timeout: float | None = None
    """The seconds without any event after which a run is regarded as hung: its worker is killed, and the run
    fails. None waits forever, because nodes may be silent for long."""
    after_restart: Literal["interrupt", "requeue"] = "interrupt"
    """What happens to a run that was running when the server stopped or was killed: `interrupt` gives it
    the state `interrupted`, `requeue` puts it back to the front of the queue."""
    max_attempts: int = 3
    """A run that a worker has begun this often is not put back after a restart."""
    detailed_runs: int = 2000
    """The states of steps and the metrics are kept for this many runs, those that ended last; the runs
    themselves and their outputs are kept without limit."""
    min_free_bytes: int = 64 * MIB
    """While the home's disk has less room than this, no run starts."""
    kept_events: int = 10_000
    """The most events that can be replayed."""
    kept_event_bytes: int = 32 * MIB
    """The most bytes of events, as JSON, that can be replayed."""
    kept_preview_bytes: int = 64 * MIB
    """The most bytes of preview pictures; older ones are dropped."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits that the settings of a home name; the others have their defaults."""
        return cls(
            max_queued=settings.max_queued,
            worker_retries=settings.worker_retries,
            hang_timeout=settings.hang_timeout,
            after_restart=settings.after_restart,
        )
