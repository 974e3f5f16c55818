"""The five verbs (load, check, plan, run, cancel) over one home folder; every face is a thin cover of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from engine import check as checking
from engine import devices, source
from engine import plan as planning
from engine.claims import Claims
from engine.context import Cancel
from engine.crew import Crew
from engine.digests import FileDigests
from engine.errors import GraphError
from engine.events import Emit, Event
from engine.files import Files
from engine.foreign import Imported, ImportGraph
from engine.graph import Graph
from engine.history import History
from engine.inline import Read
from engine.journal import Journals
from engine.library import library
from engine.lifecycles.cached import Cached
from engine.lifecycles.guarded import Guarded
from engine.lifecycles.lifecycle import Lifecycle
from engine.plan import Plan
from engine.reasons import Reasons
from engine.registry import Registry
from engine.report import Report
from engine.residency import Residency
from engine.run import Run
from engine.settings import Settings
from engine.store.disk import Disk
from engine.store.memory import Memory
from engine.store.tiered import Tiered
from engine.sweep import Sweep
from engine.values import Json
from engine.watch import Watch


class Session:
    """A home folder at work: its registry, its store, its device and what is loaded on it.

    Args:
        settings: where the home is, and the budgets.
        registry: the node types; without it, every installed one and the home's own `nodes/`.
        warn: is told what is not as it should be and harms nothing.
        local: True if graphs may name any file of this machine; a server says False.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        registry: Registry | None = None,
        warn: Callable[[str], None] = lambda message: None,
        local: bool = True,
    ) -> None:
        # By default torch's threads spin while they wait for one another, and steal the cores from whatever
        # else runs: beside one busy process a picture took ten times as long. Read when torch is imported.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        self.settings = settings
        self._registry, self._warn, self._local = registry, warn, local
        self.cancelling = Cancel()
        self._crew = Crew()
        self._planned: tuple[int, bytes] = (0, b"")  # the last plan, and the news of the claims before it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Flush the store and let go of everything loaded."""
        if "store" in self.__dict__:
            self.store.close()
        if "journals" in self.__dict__:
            self.journals.close()
        if "claims" in self.__dict__:
            self.claims.close()
        if "residency" in self.__dict__:
            self.residency.clear()
        if "digests" in self.__dict__:
            self.digests.close()

    @cached_property
    def registry(self) -> Registry:
        """The node types at hand."""
        return self._registry or Registry.find([self.settings.home / "nodes"])

    @cached_property
    def store(self) -> Tiered:
        """Memory over disk, in the home's `store/`."""
        budget = self.settings.disk_budget
        disk = Disk(self.settings.store_folder, budget, self._warn) if budget else None
        return Tiered(Memory(self.settings.memory_budget), disk)

    @cached_property
    def journals(self) -> Journals:
        """What runs did, line by line."""
        return Journals(self.settings.store_folder / "journal", self._warn)

    @cached_property
    def claims(self) -> Claims:
        """Who computes what, where several runs need the same at once."""
        return Claims(self.settings.store_folder if self.settings.disk_budget else None, self._warn)

    @cached_property
    def library(self) -> Read:
        """Reads the graphs that graphs name by file; those of a graph without a folder are the home's."""
        return library(self.settings.home / "graphs", self._local)

    @cached_property
    def digests(self) -> FileDigests:
        """The remembered digests of files."""
        return FileDigests(self.settings.store_folder / "digests.sqlite")

    @cached_property
    def files(self) -> Files:
        """The folders that graphs may name files in."""
        return Files(
            self.settings.folders_of, self.digests, self.settings.home / "outputs", local=self._local
        )

    @cached_property
    def history(self) -> History:
        """How each graph was when it last ran."""
        return History(self.settings.store_folder / "history", self._warn)

    @cached_property
    def residency(self) -> Residency:
        """What is loaded on the device."""
        return Residency(self.settings.loaded_budget)

    @cached_property
    def device(self) -> str:
        """What accelerator nodes compute on."""
        return devices.resolve(self.settings.device)

    def load(self, path: Path) -> Graph:
        """The graph in a file, or in a picture that carries one; see `source.read`.

        Of a file that another program wrote, a warning says what it was read from, and more of them what was
        left out.
        """
        imported = self.read(path)
        if imported.origin != source.OWN:
            self._warn(f"{path}: {imported.summary}")
        for problem in imported.problems:
            self._warn(str(problem))
        return imported.graph

    def read(self, path: Path) -> Imported:
        """The same, with where it comes from and what was left out as data."""

        def importers() -> list[ImportGraph]:
            self.registry.refresh()
            return self.registry.importers

        def files() -> Files:
            if self.settings.store_folder.is_dir():
                return self.files
            # Looking at a file leaves a home that was never used without a store.
            return Files(
                self.settings.folders_of, FileDigests(), self.settings.home / "outputs", local=self._local
            )

        return source.read(path, importers, files)

    def check(self, graph: Graph, values: Mapping[str, Json | Sweep] | None = None) -> checking.Checked:
        """Every problem of a graph; see `check.check`. Packs that were saved since are read again."""
        self.registry.refresh()
        return checking.check(graph, self.registry, values, self.library)

    def plan(
        self,
        graph: Graph,
        values: Mapping[str, Json | Sweep] | None = None,
        targets: Sequence[str] = (),
        *,
        name: str = "",
    ) -> Plan:
        """What a run would do, and why; see `plan.plan`.

        The reasons say what is different from when the graph of this name last ran. The name is the absolute
        path of its file, or whatever else tells it from other graphs; without one, its title does.
        """
        checked = self.check(graph, values)
        if not checked.ok:
            raise GraphError(checked.problems)
        return self.plan_checked(checked, targets, name=name)

    def plan_checked(self, checked: checking.Checked, targets: Sequence[str] = (), *, name: str = "") -> Plan:
        """The same for a graph that was checked already, and is to be planned often."""
        kind = devices.kind(self.device)
        news = self.claims.news()
        name = name or checked.graph.title
        reasons = Reasons(self.history.record(name), checked.graph, kind) if name else None
        planned = planning.plan(
            checked, self.store, self.files, targets=targets, device=kind, reasons=reasons
        )
        self._planned = id(planned), news
        return planned

    def run(
        self,
        graph: Graph,
        values: Mapping[str, Json | Sweep] | None = None,
        *,
        targets: Sequence[str] = (),
        emit: Emit | None = None,
        name: str = "",
    ) -> Report:
        """Run a graph to the end; see `run.Run`, and `plan` for its name.

        Raises:
            GraphError: the graph has errors, or a file that it needs is missing.
        """
        return self.walk(self.plan(graph, values, targets, name=name), emit)

    def walk(self, plan: Plan, emit: Emit | None = None, watch: Watch | None = None) -> Report:
        """Run what was planned, and write it into the journal.

        Args:
            plan: what to do.
            emit: is told every event.
            watch: follows the steps, the store and the loading of models closely.
        """
        watch = watch or Watch()
        store = watch.store(self.store)
        self.residency.span = watch.span
        seen = self._planned[1] if self._planned[0] == id(plan) else None
        cached = Cached(store, self.claims, self.cancelling.check, seen)
        lifecycles: list[Lifecycle] = [*watch.lifecycles, cached]
        if self.settings.checked:
            lifecycles.append(Guarded())
        with self.journals.one() as journal:

            def both(event: Event) -> None:
                journal(event)
                emit(event)  # type: ignore[misc]  # it is not None where this is used

            try:
                report = Run(
                    plan,
                    store,
                    files=self.files,
                    residency=self.residency,
                    device=self.device,
                    emit=journal if emit is None else both,
                    cancel=self.cancelling,
                    lifecycles=lifecycles,
                    workers=self.settings.workers,
                    crew=self._crew,
                ).go()
            finally:
                self.store.count(cached.hits(plan.steps.values()))
                self.cancelling = Cancel()  # a wish to stop is spent with the run that it stopped
        if plan.maker.reasons is not None:
            self.history.remember(plan.maker.reasons.record, plan, report)
        return report

    def cancel(self) -> None:
        """Ask the run under way to stop: between steps, and between the denoising steps inside one."""
        self.cancelling.ask()
