"""Writes the declared outputs of a run to files, each element as soon as it is computed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from engine import picture_text
from engine.errors import GraphError, Problem, SafelightError
from engine.events import OutputWritten
from engine.files import Inscribe
from engine.outputs.folder import OutputFolder
from engine.outputs.kept_outputs import KeptOutputs
from engine.outputs.swept_inputs import SweptInputs
from engine.outputs.written_outputs import Element, Outline, Written
from engine.packing import split, unpack
from engine.paths import slug
from engine.plan.plan import Plan
from engine.plan.step import Gather, Step
from engine.store.store import Store
from engine.values import Json, Packed, Part, summary_of

SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "application/x-safetensors": ".safetensors",
    "application/json": ".json",
    "text/plain": ".txt",
}


class OutputWriter:
    """Writes the declared outputs of one run to files in a folder.

    The name of a file consists of the graph's title, the output and a number: `mug-on-a-desk-image-0001.png`.
    Short swept values stand before the number: `mug-on-a-desk-image-steps-4-guidance-1-0001.png`. If the
    folder already has such a file with the same bytes, that file is reused, so that repeated cached runs do
    not fill the folder with copies.

    Args:
        plan: the plan of the run.
        store: the store with the results of its steps.
        folder: the folder; None to write no files.
        title: the beginning of the file names; see `slug`.
        inscribe: writes the graph into each picture.
        keep: called before each file, to copy the files that the graph reads into the home folder.
        free_disk: called when the disk is full; see `OutputFolder`.
        encode: returns the media type and the bytes in which a part is written; see `picture_format`.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        folder: Path | None,
        title: str,
        inscribe: Inscribe,
        keep: Callable[[], None],
        free_disk: Callable[[Path, int], bool] = lambda place, size: False,
        encode: Callable[[Part], tuple[str, bytes]] = lambda part: (part.media, part.data),
    ) -> None:
        self._plan, self._title, self._inscribe, self._keep = plan, title, inscribe, keep
        self._encode = encode
        self._folder = None if folder is None else OutputFolder(folder, free_disk)
        self._swept = SweptInputs(plan)
        self._elements: dict[str, dict[Step, tuple[Element, Outline]]] = {}
        self._summaries: dict[str, str] = {}
        self.kept = KeptOutputs(plan, store)
        """Reads the values of the outputs again."""
        self.problems: list[Problem] = []
        """A problem for each reason why outputs could not be written."""

    def take(self, output: str, step: Step, packed: Packed) -> OutputWritten | None:
        """Write a declared output, or one element of it; see `deliveries.Take`.

        Args:
            output: the name of the output.
            step: the step that made it.
            packed: the value.

        Returns:
            the event; None if the value cannot be written.
        """
        values = self._swept.values(step.id)
        files: tuple[Path, ...] = ()
        outline = Outline.of(packed)
        try:
            files = self._write(output, step, packed)
        except SafelightError as error:
            self._refuse(str(error))
        self.kept.add(output, step, packed, outline, files)
        if packed.parts and self._folder is not None and not files:
            return None
        is_json = packed.type == "json"
        value = packed.meta if is_json else None
        element = Element(step.element_index, values, files, outline.digest, value, is_json)
        self._elements.setdefault(output, {})[step] = element, outline
        if output not in self._summaries:
            self._summaries[output] = summary(packed)
        paths = tuple(str(file.absolute()) for file in files or self._saved(value))
        return OutputWritten(output, step.element_index, values, packed.type, paths, element.digest, step.id)

    def written(self) -> dict[str, Written]:
        """Return all declared outputs that have at least one written value, keyed by name."""
        found: dict[str, Written] = {}
        for output, link in self._plan.checked.outputs.items():
            step, elements = self._plan.steps.get(link.node), self._elements.get(output, {})
            if step is None or link.node not in self._plan.targets:
                continue
            outline, is_whole = _joined(step, elements)
            if not elements and not is_whole:
                continue
            ordered = [elements[leaf][0] for leaf in step.elements() if leaf in elements]
            files = tuple(file for element in ordered for file in element.files)
            value = outline.meta if outline.type == "json" else None
            text = self._summaries.get(output, "")
            if isinstance(step, Gather) and text:
                text = f"{len(ordered)} x {text}"
            found[output] = Written(
                outline.type,
                files,
                outline.digest,
                value,
                tuple(ordered) if isinstance(step, Gather) else None,
                not is_whole,
                text,
            )
        return found

    def _write(self, output: str, step: Step, packed: Packed) -> tuple[Path, ...]:
        if self._folder is None:
            return ()
        stem = self._swept.stem(f"{slug(self._title)}-{slug(output)}", self._swept.values(step.id))
        files = []
        pictures = 0
        if packed.parts:
            self._keep()
        for part in packed.parts:
            media, data = self._encode(part)
            if media in picture_text.MEDIA:
                data = self._inscribe(data, step.id, pictures)
                pictures += 1
            files.append(self._folder.add(stem, SUFFIXES.get(media, ".bin"), data))
        return tuple(files)

    def _saved(self, value: Json) -> tuple[Path, ...]:
        """Return the file that a value names by its path, if it is in the folder; otherwise empty."""
        if self._folder is None or not isinstance(value, str) or not os.path.isabs(value):
            return ()
        try:
            file, folder = Path(value).resolve(), self._folder.path.resolve()
            return (file,) if file.is_relative_to(folder) and file.is_file() else ()
        except (OSError, ValueError):  # no name of a file, such as one with a null character
            return ()

    def _refuse(self, message: str) -> None:
        problem = Problem("unwritable", message, hint="name another folder with --out")
        if problem not in self.problems:
            self.problems.append(problem)


def _joined(step: Step, elements: dict[Step, tuple[Element, Outline]]) -> tuple[Outline, bool]:
    """Make the outline of an output, with null for each missing element. Returns it, and True if none is."""
    if not isinstance(step, Gather):
        return (elements[step][1], True) if step in elements else (Outline("json", None), False)
    items = [_joined(child, elements) for child in step.children or ()]
    outline = Outline.joined([item for item, _ in items])
    return outline, step.children is not None and all(is_whole for _, is_whole in items)


def summary(packed: Packed) -> str:
    """Describe a value that is not JSON in a few words; empty if that would require loading tensors.

    A value may store its `summary` in its packed JSON, so that it need not be loaded.
    """
    if packed.type == "list":
        items = split(packed)
        first = summary(items[0])
        return first and f"{len(items)} x {first}"
    if packed.type != "json" and isinstance(packed.meta, dict):
        stated = packed.meta.get("summary")
        if isinstance(stated, str):
            return " ".join(stated.split())
    if packed.type == "json" or not all(part.media.startswith("image/") for part in packed.parts):
        return ""
    try:
        return summary_of(unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts}))
    except Exception:  # the code of a node pack may raise anything
        return ""


def refuse_unwritable(folder: Path) -> None:
    """Check that files can be written to a folder, or to the place where it would be created.

    Raises:
        GraphError: files cannot be written there.
    """
    existing = folder
    try:
        while not os.path.lexists(existing):
            existing = existing.parent
        tempfile.TemporaryFile(
            dir=existing
        ).close()  # the file has no name on Linux, so a killed process leaves no file
    except OSError as error:
        # If a file is in the way, some systems report "not a directory", others "no such file".
        reason = "Not a directory" if not existing.is_dir() else error.strerror or error
        where = "" if existing == folder else f"{existing}: "
        message = f"the outputs cannot be written to {folder}: {where}{reason}"
        hint = "name another folder with --out"
        raise GraphError([Problem("unwritable", message, hint=hint)]) from None
