"""A run's declared outputs as files in a folder: counted, never overwritten, never half-written."""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine import graph as documents
from engine import png, whole_file
from engine.errors import GraphError, Problem, SafelightError
from engine.inline import bundled
from engine.plan import Plan
from engine.registry import Annotate, Made
from engine.slug import slug
from engine.source import CHUNK
from engine.step import Gather, Step
from engine.store.store import Store
from engine.values import Json, Packed

SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "application/x-safetensors": ".safetensors",
    "application/json": ".json",
    "text/plain": ".txt",
}


@dataclass(frozen=True, slots=True)
class Written:
    """One declared output, and the files that hold it."""

    type: str
    files: tuple[Path, ...]
    digest: str
    value: Json = None
    """The value itself where `type` is `json`."""


class Outputs:
    """Writes what the graph of a plan declares.

    A file is called after the graph, the output and a counter: `mug-on-a-desk-image-0001.png`. A picture
    carries the graph with the values of this run (`safelight`) and what the node packs say of it. It can be
    run like the graph's own file, from anywhere, since the command line names the files that a graph reads so
    that they are found again (`findable`). When the very same bytes lie in the folder already under one of
    these names, that file is the answer, so a run from the cache points at its picture instead of filling the
    folder.

    Args:
        plan: what was run.
        store: where the results lie.
        annotators: the packs' hooks, see `registry.Annotate`.
        warn: is told of hooks that fail and of text that cannot be written.
    """

    def __init__(
        self, plan: Plan, store: Store, annotators: list[Annotate], warn: Callable[[str], None]
    ) -> None:
        self._plan, self._store, self._annotators, self._warn = plan, store, annotators, warn
        self._documents: dict[str, str] = {}
        self.inscribed = False
        """Whether the graph went into any picture."""

    def write(self, packed: Mapping[str, Packed], folder: Path, name: str) -> Iterator[tuple[str, Written]]:
        """Write the outputs of one run, one with each step of the iterator.

        Args:
            packed: the outputs by name, as `Report.outputs` has them.
            folder: made if it does not exist and there is something to write.
            name: what the files are called after; see `slug`.

        Raises:
            SafelightError: the folder cannot be written, or the disk is full; what was written is whole.
        """
        for output, value in packed.items():
            yield output, self._written(output, value, folder, name)

    def _written(self, output: str, packed: Packed, folder: Path, name: str) -> Written:
        files: list[Path] = []
        pictures: Counter[str] = Counter()
        for part in packed.parts:
            data = part.data
            if part.media == "image/png":
                step = self._maker(self._plan.checked.outputs[output].node, part.name)
                data = self.inscribe(data, step, pictures[step])
                pictures[step] += 1
            series = _Series(folder, f"{slug(name)}-{slug(output)}", SUFFIXES.get(part.media, ".bin"))
            files.append(series.add(data, files))
        value = packed.meta if packed.type == "json" else None
        return Written(packed.type, tuple(files), packed.digest, value)

    def _maker(self, node: str, part: str) -> str:
        """The id of the step that made a part: of a node that goes through lists, one of its elements."""
        step = self._plan.steps[node]
        place = part.split("/")
        while isinstance(step, Gather):
            assert step.children is not None
            step = step.children[int(place.pop(0))]
        return step.id

    def _document(self, step: Step) -> str:
        """The graph as it made this picture: of inputs that were swept, with the value that it has."""
        checked = self._plan.checked
        whole = self._plan.steps[step.id.partition("[")[0]]
        axes = whole.bound.lift.axes if whole.bound.lift is not None else ()
        own = {
            axis.name[1:]: checked.values[axis.name[1:]][n]  # type: ignore[index]
            for axis, n in zip(axes, step.at, strict=False)
            if axis.sweep
        }
        spelled = str(own)
        if spelled not in self._documents:
            graph = bundled(checked.graph, checked.read).with_defaults({**checked.values, **own})
            self._documents[spelled] = documents.dump(graph)
        return self._documents[spelled]

    def inscribe(self, data: bytes, step: str, index: int) -> bytes:
        """A PNG file with the graph and what the node packs say of it; see `files.Inscribe`."""
        self.inscribed = True
        texts = {CHUNK: self._document(self._plan.steps[step])}
        for annotate in self._annotators:
            try:
                said = annotate(self._made(step), step, index)
                texts = {**{str(key): str(text) for key, text in said.items()}, **texts}
            except Exception as error:  # the code of a node pack may raise anything
                hook = getattr(annotate, "__module__", annotate)
                self._warn(f"{step}: {hook} cannot annotate it: {error}")
        for keyword, text in texts.items():
            try:
                data = png.write_text(data, {keyword: text})
            except ValueError as error:
                self._warn(f"{step}: the text {keyword!r} is not written: {error}")
        return data

    def _made(self, target: str) -> dict[str, Made]:
        """The steps behind an output, itself included."""
        made: dict[str, Made] = {}
        ahead = [target]
        while ahead:
            step = self._plan.steps[ahead.pop()]
            if step.id in made or isinstance(step, Gather):
                continue
            links = {
                source.input: next((one.id for one in source.step.elements()), source.step.id)
                for source in step.sources
            }
            key = (step.leader or step).key
            meta = _Meta(self._store, key, tuple(step.bound.type.outputs))
            made[step.id] = Made(step.bound.type.name, step.bound.literals, links, meta)
            ahead += links.values()
        return made


