"""An open home folder: its node types, cached results, files and models, each opened on first use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from engine.check.portable import kinds
from engine.devices.compute import ComputeSettings, compute_settings
from engine.devices.report import DevicesReport, devices_report
from engine.devices.residency import Residency
from engine.digests import FileDigests
from engine.document.graph import ReadGraph
from engine.explain.history import History
from engine.file_facts import FileFacts
from engine.files import Files
from engine.observe.journal import Journals
from engine.packs.registry import Registry
from engine.run.step_locks import StepLocks
from engine.settings import Settings
from engine.sources.source import subgraph_reader
from engine.store.disk import Disk
from engine.store.memory import Memory
from engine.store.step_folders import StepFolders
from engine.store.tiered import Tiered


class Home:
    """An open home folder: its node types, cached results, files, and the models loaded on the device.

    Args:
        settings: the home folder, the device and the budgets.
        registry: the node types; by default all installed ones and those in the home's `nodes/`.
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
        self._lock = Lock()  # guards the next flag
        self._store_reported = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write the results in memory to disk, and unload all models."""
        for part in ("store", "journals", "step_locks", "step_folders", "digests"):
            if part in self.__dict__:  # it was used
                self.__dict__[part].close()
        if "residency" in self.__dict__:
            self.residency.clear()

    @cached_property
    def _store_is_writable(self) -> bool:
        """True if the home's `store/` can be written or created."""
        place = self.settings.store_folder
        while not os.path.lexists(place):
            place = place.parent
        return os.access(place, os.W_OK | os.X_OK)

    def _warn_beside_store(self, message: str) -> None:
        """Forward a warning about the journal, the history or the locks, which lie in the store's folder.

        If that folder cannot be written, warn only once, and not at all if the store warns about it.
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
        """The cached results of steps, in memory and in the home's `store/`."""
        budget = self.settings.disk_budget
        disk = Disk(self.settings.store_folder, budget, self._warn) if budget else None
        return Tiered(Memory(self.settings.memory_budget), disk)

    @cached_property
    def journals(self) -> Journals:
        """The journals of runs."""
        return Journals(self.settings.store_folder / "journal", self._warn_beside_store)

    @cached_property
    def step_locks(self) -> StepLocks:
        """The locks that keep two runs from computing the same step at the same time."""
        folder = self.settings.store_folder if self.settings.disk_budget else None
        return StepLocks(folder, self._warn_beside_store, self.journals.last_written)

    @cached_property
    def step_folders(self) -> StepFolders:
        """The folders in which long steps such as trainings keep unfinished work and published files."""
        budget = self.settings.disk_budget
        return StepFolders(self.settings.store_folder / "steps" if budget else None, budget, self._warn)

    @property
    def warnings_folder(self) -> Path | None:
        """The folder that keeps the warnings of cached results; None if no results are stored on disk."""
        return self.settings.store_folder / "warnings" if self.settings.disk_budget else None

    @cached_property
    def read_subgraph(self) -> ReadGraph:
        """The function that reads subgraph files that graphs name, such as `./upscale.json`."""
        return subgraph_reader(self.settings.home / "graphs", self._local)

    @cached_property
    def digests(self) -> FileDigests:
        """The digests of the user's files, cached by path, size and time."""
        return FileDigests(FileFacts(self.settings.store_folder / "files.sqlite"))

    @cached_property
    def files(self) -> Files:
        """The user's files: the folders in which graphs find them, and their digests."""
        return Files(
            self.settings.folders_of, self.digests, self.settings.home / "outputs", local=self._local
        )

    def create_folders(self) -> None:
        """Create the home's folders for graphs, nodes and each kind of file that node types read.

        So users see where to put their files. If the home cannot be written, no folder is created.
        """
        own = [self.settings.folders_of(kind)[0] for kind in sorted(kinds(self.registry))]
        with suppress(OSError):
            for folder in (self.settings.home / "graphs", self.settings.home / "nodes", *own):
                folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def history(self) -> History:
        """The record of each graph's previous run, which explains why steps run."""
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
        """Describe the devices, the compute settings and the loaded models of this process.

        Args:
            devices: further devices to describe, in addition to the host and the one that nodes compute on.
        """
        return devices_report(self.compute, self.residency, devices)
