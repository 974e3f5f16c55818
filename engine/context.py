"""The argument of a node's `run`: progress, previews, files, loaded models, and a folder for long work."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sized
from pathlib import Path
from typing import Any, TypeVar, overload

from engine.cancel import Cancel
from engine.devices.compute import ComputeSettings
from engine.devices.pins import Pins
from engine.devices.recipe import Recipe
from engine.devices.residency import Residency
from engine.document.graph import Graph
from engine.errors import NodeError
from engine.events import Checkpoint, Emit, Metrics, Preview, Progress, Published, Sample, Warned
from engine.files import Files
from engine.pictures import encoded
from engine.secret_values import hidden, secret_value
from engine.step_requests import Request, Requests
from engine.store.step_folders import PublishedFile, StepFolder

__all__ = ["Cancel", "Context", "Request", "Requests"]

T = TypeVar("T")

PREVIEWS_A_SECOND = 5
"""The most previews per second that a step encodes and sends; the others are dropped."""
REPORTS_A_SECOND = 20
"""The most progress events per second that a step sends; the others are dropped."""


class Context:
    """The argument of `Node.run`: the engine's services for one running step."""

    __slots__ = (
        "_cancel",
        "_emit",
        "_folder",
        "_lineage",
        "_next_preview",
        "_next_rows",
        "_node",
        "_pins",
        "_previews",
        "_pure",
        "_requests",
        "_reserved",
        "_residency",
        "_rows",
        "_samples",
        "_saves_memory",
        "_seen",
        "compute",
        "files",
        "is_approximate",
        "may_save_memory",
    )

    def __init__(
        self,
        node: str,
        emit: Emit,
        cancel: Cancel,
        files: Files,
        residency: Residency,
        compute: ComputeSettings,
        *,
        previews: bool = False,
        folder: Callable[[], StepFolder] | None = None,
        lineage: Callable[[], str | None] = lambda: None,
        requests: Requests | None = None,
        pure: bool = True,
    ) -> None:
        self.files = files
        """Finds files by kind and name."""
        self.compute = compute
        """The compute settings: device, precision, attention, compilation.

        They are part of the key of a node with `accelerator=True`. Any other node computes on the host, with
        the same settings on every machine.
        """
        self._node, self._pure = node, pure
        self._emit, self._cancel, self._residency = emit, cancel, residency
        self._previews, self._next_preview = previews, 0.0
        self._pins: Pins | None = None
        self._folder, self._lineage = folder, lineage
        self._requests, self._seen = requests, 0 if requests is None else requests.count()
        self._rows: list[dict[str, float | None]] = []
        self._next_rows = 0.0
        self._samples: Counter[int] | None = None
        self._reserved, self._saves_memory = 0, False
        self.may_save_memory = False
        """True if the node can also compute its result in another way that takes less memory."""
        self.is_approximate = False
        """True after a call of `approximate`: the result is not stored."""

    @property
    def node(self) -> str:
        """The id of the running node in the graph, for example to name a file after it.

        Raises:
            NodeError: the node is pure. Equal pure nodes share one result, so it cannot depend on an id.
        """
        if self._pure:
            hint = "give the node an input for the name; or write pure=False if it has side effects"
            raise NodeError("`ctx.node` is not available in a pure node", hint=hint, code="pure_node")
        return self._node

    @property
    def device(self) -> str:
        """The device to compute on: `cpu`, `cuda`, `cuda:1`, `mps`."""
        return self.compute.device

    @overload
    def track(
        self, work: int, *, done: int = 0, unit: str | None = None, stage: str | None = None
    ) -> Iterator[int]: ...
    @overload
    def track(
        self,
        work: Iterable[T],
        total: int | None = None,
        *,
        done: int = 0,
        unit: str | None = None,
        stage: str | None = None,
    ) -> Iterator[T]: ...
    def track(
        self,
        work: int | Iterable[T],
        total: int | None = None,
        *,
        done: int = 0,
        unit: str | None = None,
        stage: str | None = None,
    ) -> Iterator[T] | Iterator[int]:
        """Iterate over `work`, showing progress, and stop before the next item if the run is cancelled.

        There is no check after the last item, since the result is complete then.

        Args:
            work: the items; a number means `range(done, number)`.
            total: the number of items, if `work` has no length. It includes the items counted by `done`.
            done: the number of items that an earlier attempt has finished, and that `work` does not contain.
            unit: the items in the plural, such as `pictures`, for "3.2 pictures/s".
            stage: for a node that tracks several pieces of work, the name of this one.

        Raises:
            Cancelled: the run was asked to stop.
        """
        if isinstance(work, int):
            return self._track(range(done, work), work, done, unit, stage)
        if total is None and isinstance(work, Sized):
            total = len(work)
        return self._track(work, total, done, unit, stage)

    def _track(
        self, work: Iterable[T], total: int | None, done: int, unit: str | None, stage: str | None
    ) -> Iterator[T]:
        first = last = time.perf_counter()
        iterator = iter(work)
        count = done
        while True:
            if count != total:
                self._cancel.check()  # before the next item is computed, so that no finished item is lost
            try:
                item = next(iterator)
            except StopIteration:
                return
            yield item
            count += 1
            now = time.perf_counter()
            if count == done + 1:
                first = now  # the first item takes longer: it imports libraries and loads models
            if now - last >= 1 / REPORTS_A_SECOND or count == total:
                last = now
                rate = (count - done - 1) / (now - first) if now > first else None
                self._emit(Progress(self._node, count, total, rate, unit, stage))

    def preview(self, value: object) -> None:
        """Show a picture of the unfinished result to the user.

        The value is dropped, without encoding it, if nobody listens for previews, or if the last preview of
        this step was less than 0.2 seconds ago.

        Args:
            value: a Pillow image; a `Value` whose `preview` returns one; or a function that returns one or
                None, which is called only if the preview is sent.
        """
        now = time.perf_counter()
        if not self._previews or now < self._next_preview:
            return
        self._next_preview = now + 1 / PREVIEWS_A_SECOND
        picture = encoded(value)
        if picture is not None:
            self._emit(Preview(self._node, picture))

    def warn(self, message: str) -> None:
        """Show a warning; the run continues."""
        self._emit(Warned(hidden(str(message)), self._node))

    def secret(self, name: str) -> str:
        """Return the value of one of the user's secrets, such as the API key of a web service.

        The node's input holds only the name of the secret (`Annotated[str, SecretName()]`), so graphs,
        pictures, cache keys and logs never contain the value; warnings, errors and printed lines show the
        name in its place. A node must not return the value.

        Args:
            name: the name of the secret; for `name`, the value is in the environment variable
                `SAFELIGHT_SECRET_NAME`.

        Raises:
            NodeError: the variable is not set.
        """
        return secret_value(name)

    def cancelled(self) -> None:
        """Raise `Cancelled` if the run is cancelled; for work that does not fit `track`.

        Raises:
            Cancelled: the run was asked to stop.
        """
        self._cancel.check()

    def expand(self, graph: Graph) -> Any:
        """Run a graph in place of the node: `return ctx.expand(graph)`.

        The graph must declare the same outputs as the node. A `Param` in it stands for the node's input of
        that name. Its nodes are planned, cached and shown as if they were part of the graph that is running.
        """
        return graph

    def use(self, recipe: Recipe[T], *, whole: bool = False) -> T:
        """Load the model of a recipe onto the device; it stays there at least until this step ends.

        Args:
            recipe: describes the model, and how to load it.
            whole: True for code that changes the modules of the model or computes gradients. The whole model
                is then on the device and in one precision, even if the settings offload or quantise it.
        """
        if self._pins is None:
            self._pins = self._residency.pins()
        compute = self.compute.whole if whole else self.compute
        return self._residency.use(recipe, compute, self.files, self._pins)

    def release(self, recipe: Recipe[Any]) -> None:
        """Release a model before the step ends: it is unloaded from the device if no other step uses it.

        For a long step that needs a model only at its beginning, such as the VAE in a training. `use` loads
        it again.
        """
        if self._pins is not None:
            self._residency.release(recipe, self.compute, self._pins)

    def reserve(self, size: int, work: str) -> None:
        """Make room on the device for the tensors of a computation, by evicting models that no step uses.

        Call it before the computation, so that one which the device cannot hold fails at once, and before
        `use`, so that no model is loaded for it.

        Args:
            size: the estimated peak memory of the computation in bytes, without the loaded models.
            work: names the computation in messages, such as `decoding 512 x 512`.

        Raises:
            NodeError: `too_large`: the device does not have this much memory.
        """
        self._reserved = max(self._reserved, size)
        self._residency.reserve(self.compute.device, size, work)

    @property
    def reserved(self) -> int:
        """The largest `size` in bytes that the step has reserved."""
        return self._reserved

    @property
    def pins(self) -> Pins | None:
        """The models that the step has loaded with `use`; None if it has loaded none."""
        return self._pins

    @property
    def saves_memory(self) -> bool:
        """True if memory has run out, so that the node must compute in the way that takes the least memory.

        Reading this property tells the engine that the node has such a way. Only then does the engine run the
        step again after memory has run out.
        """
        self.may_save_memory = True
        return self._saves_memory

    def save_memory(self) -> bool:
        """Switch to the way of computing that takes the least memory, and release the loaded models.

        The engine calls it after memory has run out, before it runs the step again. Returns False if the node
        has no such way, or has used it already.
        """
        if not self.may_save_memory or self._saves_memory:
            return False
        self._saves_memory = True
        if self._pins is not None:
            self._pins.release()
        return True

    def approximate(self, message: str) -> None:
        """Show a warning that the result is only approximate, and do not store it in the cache.

        For a result that was computed in another way than the settings say, because memory has run out.
        """
        self.is_approximate = True
        self.warn(message)

    @property
    def scratch(self) -> Path:
        """A folder for unfinished work, such as training state; created on first use.

        The folder belongs to the node type with these inputs and the content of the files that it reads.
        After the step was cancelled, failed or was killed, its next run finds the folder again. The folder is
        deleted when the result of the step is stored, or when disk space is needed and the folder has not
        been used for long. Write files with `engine.whole_file`, so that a killed step leaves no half-written
        file.

        If the result of the step cannot be stored (`pure=False`, or no store on disk), the folder is deleted
        when the step ends.
        """
        return self._opened().scratch

    @property
    def lineage(self) -> str | None:
        """The cache key of this step, computed without the inputs that the class keyword `extends` names.

        Two steps that differ only in these inputs, such as the number of training steps, have the same
        lineage. None if the step has no key.
        """
        return self._lineage()

    def lineage_files(self) -> list[PublishedFile]:
        """Return the files that steps of the same lineage have published and that still exist, newest first.

        For example, a training of 2,000 steps finds the checkpoints of an earlier training of 1,000 steps
        here, and continues from the newest.
        """
        return self._opened().related()

    def metrics(self, **numbers: float) -> None:
        """Report the metrics of one training step: `ctx.metrics(step=100, loss=0.12)`.

        A training that continues from a checkpoint first reports the steps up to the checkpoint again, and
        then the checkpoint: `ctx.metrics(step=100, resumed=1)`. Metrics of later steps that were reported
        before the interruption are then discarded.

        Several calls are sent as one event, at most 5 times per second.
        """
        row: dict[str, float | None] = {}
        for name, value in numbers.items():
            number = value if isinstance(value, int) else float(value)
            row[name] = number if math.isfinite(number) else None
        self._rows.append(row)
        now = time.perf_counter()
        if now >= self._next_rows:
            self._next_rows = now + 1 / PREVIEWS_A_SECOND
            self._send_rows()

    def sample(self, picture: object, step: int, caption: str = "") -> None:
        """Show a sample picture of an unfinished training, and publish it under `samples/`.

        Args:
            picture: a Pillow image, or a `Value` whose `preview` returns one.
            step: the training step at which the picture was made.
            caption: a short text, such as the prompt.

        Raises:
            TypeError: `picture` is neither of these.
        """
        made = encoded(picture)
        if made is None:
            raise TypeError(f"a sample must be a picture; a {type(picture).__name__} has no preview")
        self._samples = self._samples or Counter()
        self._samples[step] += 1
        number = f"-{self._samples[step]}" if self._samples[step] > 1 else ""
        self._emit(Sample(self._node, step, made, caption))
        self.publish(f"samples/{step:06}{number}.{made.media.rpartition('/')[2]}", made.data)

    def checkpoint(self, step: int, name: str = "") -> None:
        """Report that a checkpoint has been saved, from which the training can continue.

        Call it after the checkpoint has been written to `scratch` or published.

        Args:
            step: the training step of the checkpoint.
            name: the name of the checkpoint, such as that of its published file.
        """
        self._opened().keep_within_budget()
        self._emit(Checkpoint(self._node, step, name or f"step {step}"))

    def publish(self, name: str, data: bytes | Path) -> Path:
        """Store a file that is useful before the step is done, such as a checkpoint, and return its path.

        The report of the run lists published files. They are kept when the result is stored, and a later run
        that reuses the result lists those that still exist. When disk space is needed, files that have not
        been used for long are deleted, so no result may depend on them.

        Args:
            name: a file name, which may have sub-folders. An earlier file of this name is replaced.
            data: the content of the file, or the path of a file to copy.

        Raises:
            NodeError: the name points outside the step's folder.
        """
        file = self._opened().publish(name, data)
        self._emit(Published(self._node, file.name, str(file.path), file.size))
        return file.path

    def requests(self) -> set[Request]:
        """Return the requests that the user has sent to this step since the last call.

        A long-running node calls this between two pieces of its work. A request asks it to draw a sample, to
        save a checkpoint, or to stop: then save the state needed to continue in `scratch`, and raise
        `engine.errors.Cancelled`.
        """
        if self._requests is None:
            return set()
        seen, self._seen = self._seen, self._requests.count()
        return self._requests.since(seen, self._node)

    def require_unchanged(self) -> None:
        """Check that no file of a loaded model was overwritten meanwhile; the engine calls it after `run`.

        Raises:
            NodeError: `changed_file`: a file was overwritten, so the result may be wrong.
        """
        if self._pins is not None:
            self._pins.require_unchanged()

    def close(self) -> None:
        """Release the loaded models and send the last metrics; the engine calls it when the step ends."""
        if self._rows:
            self._send_rows()
        if self._pins is not None:
            self._pins.release()

    def _send_rows(self) -> None:
        rows, self._rows = self._rows, []
        self._emit(Metrics(self._node, tuple(rows)))

    def _opened(self) -> StepFolder:
        """Return the step's folder on disk; raise NodeError if it has none."""
        if self._folder is None:
            hint = "run the graph in a session; a node alone has no folder"
            raise NodeError("this step has no folder for unfinished work", hint=hint, code="no_folder")
        return self._folder()
