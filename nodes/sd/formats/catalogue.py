"""The embeddings at hand for one prompt: which begins where in a text, and its vectors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from nodes.sd.formats.embedding import ONLY, Term, Vectors
from nodes.sd.formats.facts import Facts
from nodes.sd.formats.triggers import inside_word, pieces, triggers_of

if TYPE_CHECKING:
    from torch import Tensor

Read = Callable[[], Mapping[str, "Tensor"]]
"""Reads the tensors of a file."""

_END = ""
"""Under this key a place in the tree of pieces holds those triggers that end there; no piece is empty."""


@dataclass(frozen=True)
class Source:
    """A file of embeddings, or vectors that were made in this graph."""

    file: str
    """The way to it from its folder, with `/`; what messages call it."""
    facts: Facts
    read: Read
    digest: str
    folder: str = ""
    """The name of its folder of embeddings, if that is not the first."""
    on_disk: bool = True
    """False for vectors of this graph, which have a name and no file."""

    @property
    def path(self) -> str:
        """The file to name it by; none if it has a name alone."""
        return self.file if self.on_disk else ""


@dataclass
class Held:
    """One embedding of the catalogue."""

    id: str
    file: str
    digests: tuple[str, ...]
    vectors: dict[str, tuple[Source, Vectors]]
    """By text encoder, or `ONLY`."""
    problem: str | None = None
    base: tuple[str | None, str | None] = (None, None)
    """The hash and the name of the model that it was trained on."""
    sources: set[int] = field(default_factory=set)
    """Which of the sources it came from, by number."""
    clashes: list[tuple[str, str]] = field(default_factory=list)
    """Names that this one has and others claim: the name, and the id of the other."""


class Catalogue:
    """Embeddings by everything that a person may type to mean them.

    Args:
        sources: the files, those first that have the better right to a name that two claim.
        widths: how wide the vectors are that each text encoder of the model reads, such as {"clip_l": 768}.
        model: the name of the model, and the first digits of its digest, to compare with what they were
            trained on.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        widths: Mapping[str, int],
        model: tuple[str, str] | None = None,
    ) -> None:
        self._widths, self._model = widths, model
        self._held: dict[str, Held] = {}
        self._tree: dict[str, Any] = {}
        self._owners: dict[str, str] = {}
        self._of_file: dict[str, list[Held]] = defaultdict(list)
        claims: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for number, source in enumerate(sources):
            for term in source.facts.terms or (Term(None, {}),):
                held = self._hold(source, term)
                held.sources.add(number)
                alone = len(source.facts.terms) < 2
                # What is no embedding at all is named by those who mean it, not by a word that looks like it.
                bare = source.facts.kind in ("embedding", "unknown")
                path = source.path
                for text, rank in triggers_of(path, term, alone=alone, folder=source.folder, bare=bare):
                    if (rank, held.id) not in claims[text]:
                        claims[text].append((rank, held.id))
        for text, claimed in claims.items():
            claimed.sort(key=lambda claim: claim[0])  # stable: the earlier file stays ahead within a rank
            self._settle(text, [self._held[id] for _, id in claimed])

    def match(self, text: str, at: int) -> tuple[str, int] | None:
        """The longest trigger that begins at a place of a text: its id, and how many characters it takes.

        Upper and lower case are the same, unless two triggers differ in nothing else. None where none begins,
        inside a word, and where only the beginning of a word would match.
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
        spelled, end = found
        return spelled.get(text[at:end], next(iter(spelled.values()))), end - at

    def vectors(self, trigger: str, encoder: str) -> Tensor:
        """The vectors of a trigger for a text encoder, float32 [n, width].

        Raises:
            ValueError: it has none for that encoder, or its file cannot be used; the message names the file,
                and the width that was found and wanted.
        """
        import torch

        held = self._held[trigger]
        if held.problem is not None:
            raise ValueError(f"the embedding {held.file} cannot be used: it {held.problem}")
        wanted = self._widths.get(encoder)
        found = held.vectors.get(encoder)
        if found is None:
            found = held.vectors.get(ONLY)
            only_fits_another = found is not None and found[1].width != wanted
            if found is None or (only_fits_another and found[1].width in self._widths.values()):
                raise ValueError(f"the embedding {held.file} has no vectors for {encoder}")
        source, vectors = found
        if vectors.width != wanted:
            family = f", which is {source.facts.base}'s" if source.facts.base else ""
            raise ValueError(
                f"the embedding {held.file} has vectors of width {vectors.width}{family}; "
                f"this model's text encoder ({encoder}) reads {wanted}"
            )
        tensors = source.read()
        read = [tensors[name].to(torch.float32).reshape(-1, vectors.width) for name in vectors.tensors]
        return torch.cat(read)

    def names(self) -> Sequence[str]:
        """Everything that may be typed."""
        return list(self._owners)

    def triggers(self) -> dict[int, list[str]]:
        """What may be typed to mean what came from each of the sources, by its number."""
        found: dict[int, list[str]] = defaultdict(list)
        for text, id in self._owners.items():
            for number in self._held[id].sources:
                found[number].append(text)
        return found

    def meant(self, trigger: str, written: str) -> set[int]:
        """The numbers of the sources that a trigger stands for, or that claim what was written as well."""
        held = self._held[trigger]
        others = [other for name, other in held.clashes if name.casefold() == written.casefold()]
        return held.sources.union(*(self._held[other].sources for other in others))

    def digests(self, trigger: str) -> tuple[str, ...]:
        """The digests of the bytes that a trigger stands for."""
        return self._held[trigger].digests

    def file(self, trigger: str) -> str:
        """What the file of a trigger is called."""
        return self._held[trigger].file

    def remarks(self, trigger: str, written: str | None = None) -> list[str]:
        """What a person should know who uses a trigger: who else claims its name, what it was trained on.

        Args:
            trigger: its id.
            written: how it was written; without it, all of its names are spoken of.
        """
        held = self._held[trigger]
        remarks = []
        for name, other in held.clashes:
            if written is not None and name.casefold() != written.casefold():
                continue
            way = next((text for text, id in self._owners.items() if id == other), None)
            rest = f"; write {way!r} for the other" if way else ", and the other cannot be reached: rename it"
            remarks.append(f"{name!r} is {held.file}, and {self._held[other].file} claims it too{rest}")
        base_hash, base_name = held.base
        if self._model and (base_hash or base_name) and held.problem is None:
            name, digest = self._model
            same = base_name == name or (base_hash and digest.startswith(base_hash.lower()))
            if not same:
                base = f"{base_name or 'an unnamed model'}{f' [{base_hash}]' if base_hash else ''}"
                remarks.append(f"the embedding {held.file} was trained on {base} and is used with {name}")
        return remarks

    def _hold(self, source: Source, term: Term) -> Held:
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
        while id in self._held:
            id += "'"
        held = Held(id, source.file, (source.digest,), vectors, problem, (facts.base_hash, facts.base_name))
        self._held[id] = held
        self._of_file[source.file].append(held)
        return held

    def _first_half(self, source: Source, term: Term) -> Held | None:
        """The other file of a pair that diffusers writes for SDXL's two encoders: `x` and `x_2`, one key."""
        path = PurePosixPath(source.file)
        if not path.stem.endswith("_2") or source.facts.format != "diffusers":
            return None
        other = str(path.with_stem(path.stem.removesuffix("_2")))
        for held in self._of_file[other]:
            if ONLY in held.vectors:
                first, vectors = held.vectors[ONLY]
                pair = {vectors.width, term.vectors[ONLY].width}
                if pair == {768, 1280} and term.name in {known.name for known in first.facts.terms}:
                    return held
        return None

    def _settle(self, text: str, claimants: list[Held]) -> None:
        """Give a trigger to the first of those that claim it, and tell the others."""
        first = next((held for held in claimants if held.problem is None), claimants[0])
        for other in claimants:
            known = [id for _, id in first.clashes]
            if other is not first and other.digests != first.digests and other.id not in known:
                first.clashes.append((text, other.id))
        place = self._tree
        for piece, _ in pieces(text):
            place = place.setdefault(piece, {})
        place.setdefault(_END, {}).setdefault(text, first.id)
        self._owners[text] = first.id
