"""Makes the context that a node's `run` receives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from engine.cancel import Cancel
from engine.context import Context
from engine.devices.compute import HOST, ComputeSettings
from engine.devices.residency import Residency
from engine.events import Emit
from engine.files import Files
from engine.plan.step import Step
from engine.step_requests import Requests
from engine.store.step_folders import StepFolder


@dataclass(frozen=True, kw_only=True)
class StepContexts:
    """Makes the contexts of the steps of one run."""

    emit: Emit
    """Receives the events of the steps."""
    cancel: Cancel
    files: Files
    """The files that nodes may read."""
    residency: Residency
    compute: ComputeSettings
    """The compute settings of accelerator nodes. All other nodes compute on the host."""
    previews: bool
    """True to encode and send the previews of steps."""
    folder: Callable[[Step], StepFolder] | None
    """Opens the folder of a running step."""
    lineage: Callable[[Step], str | None]
    """Returns the lineage of a step; see `Context.lineage`."""
    requests: Requests | None

    def context(self, step: Step) -> Context:
        """Make the context for a step that is about to run."""
        node_type = step.bound.type
        return Context(
            step.id,
            self.emit,
            self.cancel,
            self.files,
            self.residency,
            self.compute if node_type.accelerator else HOST,
            previews=self.previews,
            folder=None if self.folder is None else partial(self.folder, step),
            lineage=partial(self.lineage, step),
            requests=self.requests,
            pure=node_type.pure,
        )

    def retried(self, run: Callable[[], object], context: Context) -> object:
        """Call a function; if the device runs out of memory, free some memory and call it again.

        Args:
            run: the function, which computes the step.
            context: the context of the step.
        """
        return self.residency.retried(
            self.compute.device,
            run,
            context.save_memory,
            lambda: context.pins,
            lambda: context.reserved,
        )
