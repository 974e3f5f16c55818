"""A durable queue of runs: stores them, gives them to worker processes, and reports what happens in them."""

from engine.queue.limits import QueueLimits
from engine.queue.run_queue import QueueFull, RunQueue

__all__ = ["QueueFull", "QueueLimits", "RunQueue"]
