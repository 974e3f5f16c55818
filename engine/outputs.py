"""A run's declared outputs as files in a folder: counted, never overwritten, never half-written."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
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
from engine.supply import HOLE
from engine.values import Json, Packed, split, summary_of, unpack

SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "application/x-safetensors": ".safetensors",
    "application/json": ".json",
    "text/plain": ".txt",
}

LONGEST_WORD = 24
"""A swept text of more characters than this is in no file's name."""
LONGEST_LABEL = 64
"""If what was swept takes more bytes than this, a file's name says nothing of it."""
LONGEST_STEM = 220
"""How many bytes a file's name may have before its number and its suffix, so that all have at most 255."""

_PLACES = re.compile(r"(?:\[\d+\])+")
_NUMBERED = re.compile(r"(.+)-(\d{4,9})(\.[a-z]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Written:
    """One declared output, and the files that hold it."""

    type: str
    files: tuple[Path, ...]
    digest: str
    value: Json = None
    """The value itself where `type` is `json`."""
    elements: tuple[Element, ...] | None = None
    """If a node made it that went through lists or a sweep, what each of their elements made, in order."""
    partial: bool = False
    """True if elements are missing, since they failed or were not reached."""


@dataclass(frozen=True, slots=True)
class Element:
    """What one element of a list made of a declared output."""

    index: tuple[int, ...]
    """Its place in the list, and in the lists in that."""
    values: Mapping[str, Json]
    """The swept inputs of the graph, with the value that each had."""
    files: tuple[Path, ...]
    digest: str
    value: Json = None
    plain: bool = False
    """True if it is JSON, and `value` says it all."""

    def as_json(self) -> dict[str, object]:
        """As `--json` tells it."""
        return {
            "index": list(self.index),
            "values": dict(self.values),
            "files": [str(file.absolute()) for file in self.files],
            **({"value": self.value} if self.plain else {}),
            "digest": self.digest,
        }


class Outputs:
    """Writes what the graph of a plan declares.

    A file is called after the graph, the output and a counter: `mug-on-a-desk-image-0001.png`. Between them
    stands what was swept, where that is short: `mug-on-a-desk-image-steps-4-guidance-1-0001.png`. A picture
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
        self._sweeps = {
            axis.name[1:]: axis.order
            for bound in plan.checked.steps.values()
            if bound.lift is not None
            for axis in bound.lift.axes
            if axis.sweep
        }
        self._named = [
            name
            for name in sorted(self._sweeps, key=self._sweeps.__getitem__)
            if all(_short(value) for value in self._values_of(name))
        ]
        self.inscribed = False
        """Whether the graph went into any picture."""

    def write(self, packed: Mapping[str, Packed], folder: Path, name: str) -> Iterator[tuple[str, Written]]:
        """Write the outputs of one run, one with each step of the iterator.

        Args:
            packed: the outputs by name, as `Report.outputs` and `Report.partial` have them.
            folder: made if it does not exist and there is something to write.
            name: what the files are called after; see `slug`.

        Raises:
            SafelightError: the folder cannot be written, or the disk is full; what was written is whole.
        """
        there = _Folder(folder)
        for output, value in packed.items():
            yield output, self._written(output, value, there, name)

    def _written(self, output: str, packed: Packed, folder: _Folder, name: str) -> Written:
        link = self._plan.checked.outputs[output]
        step = self._plan.steps[link.node]
        stem = f"{slug(name)}-{slug(output)}"
        taken: dict[Path, None] = {}
        elements = []
        partial = False
        for one, item in _elements(step, packed):
            if item == HOLE:
                partial = True
                continue
            values = self._swept(one.id)
            own = self._stem(stem, values)
            files = []
            pictures = itertools.count()
            for part in item.parts:
                data = part.data
                if part.media == "image/png":
                    data = self.inscribe(data, one.id, next(pictures))
                files.append(folder.add(own, SUFFIXES.get(part.media, ".bin"), data, taken))
                taken[files[-1]] = None
            plain = item.type == "json"
            value = item.meta if plain else None
            elements.append(Element(one.at, values, tuple(files), item.digest, value, plain))
        value = packed.meta if packed.type == "json" else None
        told = tuple(elements) if isinstance(step, Gather) else None
        return Written(packed.type, tuple(taken), packed.digest, value, told, partial)

    def _stem(self, stem: str, values: Mapping[str, Json]) -> str:
        """The name of a file with what was swept, but for inputs with a long value among theirs."""
        label = "".join([f"-{slug(name)}-{_short(values[name])}" for name in self._named if name in values])
        long = len(label.encode()) > LONGEST_LABEL or len(f"{stem}{label}".encode()) > LONGEST_STEM
        return stem if long else stem + label

    def _values_of(self, name: str) -> list[Json]:
        """All values of a swept input."""
        values = self._plan.checked.values[name]
        assert isinstance(values, list)
        return values

    def _swept(self, step: str) -> dict[str, Json]:
        """The values that the swept inputs had where a step was made."""
        values: dict[str, Json] = {}
        for place in _PLACES.finditer(step):
            lift = self._plan.steps[step[: place.start()]].bound.lift
            at = [int(n) for n in place[0][1:-1].split("][")]
            for axis, n in zip(lift.axes if lift is not None else (), at, strict=False):
                if axis.sweep:
                    values[axis.name[1:]] = self._values_of(axis.name[1:])[n]
        return values

    def _document(self, step: str) -> str:
        """The graph as it made this picture: of inputs that were swept, with the value that it has."""
        own, gathered = self._swept(step), self._gathered(step)
        spelled = str((own, gathered))
        if spelled not in self._documents:
            checked = self._plan.checked
            values = dict(checked.values)
            for name in self._sweeps:
                del values[name]
                if name in own or checked.graph.inputs[name].required:
                    values[name] = own.get(name, self._values_of(name)[0])
            values |= {name: checked.values[name] for name in gathered}
            graph = bundled(checked.graph, checked.read).with_defaults(values, gathered)
            self._documents[spelled] = documents.dump(graph)
        return self._documents[spelled]

    def _gathered(self, step: str) -> list[str]:
        """The swept inputs of which all values came together in what a step made, the outermost first."""
        ahead, seen, found = [self._plan.steps[step]], set[str](), set[str]()
        while ahead and self._sweeps:
            one = ahead.pop()
            if one.id not in seen:
                seen.add(one.id)
                found.update(self._swept(one.id))
                ahead += one.elements() if isinstance(one, Gather) else [made.step for made in one.sources]
        own = self._swept(step)
        return [name for name in sorted(found, key=self._sweeps.__getitem__) if name not in own]

    def inscribe(self, data: bytes, step: str, index: int) -> bytes:
        """A PNG file with the graph and what the node packs say of it; see `files.Inscribe`."""
        self.inscribed = True
        texts = {CHUNK: self._document(step)}
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


def _elements(step: Step, packed: Packed) -> Iterator[tuple[Step, Packed]]:
    """The steps that made an output, each with its part of it."""
    if not isinstance(step, Gather):
        yield step, packed
        return
    if packed == HOLE:
        yield step, packed
        return
    for child, item in zip(step.children or (), split(packed), strict=True):
        yield from _elements(child, item)


def _short(value: Json) -> str:
    """A value as a part of a file name; empty if it is too long or means nothing there."""
    if isinstance(value, float):
        return f"{value:.6g}" if float(f"{value:.6g}") == value else ""
    if isinstance(value, bool | int):
        return str(value).lower() if abs(value) < 10**20 else ""
    if isinstance(value, str) and value.strip() and len(value) <= LONGEST_WORD:
        return slug(value)
    return ""


def summary(packed: Packed) -> str:
    """A few words on an output that is more than JSON, unless tensors would have to be loaded for them."""
    if packed.type == "list":
        items = split(packed)
        first = summary(items[0])
        return first and f"{len(items)} x {first}"
    if packed.type == "json" or not all(part.media.startswith("image/") for part in packed.parts):
        return ""
    try:
        return summary_of(unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts}))
    except Exception:  # the code of a node pack may raise anything
        return ""


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


class _Folder:
    """The files of one folder, by what they are called and their number; it is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._series: dict[str, dict[int, Path]] | None = None

    def add(self, stem: str, suffix: str, data: bytes, taken: Collection[Path]) -> Path:
        """The file that holds `data`: one that is there already and not `taken`, or a new one."""
        try:
            found = self._found(stem + suffix)
            for _, path in sorted(found.items()):
                if path not in taken and whole_file.holds(path, data):
                    return path
            first = max(found, default=0) + 1
            names = (self._folder / f"{stem}-{n:04}{suffix}" for n in itertools.count(first))
            path = whole_file.put(data, names, share=True)
        except OSError as error:
            why = error.strerror or error
            raise SafelightError(f"the outputs cannot be written to {self._folder}: {why}") from None
        found[int(path.name.removesuffix(suffix).rpartition("-")[2])] = path
        return path

    def _found(self, series: str) -> dict[int, Path]:
        if self._series is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._series = {}
            for path in self._folder.iterdir():
                if match := _NUMBERED.fullmatch(path.name):
                    self._series.setdefault(match[1] + match[3], {})[int(match[2])] = path
        return self._series.setdefault(series, {})
