"""A durable queue of runs: stores them, sends them to worker processes, and publishes their events."""

from engine.queue.limits import QueueLimits
from engine.queue.run_queue import QueueFull, RunQueue

__all__ = ["QueueFull", "QueueLimits", "RunQueue"]
