"""An open home folder: its node types, results and models; checks, plans and runs graphs."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from engine.cancel import Cancel
from engine.check import check as checking
from engine.check.check import Checked
from engine.check.portable import kinds
from engine.devices.compute import ComputeSettings, compute_settings
from engine.devices.report import DevicesReport, devices_report
from engine.devices.residency import Residency
from engine.digests import FileDigests
from engine.document.graph import Entry, Graph, ReadGraph
from engine.document.random_seeds import Drawn, draw
from engine.document.sweep import Sweep
from engine.errors import GraphError, Problem
from engine.events import Emit, Event
from engine.explain.history import History, Record
from engine.explain.reasons import Reasons
from engine.file_facts import FileFacts
from engine.files import Files
from engine.observe.journal import Journals
from engine.observe.watch import Watch
from engine.packs.provenance import TextLength
from engine.packs.registry import Registry
from engine.plan import plan as planning
from engine.plan.plan import Plan
from engine.run.deliveries import Take
from engine.run.lifecycle import Lifecycle
from engine.run.long_steps import LongSteps
from engine.run.report import Report
from engine.run.result_caching import ResultCaching
from engine.run.run import Run
from engine.run.step_locks import StepLocks
from engine.run.write_guard import WriteGuard
from engine.session import pack_hooks
from engine.session.current_runs import CurrentRuns
from engine.session.estimate import Estimate, Estimator
from engine.settings import Settings
from engine.sources.source import subgraph_reader
from engine.step_requests import Requests
from engine.store.disk import Disk
from engine.store.memory import Memory
from engine.store.step_folders import StepFolders
from engine.store.tiered import Tiered
from engine.values import Json

Values = Mapping[str, Json | Sweep]

SEEDS = 2**32
"""Random seeds are drawn below this number, because other tools accept no larger ones."""


class Home:
    """An open home folder: node types, stored results, models on the device.

    Args:
        settings: the home folder, the device and the budgets.
        registry: the node types; without it, all installed ones and those in the home's `nodes/`.
        warn: receives warnings that belong to no run.
        local: True if graphs may name any file of this machine; False for graphs from the network.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        registry: Registry | None = None,
        warn: Callable[[str], None] = lambda message: None,
        local: bool = True,
    ) -> None:
        # By default, torch's threads spin while they wait for one another; with one other busy process, a
        # picture then takes ten times as long. torch reads this variable when it is imported.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        self.settings = settings
        self._registry, self._warn, self._local = registry, warn, local
        self._pool = ThreadPoolExecutor(max(1, settings.workers - 1), "safelight")
        self._lock = Lock()  # guards the flags of this object
        self._current = CurrentRuns()
        self._reported: set[Problem] = set()
        self._store_reported = False
        self._planned: tuple[int, bytes] = (
            0,
            b"",
        )  # the last plan, and the last announcement of the locks before it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write the results in memory to disk, and unload all models."""
        if "store" in self.__dict__:
            self.store.close()
        if "journals" in self.__dict__:
            self.journals.close()
        if "step_locks" in self.__dict__:
            self.step_locks.close()
        self._pool.shutdown(wait=False)
        if "step_folders" in self.__dict__:
            self.step_folders.close()
        if "residency" in self.__dict__:
            self.residency.clear()
        if "digests" in self.__dict__:
            self.digests.close()

    @cached_property
    def _store_is_writable(self) -> bool:
        """Whether the home's `store/` can be written or created."""
        place = self.settings.store_folder
        while not os.path.lexists(place):
            place = place.parent
        return os.access(place, os.W_OK | os.X_OK)

    def _warn_beside_store(self, message: str) -> None:
        """Forward a warning about the journal, the history or the locks.

        If their common folder cannot be written, the store has already warned about it.
        """
        if not self._store_is_writable:
            with self._lock:
                reported, self._store_reported = self._store_reported, True
            if reported or self.settings.disk_budget:
                return
        self._warn(message)

    @cached_property
    def registry(self) -> Registry:
        """The node types."""
        return self._registry or Registry.find([self.settings.home / "nodes"])

    @cached_property
    def store(self) -> Tiered:
        """The results of steps, in memory and in the home's `store/`."""
        budget = self.settings.disk_budget
        disk = Disk(self.settings.store_folder, budget, self._warn) if budget else None
        return Tiered(Memory(self.settings.memory_budget), disk)

    @cached_property
    def journals(self) -> Journals:
        """The journals of runs."""
        return Journals(self.settings.store_folder / "journal", self._warn_beside_store)

    @cached_property
    def step_locks(self) -> StepLocks:
        """The locks that keep two runs from computing the same step at once."""
        folder = self.settings.store_folder if self.settings.disk_budget else None
        return StepLocks(folder, self._warn_beside_store, self.journals.last_written)

    @cached_property
    def step_folders(self) -> StepFolders:
        """The folders of long steps: unfinished work and published files."""
        budget = self.settings.disk_budget
        return StepFolders(self.settings.store_folder / "steps" if budget else None, budget, self._warn)

    @property
    def warnings_folder(self) -> Path | None:
        """The folder for the warnings of stored results; None if no results are stored on disk."""
        return self.settings.store_folder / "warnings" if self.settings.disk_budget else None

    @cached_property
    def read_subgraph(self) -> ReadGraph:
        """Reads the graphs that graphs name by file, such as `./upscale.json`."""
        return subgraph_reader(self.settings.home / "graphs", self._local)

    @cached_property
    def digests(self) -> FileDigests:
        """The digests of files, cached by path, size and time."""
        return FileDigests(FileFacts(self.settings.store_folder / "files.sqlite"))

    @cached_property
    def files(self) -> Files:
        """The folders in which graphs find their files."""
        return Files(
            self.settings.folders_of, self.digests, self.settings.home / "outputs", local=self._local
        )

    def create_folders(self) -> None:
        """Create the home's folders for graphs, node types and each kind of file that node types read, so
        that users find where to put files. In a home that cannot be written, nothing happens."""
        own = [self.settings.folders_of(kind)[0] for kind in sorted(kinds(self.registry))]
        with suppress(OSError):
            for folder in (self.settings.home / "graphs", self.settings.home / "nodes", *own):
                folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def history(self) -> History:
        """The previous run of each graph, to explain why steps run."""
        return History(self.settings.store_folder / "history", self._warn_beside_store)

    @cached_property
    def residency(self) -> Residency:
        """The models that are loaded on the device."""
        budget = self.settings.loaded_budget
        return Residency(None if budget == "auto" else budget)

    @cached_property
    def compute(self) -> ComputeSettings:
        """The compute settings of accelerator nodes: device, precision, attention, compilation."""
        return compute_settings(self.settings)

    @property
    def device(self) -> str:
        """The device that accelerator nodes compute on."""
        return self.compute.device

    def devices_report(self, devices: Iterable[str] = ()) -> DevicesReport:
        """The devices of this process, the compute settings, and the loaded models.

        Args:
            devices: further devices to describe, besides the host and the one that nodes compute on.
        """
        return devices_report(self.compute, self.residency, devices)

    def check(self, graph: Graph, values: Values | None = None) -> Checked:
        """Find every problem of a graph; see `check.check`.

        Seeds set to `"random"` are drawn here; the graph of the result has their numbers. Packs whose files
        have changed are reloaded.
        """
        self.registry.refresh()
        drawn = self.draw(graph, values)
        return checking.check(drawn.graph, self.registry, drawn.values, drawn.read)

    def draw(self, graph: Graph, values: Values | None = None) -> Drawn:
        """Replace each random seed of a graph and its values by a number; see `random_seeds.draw`."""
        return draw(
            graph, values or {}, self._seed_inputs, self.read_subgraph, lambda: secrets.randbelow(SEEDS)
        )

    def advice(self, checked: Checked, files: Files | None = None) -> list[Problem]:
        """The warnings of node packs about a graph, such as for a canvas that a model was not trained for.

        They may read files, so a run does not ask for them: its nodes warn while they run.

        Args:
            checked: what `check` returned.
            files: where to find files; without it, the files of the session.
        """
        return pack_hooks.advice(self.registry.advisers, checked, files or self.files)

    def text_lengths(
        self, checked: Checked, files: Files | None = None
    ) -> tuple[list[TextLength], list[Problem]]:
        """The lengths of the texts in a graph in tokens, and warnings about what is in them.

        Args:
            checked: what `check` returned.
            files: where to find files; without it, the files of the session.
        """
        return pack_hooks.text_lengths(self.registry.measurers, checked, files or self.files)

    def plan_checked(
        self, checked: Checked, targets: Sequence[str] = (), *, name: str = "", files: Files | None = None
    ) -> Plan:
        """Plan a checked graph; see `plan`.

        Args:
            checked: the result of `check`.
            targets: see `plan`.
            name: see `plan`.
            files: the files of the run; without them, those of the session.
        """
        if not checked.ok:
            raise GraphError([*checked.problems, *self.registry.problems])  # a pack may lack a type
        announcement = self.step_locks.last_announcement()
        planned = planning.plan(
            checked,
            self.store,
            files or self.files,
            targets=targets,
            compute=self.compute.signature,
            name=name or checked.graph.title,
            max_steps=self.settings.max_steps,
        )
        self._planned = id(planned), announcement
        return planned

    def reasons(self, plan: Plan) -> Reasons:
        """Returns an object that explains why each step of a plan runs, compared with the graph's previous
        run."""
        return Reasons(plan, self._record(plan), lambda key: bool(self.store.where([key])))

    def estimate(self, plan: Plan, record: Record | None = None, files: Files | None = None) -> Estimate:
        """Estimate the time and the memory of a run before it begins; nothing is loaded.

        Args:
            plan: its plan.
            record: the state of the graph in its previous run, as `reasons` has it; None to read it.
            files: where to find files; without it, the files of the session.
        """
        budget = self.residency.budget(self.device) if self.compute.offload == "none" else 0
        estimator = Estimator(self.registry.estimators, self.compute, files or self.files, self.store, budget)
        found = estimator.estimate(plan, record or self._record(plan))
        for problem in estimator.problems:
            self._warn(str(problem))
        return found

    def _record(self, plan: Plan) -> Record | None:
        return self.history.record(plan.name) if plan.name else None

    def run_plan(
        self,
        plan: Plan,
        emit: Emit | None = None,
        watch: Watch | None = None,
        *,
        files: Files | None = None,
        cancel: Cancel | None = None,
        requests: Requests | None = None,
        previews: bool = False,
        take: Take | None = None,
    ) -> Report:
        """Run a plan and write its journal; no declared output is written to a file.

        Args:
            plan: the plan.
            emit, watch, cancel, requests, previews: see `Session.run`.
            take: receives each declared output when its step is done; without it, the report holds them.
            files: the files of the run; without them, those of the session.
        """
        watch, cancel, requests = watch or Watch(), cancel or Cancel(), requests or Requests()
        reasons = Reasons(
            plan, self._record(plan)
        )  # read after the run, when the store holds the results of this run
        watch.explain(reasons.why)
        store = watch.store(self.store)
        seen = self._planned[1] if self._planned[0] == id(plan) else None
        cached = ResultCaching(store, self.step_locks, cancel.check, seen)
        long_steps = LongSteps(self.step_folders, plan.builder.keys.lineage, self.store.is_on_disk)
        guard = WriteGuard(self.settings.checked)
        lifecycles: list[Lifecycle] = [*watch.lifecycles, long_steps, cached, guard]
        try:
            with self._current.cancelled_by(cancel), self.journals.one() as journal:

                def emit_and_record(event: Event) -> None:
                    journal(event)
                    emit(event)  # type: ignore[misc]  # it is not None where this is used

                run = Run(
                    plan,
                    store,
                    files=files or self.files,
                    residency=watch.residency(self.residency),
                    compute=self.compute,
                    emit=journal if emit is None else emit_and_record,
                    cancel=cancel,
                    lifecycles=lifecycles,
                    workers=self.settings.workers,
                    pool=self._pool,
                    previews=previews,
                    folder=long_steps.folder,
                    requests=requests,
                    reasons=reasons,
                    take=take,
                )
                with self._current.one(run.id, plan, requests):
                    report = run.run()
                report.published = long_steps.published(plan.steps)
        finally:
            self.store.count(cached.hits(plan.steps.values()))
        if reasons.record is not None:
            if plan.to_run:
                self.store.flush()  # so that a process that reads the history also finds the results
            self.history.remember(reasons.record, plan, report.unfinished)
        return report

    def _seed_inputs(self, entry: Entry) -> list[str]:
        """The inputs of a node that are seeds."""
        node_type = self.registry.types.get(entry.name)
        return [] if node_type is None else [name for name, item in node_type.inputs.items() if item.is_seed]

    def unreported(self, problems: Iterable[Problem]) -> list[Problem]:
        """Filter out the problems that were reported before, and remember the others as reported."""
        fresh = [problem for problem in problems if problem not in self._reported]
        self._reported.update(fresh)
        return fresh

    def request(self, run: str, node: str, request: str) -> None:
        """Send a request to a running step, for example to draw a sample now.

        Args:
            run: the id of the run, from the event `Planned`.
            node: the id of the step, or of a node that goes through lists.
            request: `stop`, `sample` or `checkpoint`.

        Raises:
            GraphError: there is no such run, node or request.
        """
        self._current.request(run, node, request)

    def cancel(self) -> None:
        """Cancel all current runs; they stop between steps, or between denoising steps inside one."""
        self._current.cancel()