def refuse_unwritable(folder: Path) -> None:
    """Find out whether files can be written to a folder, or to where it would be made, and leave no trace.

    Raises:
        GraphError: they cannot.
    """
    there = folder
    try:
        while not os.path.lexists(there):
            there = there.parent
        probe = there / f".{os.urandom(8).hex()}.part"
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        probe.unlink()
    except OSError as error:
        # Of a file in the way some systems say that it is no folder, and others that it is not there.
        why = "Not a directory" if not there.is_dir() else error.strerror or error
        where = "" if there == folder else f"{there}: "
        message = f"the outputs cannot be written to {folder}: {where}{why}"
        hint = "name another folder with --out"
        raise GraphError([Problem("unwritable", message, hint=hint)]) from None


class _Meta(Mapping[str, Json]):
    """The plain part of each output, read only when a hook asks for it."""

    def __init__(self, store: Store, key: str | None, outputs: tuple[str, ...]) -> None:
        self._store, self._key, self._outputs = store, key, outputs

    def __getitem__(self, output: str) -> Json:
        known = self._key is not None and output in self._outputs
        packed = self._store.packed(self._key, output) if known and self._key else None
        if packed is None:
            raise KeyError(output)
        return packed.meta

    def __iter__(self) -> Iterator[str]:
        return iter([output for output in self._outputs if self.get(output) is not None])

    def __len__(self) -> int:
        return len(list(iter(self)))


class _Series:
    """The files of one output in one folder, by number."""

    def __init__(self, folder: Path, stem: str, suffix: str) -> None:
        self._folder, self._stem, self._suffix = folder, stem, suffix

    def add(self, data: bytes, taken: list[Path]) -> Path:
        """The file that holds `data`: one that is there already and not `taken`, or a new one."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            found = self._numbered()
            for _, path in sorted(found.items()):
                if path not in taken and whole_file.holds(path, data):
                    return path
            return whole_file.put(data, self._names(max(found, default=0) + 1), share=True)
        except OSError as error:
            why = error.strerror or error
            raise SafelightError(f"the outputs cannot be written to {self._folder}: {why}") from None

    def _numbered(self) -> dict[int, Path]:
        pattern = re.compile(re.escape(self._stem) + r"-(\d{4,9})" + re.escape(self._suffix))
        matches = ((pattern.fullmatch(path.name), path) for path in self._folder.iterdir())
        return {int(match[1]): path for match, path in matches if match}

    def _names(self, number: int) -> Iterator[Path]:
        return (self._folder / f"{self._stem}-{n:04}{self._suffix}" for n in itertools.count(number))
