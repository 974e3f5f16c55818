"""Opens a folder for each step that requests one, for unfinished work and published files."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.plan.step import Gather, Step
from engine.run.lifecycle import Lifecycle
from engine.store.step_folders import PublishedFile, StepFolder, StepFolders, published_in
from engine.store.store import Result


class LongSteps(Lifecycle):
    """A lifecycle that closes the folder of a step when the step ends.

    It wraps the lifecycle that stores results, so that unfinished work is removed only after the result is on
    disk.

    Args:
        folders: the folders of all steps.
        lineage: the lineage of a step.
        is_stored: returns True if a later process will find the result of a key.
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
        """The folder of a running step; repeated calls return the same one."""
        folder = self._open.get(step.id)
        if folder is None:
            kept = step.storable and step.key is not None
            folder = self._folders.open(step.key if kept else None, self._lineage(step) if kept else None)
            self._open[step.id] = folder
        return folder

    def finish(self, step: Step, result: Result | None) -> None:
        """Close the folder; unfinished work is removed if the result is stored, and kept otherwise."""
        folder = self._open.pop(step.id, None)
        if folder is not None:
            stored = result is not None and step.key is not None and self._is_stored(step.key)
            self._published[step.id] = folder.published()
            folder.close(stored)

    def published(self, steps: Mapping[str, Step]) -> dict[str, tuple[PublishedFile, ...]]:
        """The published files by node; call at the end of the run.

        For a reused result, these are the files of the run that computed it, unless they have been evicted.
        """
        found: dict[str, tuple[PublishedFile, ...]] = {}
        folders = self._folders.folders()
        for node, step in steps.items() if folders else ():
            folder = None if isinstance(step, Gather) or step.key is None else folders.get(step.key)
            if folder is not None and (files := published_in(folder)):
                found[node] = tuple(files)
        return found | {node: tuple(files) for node, files in self._published.items() if files}
