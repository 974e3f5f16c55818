"""The catalogue of loaded embeddings: finds their triggers in a prompt, and returns their vectors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from nodes.sd.embeddings.names import folded, inside_word, mark_of, pieces, triggers_of
from nodes.sd.formats.embedding import ONLY, Term, Vectors
from nodes.sd.inspection.facts import Facts

if TYPE_CHECKING:
    from torch import Tensor

Read = Callable[[], Mapping[str, "Tensor"]]
"""Reads the tensors of a file, by name."""

_END = ""
"""The key, in a node of the tree, of the triggers that end there. No piece of text is empty."""


@dataclass(frozen=True)
class Source:
    """An embedding file, or an embedding that was made in the graph."""

    file: str
    """The path inside the embedding folder, with `/`, or the name of an embedding without a file."""
    facts: Facts
    read: Read
    digest: str
    folder: str = ""
    """The name of its embedding folder, unless that is the first one."""
    on_disk: bool = True
    """False for an embedding made in the graph, which has a name but no file."""

    @property
    def path(self) -> str:
        """The path from which the triggers are derived; empty for an embedding without a file."""
        return self.file if self.on_disk else ""


@dataclass
class CatalogueEntry:
    """One embedding of a catalogue."""

    id: str
    file: str
    digests: tuple[str, ...]
    vectors: dict[str, tuple[Source, Vectors]]
    """The source and the description of the vectors, by text encoder or under `ONLY`."""
    problem: str | None = None
    base: tuple[str | None, str | None] = (None, None)
    """The hash and the name of the model that it was trained on."""
    sources: set[int] = field(default_factory=set)
    """The numbers of its sources, counted from 0 in the order of the catalogue."""
    clashes: list[tuple[str, str]] = field(default_factory=list)
    """The triggers that another embedding has, too, each with the id of that embedding."""


class Catalogue:
    """The loaded embeddings by trigger, which is the text that invokes an embedding in a prompt.

    Args:
        sources: the embeddings. If several have the same trigger, the trigger invokes the earliest usable
            one.
        widths: the width of the vectors that each text encoder of the model reads, such as {"clip_l": 768}.
        model: the name and the digest of the model, to warn about embeddings of other models.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        widths: Mapping[str, int],
        model: tuple[str, str] | None = None,
    ) -> None:
        self._widths, self._model = widths, model
        self._entries: dict[str, CatalogueEntry] = {}
        self._tree: dict[str, Any] = {}
        self._owners: dict[str, str] = {}
        self._of_file: dict[str, list[CatalogueEntry]] = defaultdict(list)
        claims: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for number, source in enumerate(sources):
            for term in source.facts.terms or (Term(None, {}),):
                entry = self._add(source, term)
                entry.sources.add(number)
                alone = len(source.facts.terms) < 2
                # A file that is not an embedding has no bare triggers, only `<name>` and `embedding:name`.
                bare = source.facts.kind in ("embedding", "unknown")
                path = source.path
                for text, rank in triggers_of(path, term, alone=alone, folder=source.folder, bare=bare):
                    if (rank, entry.id) not in claims[text]:
                        claims[text].append((rank, entry.id))
        for text, claimed in claims.items():
            claimed.sort(key=lambda claim: claim[0])  # stable: within a rank, the earlier file stays first
            self._assign(text, [self._entries[id] for _, id in claimed])

    def match(self, text: str, at: int) -> tuple[str, int] | None:
        r"""Find the longest trigger at a position; return the embedding's id and the trigger's length.

        Case is ignored, unless two triggers differ only in case; `/` and `\` are equal. Returns None if no
        trigger begins there, or if the position is inside a word.
        """
        if inside_word(text, at):
            return None
        place, found = self._tree, None
        for piece, end in pieces(text, at):
            if piece not in place:
                break
            place = place[piece]
            if _END in place:
                found = place[_END], end
        if found is None:
            return None
        spellings, end = found
        written = text[at:end].replace("\\", "/")
        return spellings.get(written, next(iter(spellings.values()))), end - at

    def vectors(self, trigger: str, encoder: str) -> Tensor:
        """Read the vectors of an embedding for a text encoder, float32 [n, width].

        Args:
            trigger: the id that `match` returned.
            encoder: the name of the text encoder, such as `clip_l`.

        Raises:
            ValueError: the embedding has no vectors for that encoder, or its file cannot be used. The message
                names the file.
        """
        import torch

        source, vectors = self._vectors(trigger, encoder)
        tensors = source.read()
        rows = [tensors[name].to(torch.float32).reshape(-1, vectors.width) for name in vectors.tensors]
        return torch.cat(rows)

    def count(self, trigger: str, encoder: str) -> int:
        """Return the number of vectors of an embedding for a text encoder.

        Raises:
            ValueError: as `vectors`.
        """
        return self._vectors(trigger, encoder)[1].count

    def _vectors(self, trigger: str, encoder: str) -> tuple[Source, Vectors]:
        entry = self._entries[trigger]
        if entry.problem is not None:
            raise ValueError(f"the embedding {entry.file} cannot be used: it {entry.problem}")
        wanted = self._widths.get(encoder)
        found = entry.vectors.get(encoder)
        if found is None:
            found = entry.vectors.get(ONLY)
            only_fits_another = found is not None and found[1].width != wanted
            if found is None or (only_fits_another and found[1].width in self._widths.values()):
                raise ValueError(f"the embedding {entry.file} has no vectors for {encoder}")
        source, vectors = found
        if vectors.width != wanted:
            family = f" ({source.facts.base})" if source.facts.base else ""
            raise ValueError(
                f"the embedding {entry.file} has vectors of width {vectors.width}{family}; "
                f"this model's text encoder ({encoder}) needs {wanted}"
            )
        return source, vectors

    def names(self) -> Sequence[str]:
        """List all triggers."""
        return list(self._owners)

    def triggers_by_source(self) -> dict[int, list[str]]:
        """List the triggers of each source, by the source's number."""
        triggers: dict[int, list[str]] = defaultdict(list)
        for text, id in self._owners.items():
            for number in self._entries[id].sources:
                triggers[number].append(text)
        return triggers

    def sources_of(self, trigger: str, written: str) -> set[int]:
        """Return the numbers of all sources that have a trigger.

        Args:
            trigger: the id that `match` returned.
            written: the trigger as written in the prompt; other embeddings with it are included.
        """
        entry = self._entries[trigger]
        others = [other for name, other in entry.clashes if folded(name) == folded(written)]
        return entry.sources.union(*(self._entries[other].sources for other in others))

    def sources_named(self, text: str) -> set[int]:
        """Return the numbers of the sources of the embedding that a trigger from `names` invokes."""
        return self._entries[self._owners[text]].sources

    def digests(self, trigger: str) -> tuple[str, ...]:
        """Return the sha256 of each file of an embedding, given the id that `match` returned."""
        return self._entries[trigger].digests

    def file(self, trigger: str) -> str:
        """Return the path of an embedding in its folder, given the id that `match` returned."""
        return self._entries[trigger].file

    def warnings(self, trigger: str, written: str) -> list[str]:
        """Return warnings about an embedding: others have the same trigger, or it is for another model.

        Args:
            trigger: the id that `match` returned.
            written: the trigger as written in the prompt.
        """
        entry = self._entries[trigger]
        messages = []
        for name, other in entry.clashes:
            if folded(name) != folded(written):
                continue
            way = self._trigger_like(written, other)
            rest = f"; write {way!r} for that one" if way else " and has no other trigger; rename it"
            messages.append(
                f"{name!r} means {entry.file}. {self._entries[other].file} has the same trigger{rest}"
            )
        base_hash, base_name = entry.base
        if self._model and (base_hash or base_name) and entry.problem is None:
            name, digest = self._model
            same = base_name == name or (base_hash and digest.startswith(base_hash.lower()))
            if not same:
                base = f"{base_name or 'an unnamed model'}{f' [{base_hash}]' if base_hash else ''}"
                messages.append(f"the embedding {entry.file} was trained on {base} and is used with {name}")
        return messages

    def _trigger_like(self, written: str, id: str) -> str | None:
        """Return a trigger of an embedding, if possible in the form of `written`; None if it has none.

        The forms are a bare name, `<…>` and `embedding:…`.
        """
        triggers = [text for text, owner in self._owners.items() if owner == id]
        return next(
            (text for text in triggers if mark_of(text) == mark_of(written)), next(iter(triggers), None)
        )

    def _add(self, source: Source, term: Term) -> CatalogueEntry:
        facts = source.facts
        problem = facts.message
        if problem is None and not term.vectors:
            problem = f"holds a {facts.kind}, not an embedding"
        vectors = {encoder: (source, found) for encoder, found in term.vectors.items()}
        twin = self._first_half(source, term)
        if twin is not None:
            width = next(iter(term.vectors.values())).width
            twin.vectors["clip_g" if width == 1280 else "clip_l"] = vectors[ONLY]
            if ONLY in twin.vectors:
                twin.vectors["clip_l" if width == 1280 else "clip_g"] = twin.vectors.pop(ONLY)
            twin.digests += (source.digest,)
            return twin
        id = source.file if len(facts.terms) < 2 else f"{source.file}: {term.name}"
        while id in self._entries:
            id += "'"
        entry = CatalogueEntry(
            id, source.file, (source.digest,), vectors, problem, (facts.base_hash, facts.base_name)
        )
        self._entries[id] = entry
        self._of_file[source.file].append(entry)
        return entry

    def _first_half(self, source: Source, term: Term) -> CatalogueEntry | None:
        """Return the entry of the file `x` for a file `x_2`; None if it is not such a pair.

        diffusers writes such pairs of files for SDXL's two text encoders.
        """
        path = PurePosixPath(source.file)
        if not path.stem.endswith("_2") or source.facts.format != "diffusers":
            return None
        other = str(path.with_stem(path.stem.removesuffix("_2")))
        for entry in self._of_file[other]:
            if ONLY in entry.vectors:
                first, vectors = entry.vectors[ONLY]
                pair = {vectors.width, term.vectors[ONLY].width}
                if pair == {768, 1280} and term.name in {known.name for known in first.facts.terms}:
                    return entry
        return None

    def _assign(self, text: str, claimants: list[CatalogueEntry]) -> None:
        """Assign a trigger to the first usable embedding of several, and record the others as clashes."""
        first = next((entry for entry in claimants if entry.problem is None), claimants[0])
        for other in claimants:
            clash = (text, other.id)
            if other is not first and other.digests != first.digests and clash not in first.clashes:
                first.clashes.append(clash)
        place = self._tree
        for piece, _ in pieces(text):
            place = place.setdefault(piece, {})
        place.setdefault(_END, {}).setdefault(text, first.id)
        self._owners[text] = first.id
