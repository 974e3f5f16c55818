"""Lists and converts model files, for `safelight models` and `safelight convert`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from engine.errors import NodeError
from engine.files import Files
from engine.packs.model_files import Conversion, ModelFile
from nodes.files import embedding_files
from nodes.files.beside_models import PICTURES, Beside, Note, picture_bytes
from nodes.files.checkpoints import EMBEDDED, checkpoint
from nodes.files.checkpoints import KIND as CHECKPOINTS
from nodes.files.controlnet_files import CONFIG, CONTROLNETS, WEIGHTS
from nodes.files.file_kinds import NOUNS
from nodes.files.known_files import facts
from nodes.files.patch_files import HYPERNETWORKS, LORAS
from nodes.files.upscaler_files import UPSCALERS
from nodes.sd.embeddings.catalogue import Catalogue, Source
from nodes.sd.embeddings.names import triggers_of
from nodes.sd.families.known import family_named
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.scan import Seen, scan
from nodes.sd.inspection.facts import Facts

FOLDERS = {
    embedding_files.KIND: ("embedding",),
    LORAS: ("lora",),
    CHECKPOINTS: ("checkpoint", "unet"),
    "unet": ("unet",),
    "text_encoders": ("text_encoder",),
    "vae": ("vae",),
    HYPERNETWORKS: ("hypernetwork",),
    CONTROLNETS: ("controlnet",),
    UPSCALERS: ("upscaler",),
}
"""The model folders, and the kinds of files in them. A file of unknown kind is assumed to be the first."""

_TAGS = {"lora": "lora", "hypernetwork": "hypernet"}


def listed(files: Files, kind: str | None = None, model: str | None = None) -> Iterator[ModelFile]:
    """Yield every model file, including the embedded model; a file that cannot be used has a `problem`.

    Args:
        files: the folders, and the digests of the files in them.
        kind: the kind of file, such as `lora`: the first kind of one of `FOLDERS`; None for all.
        model: the name of a model; embeddings that do not fit its text encoder have a problem. None for none.

    Raises:
        NodeError: there is no such kind or no such model.
    """
    kinds = [own[0] for own in FOLDERS.values()]
    if kind is not None and kind not in kinds:
        hint = f"choose one of {', '.join(kinds)}"
        raise NodeError(f"{kind!r} is not a kind of model file", hint=hint, code="unknown_kind")
    widths = None if model is None else {width for _, width in checkpoint(files, model).text_widths}
    for folder, own in FOLDERS.items():
        if folder == CHECKPOINTS and kind in (None, "checkpoint"):
            yield _checkpoint(files, EMBEDDED)
        for row in _folder(files, folder, own, widths):
            if kind in (None, own[0], row.kind):
                yield row


def picture(path: Path) -> bytes | None:
    """Read the picture of a model from the path in `ModelFile.picture`; None if it cannot be read."""
    return picture_bytes(path)


def converted(path: Path) -> Conversion:
    """Convert a file of tensors to safetensors; see `nodes.sd.inspection.convert`.

    Raises:
        NodeError: the file cannot be read, or its content cannot be stored as safetensors.
    """
    from nodes.sd.inspection.convert import convert

    try:
        return Conversion(*convert(path))
    except BadFileError as error:
        raise NodeError(str(error), code=error.code) from None


def _folder(files: Files, kind: str, own: tuple[str, ...], wanted: set[int] | None) -> Iterator[ModelFile]:
    rows: list[tuple[Seen, int, str | None, str | None]] = []
    roots = list(files.folders(kind))
    for number, folder in enumerate(roots):
        for found in scan(Path(folder), pictures=kind == embedding_files.KIND):
            item = _by_its_folder(found) if kind == CONTROLNETS else found
            digest = problem = None
            if item.problem is None and not item.model_folder:
                try:
                    digest = files.digest(item.path)
                except NodeError as error:
                    problem = str(error)
            rows.append((item, number, digest, problem))
    known = facts(files, [(item.path, digest) for item, _, digest, _ in rows if digest is not None])
    triggers: dict[int, list[str]] = {}
    if kind == embedding_files.KIND:
        sources = (
            Source(item.name, known[digest], dict, digest, Path(roots[root]).name if root else "")
            if digest is not None
            else Source(item.name, Facts("folder"), dict, "")
            for item, root, digest, _ in rows
        )
        triggers = Catalogue(sources, {}).triggers_by_source()
    stems = Counter(item.path.stem for item, _, _, _ in rows)
    beside = [Beside(Path(root)) for root in roots]
    for number, (item, root, digest, unreadable) in enumerate(rows):
        if item.model_folder:
            yield _checkpoint(files, item.name)
        elif digest is None:
            code, message = item.problem or ("unreadable", unreadable or "")
            yield ModelFile(item.name, own[0], problem=_problem(code, message))
        elif known[digest].kind != "picture" or item.path.suffix.lower() not in PICTURES:
            its = known[digest]
            note = beside[root].note(item.path) if its.kind == "lora" else Note()
            words = dict.fromkeys([*triggers.get(number, []), *its.words, *note.words])
            row = _row(item, digest, its, own, list(words), wanted)
            row = replace(row, default_weight=note.weight, picture=_picture(item.path, its, beside[root]))
            yield row if row.problem is not None else replace(row, tag=_tag(row, stems))


def _picture(path: Path, its: Facts, beside: Beside) -> str | None:
    """Return the path of the file with a model's picture: one beside the model, or the model file itself.

    None if the model has no picture.
    """
    if (found := beside.picture(path)) is not None:
        return str(found)
    return str(path) if its.has_picture or path.suffix.lower() in PICTURES else None


def _by_its_folder(item: Seen) -> Seen:
    """If a file has the weights of a diffusers ControlNet folder, give it the name of the folder."""
    folder = item.name.rpartition("/")[0]
    is_one = folder and item.path.name in WEIGHTS and (item.path.parent / CONFIG).is_file()
    return item._replace(name=folder) if is_one else item


def _row(
    item: Seen, digest: str, its: Facts, own: tuple[str, ...], triggers: list[str], wanted: set[int] | None
) -> ModelFile:
    widths = sorted({vectors.width for term in its.terms for vectors in term.vectors.values()})
    problem = _problem(its.code, its.message)
    if problem is None and its.kind == "picture":
        problem = _problem("not_a_model", "is a picture, although its name is that of a model file")
    elif problem is None and its.kind not in own:
        message = (
            f"is {NOUNS[its.kind]}, but this folder is for another kind of file; move it to the right folder"
        )
        problem = _problem("wrong_folder", message)
    elif problem is None and widths and wanted is not None and not wanted & set(widths):
        found, needed = (" and ".join(map(str, some)) for some in (widths, sorted(wanted)))
        problem = _problem("wrong_width", f"has vectors of width {found}; the model needs {needed}")
    elif problem is None and its.kind == "embedding":
        plainest = triggers_of(item.name, its.terms[0], alone=len(its.terms) == 1)[0].text
        if plainest not in triggers:
            way = f"write {triggers[0]!r}" if triggers else "rename it"
            problem = _problem("name_taken", f"has the name {plainest!r}, like another file; {way}")
    try:
        size = item.path.stat().st_size
    except OSError:
        size = None
    return ModelFile(
        item.name,
        own[0] if its.kind in ("unknown", "picture") else its.kind,
        its.format or None,
        tuple(triggers) if its.kind in ("embedding", "lora") else (),
        sum(term.count for term in its.terms) or None,
        (widths[0] if len(widths) == 1 else tuple(widths)) if widths else None,
        its.base or its.base_name,
        size,
        digest,
        problem,
    )


def _checkpoint(files: Files, name: str) -> ModelFile:
    """Describe the embedded model, or a folder in the diffusers layout, as one model."""
    try:
        found = checkpoint(files, name)
        model = found.files(files)
        size = sum((model.path / file).stat().st_size for file in model.files)
    except NodeError as error:
        return ModelFile(name, "checkpoint", "diffusers", problem=_problem(error.code, str(error)))
    except OSError as error:
        return ModelFile(name, "checkpoint", "diffusers", problem=_problem("unreadable", str(error)))
    return ModelFile(
        name,
        "checkpoint",
        "diffusers",
        width=_shown_width(found.text_widths),
        base=family_named(found.family).title,
        bytes=size,
        sha256=found.digest,
    )


def _shown_width(widths: Iterable[tuple[str, int]]) -> int | tuple[int, ...]:
    """Return the widths of a model's text encoders; a single number if there is only one."""
    numbers = tuple(width for _, width in widths)
    return numbers[0] if len(numbers) == 1 else numbers


def _tag(row: ModelFile, stems: Mapping[str, int]) -> str | None:
    """Return the prompt tag that applies a file, such as `<lora:ink:1>`.

    None for kinds without tags, and for names that cannot be written in a tag.
    """
    word = _TAGS.get(row.kind)
    path = PurePosixPath(row.file)
    name = path.stem if stems[path.stem] == 1 else row.file
    weight = 1 if row.default_weight is None else row.default_weight
    return f"<{word}:{name}:{weight:g}>" if word is not None and not set("<>:") & set(name) else None


def _problem(code: str | None, message: str | None) -> dict[str, str] | None:
    return None if code is None else {"code": code, "message": message or ""}
