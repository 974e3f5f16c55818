"""Opens a folder for each step that asks for one, for unfinished work and published files."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.plan.step import Gather, Step
from engine.run.lifecycle import Lifecycle
from engine.store.step_folders import PublishedFile, StepFolder, StepFolders, published_in
from engine.store.store import Result


class LongSteps(Lifecycle):
    """A lifecycle that opens the folder of a step on demand, and closes it when the step ends.

    It must come before the lifecycle that stores results, so that unfinished work is removed only after the
    result is on disk.

    Args:
        folders: the folders of all steps.
        lineage: returns the lineage of a step; see `Keys.lineage`.
        is_stored: returns True if the result of a key is on disk, where a later process finds it.
    """

    def __init__(
        self,
        folders: StepFolders,
        lineage: Callable[[Step], str | None],
        is_stored: Callable[[str], bool],
    ) -> None:
        self._folders, self._lineage, self._is_stored = folders, lineage, is_stored
        self._open: dict[str, StepFolder] = {}
        self._published: dict[str, list[PublishedFile]] = {}

    def folder(self, step: Step) -> StepFolder:
        """Return the folder of a running step; the first call opens it."""
        folder = self._open.get(step.id)
        if folder is None:
            kept = step.storable and step.key is not None
            folder = self._folders.open(step.key if kept else None, self._lineage(step) if kept else None)
            self._open[step.id] = folder
        return folder

    def finish(self, step: Step, result: Result | None) -> None:
        """Close the folder. Unfinished work is removed if the result is stored; otherwise it is kept."""
        folder = self._open.pop(step.id, None)
        if folder is not None:
            stored = result is not None and step.key is not None and self._is_stored(step.key)
            self._published[step.id] = folder.published()
            folder.close(stored)

    def published(self, steps: Mapping[str, Step]) -> dict[str, tuple[PublishedFile, ...]]:
        """Return the published files by node; call this at the end of the run.

        For a reused result, these are the files from the run that computed it, if they still exist.
        """
        found: dict[str, tuple[PublishedFile, ...]] = {}
        folders = self._folders.folders()
        for node, step in steps.items() if folders else ():
            folder = None if isinstance(step, Gather) or step.key is None else folders.get(step.key)
            if folder is not None and (files := published_in(folder)):
                found[node] = tuple(files)
        return found | {node: tuple(files) for node, files in self._published.items() if files}
