"""CheckDataset: finds damaged, duplicate and small pictures, and missing captions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Advanced, Range
from nodes.picture_sets.contact_sheet import Cell, Tone, draw_sheet
from nodes.picture_sets.dataset import DatasetFile, DatasetPicture, LeftOut
from nodes.picture_sets.looks import NEAR_BITS, Looks, alike, looks_of
from nodes.values import Dataset, Image

Action = Literal["exclude", "report", "ignore"]


_NOUNS = {
    "unreadable": ("unreadable", "unreadable"),
    "unreadable_mask": ("unreadable mask", "unreadable masks"),
    "small": ("small", "small"),
    "no_caption": ("without caption", "without captions"),
    "duplicate": ("duplicate", "duplicates"),
    "near_duplicate": ("near duplicate", "near duplicates"),
    "mirrored_copy": ("mirrored copy", "mirrored copies"),
}
"""The kinds of problems in words, in the singular and the plural."""


class CheckedDataset(NamedTuple):
    """The outputs of CheckDataset: the pictures that are kept, those that are excluded, and the problems."""

    dataset: Dataset
    excluded: Dataset
    """The pictures that are excluded; their files stay."""
    sheet: Image
    """A contact sheet with the problems: excluded pictures are red, kept ones with a problem yellow."""
    report: dict[str, Any]
    """`pictures`, `kept`, `problems` (their number by kind), and `files`: a row with `file`, `width`,
    `height`, `kept` and `problems` for each file with a problem."""


class Problem(NamedTuple):
    """A problem of a picture: its kind, the text on the sheet, and whether it excludes the picture."""

    kind: str
    text: str
    excludes: bool


class CheckDataset(Node, category="dataset", libraries=("numpy", "pillow")):
    """Find damaged, duplicate and small pictures and missing captions, and exclude pictures from a dataset.

    No file is deleted. Of several duplicates, the largest picture is kept. Connect it to LoadDataset: it
    looks at the files, without the edits of Preprocess. All pictures that Preprocess made of one file are
    kept or excluded together.
    """

    dataset: Dataset
    duplicates: Action = "exclude"
    """Pictures with the same pixels as another."""
    near_duplicates: Action = "exclude"
    """Pictures that look like another, such as a smaller or more compressed copy."""
    mirrored_copies: Action = "report"
    """Pictures that look like another one mirrored."""
    small_pictures: Action = "report"
    """Pictures whose short side is below `smallest_side`."""
    smallest_side: Annotated[int, Range(1, 8192)] = 512
    """The least length of the short side in pixels; usually the size to train at."""
    missing_captions: Action = "report"
    """Pictures without a caption."""
    near_bits: Annotated[int, Range(0, 16), Advanced] = NEAR_BITS
    """How many of 64 bits the hashes (dHash) of near duplicates may differ in. More find pictures that are
    cropped or changed more, and take more different pictures for duplicates."""
    most_shown: Annotated[int, Range(1, 500), Advanced] = 60
    """The most pictures on the sheet; those with problems come first."""

    def run(self, ctx: Context) -> CheckedDataset:
        files: dict[DatasetFile, DatasetPicture] = {}
        for picture in self.dataset.pictures:
            files.setdefault(picture.file, picture)
        masks = [picture.mask for picture in self.dataset.pictures if picture.mask is not None]
        looks = looks_of(ctx, self.dataset, [*files, *masks])
        problems: dict[DatasetFile, list[Problem]] = {file: [] for file in files}
        for file, picture in files.items():
            problems[file] += self._own_problems(picture, looks)
        for file, problem in self._duplicates(ctx, files, looks):
            problems[file].append(problem)
        kept: list[DatasetPicture] = []
        excluded: list[DatasetPicture] = []
        for picture in self.dataset.pictures:
            found = problems[picture.file]
            flags = dict.fromkeys((*picture.flags, *(problem.kind for problem in found)))
            chosen = excluded if any(problem.excludes for problem in found) else kept
            chosen.append(replace(picture, flags=tuple(flags)))
        if not kept:
            ctx.warn("all pictures of the dataset are excluded")
        report = self._report(problems, looks, len(kept))
        sheet = self._sheet(ctx, files, problems, looks, report)
        return CheckedDataset(
            Dataset(tuple(kept), self.dataset.left_out), Dataset(tuple(excluded)), sheet, report
        )

    def _own_problems(
        self, picture: DatasetPicture, looks: dict[str, Looks | NodeError]
    ) -> Iterator[Problem]:
        """Find the problems of a picture that can be seen without comparing it with others."""
        own = looks[picture.file.digest]
        if isinstance(own, NodeError):
            yield Problem("unreadable", own.message, True)
            return
        if picture.mask is not None and isinstance(error := looks[picture.mask.digest], NodeError):
            yield Problem("unreadable_mask", error.message, True)
        if self.small_pictures != "ignore" and min(own.width, own.height) < self.smallest_side:
            text = f"small: {own.width} x {own.height}"
            yield Problem("small", text, self.small_pictures == "exclude")
        if self.missing_captions != "ignore" and not picture.caption.strip():
            yield Problem("no_caption", "no caption", self.missing_captions == "exclude")

    def _duplicates(
        self, ctx: Context, files: dict[DatasetFile, DatasetPicture], looks: dict[str, Looks | NodeError]
    ) -> Iterator[tuple[DatasetFile, Problem]]:
        """Find the files that are duplicates, near duplicates or mirrored copies of another file.

        Of a group of duplicates, the largest file has no problem; of equally large ones, one with a caption.
        """
        readable = [(file, own) for file in files if not isinstance(own := looks[file.digest], NodeError)]
        readable.sort(key=lambda pair: (-pair[1].width * pair[1].height, not files[pair[0]].caption))
        by_pixels: dict[str, DatasetFile] = {}
        similar = defaultdict(list)
        for pair in alike([own for _, own in readable], self.near_bits):
            similar[pair.second].append(pair)
        originals: set[int] = set()
        for place, (file, own) in enumerate(readable):
            ctx.cancelled()
            if self.duplicates != "ignore" and (twin := by_pixels.get(own.pixels)) is not None:
                exclude = self.duplicates == "exclude"
                yield file, Problem("duplicate", f"the same as {twin.name}", exclude)
                continue
            by_pixels.setdefault(own.pixels, file)
            pairs = [pair for pair in similar[place] if pair.first in originals]
            problem = self._near([(pair.mirrored, readable[pair.first][0]) for pair in pairs])
            if problem is not None:
                yield file, problem
            if problem is None or not problem.excludes:
                originals.add(place)

    def _near(self, twins: Sequence[tuple[bool, DatasetFile]]) -> Problem | None:
        """Return the problem of a picture, given the files that it resembles; None if that is no problem.

        Args:
            twins: the files, each after True if the picture resembles it only when mirrored.
        """
        for mirrored, kind, text, action in (
            (False, "near_duplicate", "nearly the same as", self.near_duplicates),
            (True, "mirrored_copy", "mirrored:", self.mirrored_copies),
        ):
            names = [file.name for is_mirrored, file in twins if is_mirrored is mirrored]
            if action != "ignore" and names:
                return Problem(kind, f"{text} {names[0]}", action == "exclude")
        return None

    def _report(
        self, problems: dict[DatasetFile, list[Problem]], looks: dict[str, Looks | NodeError], kept: int
    ) -> dict[str, Any]:
        rows: list[dict[str, Any]] = []
        for file, found in problems.items():
            own = looks[file.digest]
            if found:
                rows.append(
                    {
                        "file": file.name,
                        "width": None if isinstance(own, NodeError) else own.width,
                        "height": None if isinstance(own, NodeError) else own.height,
                        "kept": not any(problem.excludes for problem in found),
                        "problems": [{"kind": kind, "text": text} for kind, text, _ in found],
                    }
                )
        rows += [
            {
                "file": file.name,
                "width": None,
                "height": None,
                "kept": False,
                "problems": [{"kind": "unreadable", "text": file.reason}],
            }
            for file in self.dataset.left_out
        ]
        kinds = Counter(problem["kind"] for row in rows for problem in row["problems"])
        pictures = len(self.dataset) + len(self.dataset.left_out)
        return {"pictures": pictures, "kept": kept, "problems": dict(kinds), "files": rows}

    def _sheet(
        self,
        ctx: Context,
        files: dict[DatasetFile, DatasetPicture],
        problems: dict[DatasetFile, list[Problem]],
        looks: dict[str, Looks | NodeError],
        report: dict[str, Any],
    ) -> Image:
        """Draw the sheet: files that are left out, excluded pictures, kept ones with problems, others."""
        order = sorted(files, key=lambda file: _rank(problems[file]))
        cells = [_left_out(file) for file in self.dataset.left_out]
        for file in order[: max(0, self.most_shown - len(cells))]:
            ctx.cancelled()
            found, own = problems[file], looks[file.digest]
            tones: tuple[Tone, ...] = ("excluded", "noted", "plain")
            plain = replace(files[file], edits=())
            pixels = None if isinstance(own, NodeError) else self.dataset.open(ctx.files, plain)
            size = [] if isinstance(own, NodeError) else [f"{own.width} x {own.height}"]
            lines = [problem.text for problem in found] or [*size, files[file].caption]
            cells.append(Cell(pixels, file.name, lines, tones[_rank(found)]))
        excluded = report["pictures"] - report["kept"]
        title = f"{report['pictures']} pictures: {report['kept']} kept, {excluded} excluded"
        note = ", ".join(_counted(kind, count) for kind, count in report["problems"].items())
        hidden = len(order) + len(self.dataset.left_out) - len(cells)
        if hidden > 0:
            note += f"{', ' if note else ''}{hidden} more pictures are not shown"
        image = Image.adopt(draw_sheet(title, note or "no problems", cells[: self.most_shown]))
        assert image is not None
        return image


def _counted(kind: str, count: int) -> str:
    """Write the number of problems of a kind, such as `2 near duplicates`."""
    one, many = _NOUNS[kind]
    return f"{count} {one if count == 1 else many}"


def _rank(problems: list[Problem]) -> int:
    """Return 0 for an excluded picture, 1 for a kept one with problems, 2 for one without problems."""
    return 0 if any(problem.excludes for problem in problems) else 1 if problems else 2


def _left_out(file: LeftOut) -> Cell:
    return Cell(None, file.name, [file.reason], "excluded")
