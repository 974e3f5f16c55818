"""The files of models in the home: what each is, what is wrong with it; and any of them as safetensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.errors import NodeError
from engine.files import Files
from engine.model_files import Conversion, ModelFile
from nodes import embedding_files
from nodes.checkpoints import KIND as CHECKPOINTS
from nodes.checkpoints import checkpoint
from nodes.known_files import facts
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.catalogue import Catalogue, Source
from nodes.sd.formats.facts import Facts
from nodes.sd.formats.scan import Seen, scan
from nodes.sd.formats.triggers import triggers_of
from nodes.sd.hypernetwork_patch import KIND as HYPERNETWORKS
from nodes.sd.lora.patch import KIND as LORAS

FOLDERS = {
    embedding_files.KIND: ("embedding",),
    LORAS: ("lora",),
    CHECKPOINTS: ("checkpoint", "unet"),
    "vae": ("vae",),
    HYPERNETWORKS: ("hypernetwork",),
}
"""The folders of models, and the kinds of files that belong into each; the first is what one is called."""

_FAMILIES = {"sd1": "SD 1"}


def listed(files: Files, kind: str | None = None, model: str | None = None) -> Iterator[ModelFile]:
    """Every file in the folders of models; whatever is wrong with one is told of it, and stops nothing.

    Args:
        files: the folders, and the digests of what lies in them.
        kind: `embedding`, `lora`, `checkpoint`, `vae` or `hypernetwork`; None for all.
        model: a model whose text encoder the embeddings' widths are compared with.

    Raises:
        NodeError: there is no such kind or no such model.
    """
    kinds = [owns[0] for owns in FOLDERS.values()]
    if kind is not None and kind not in kinds:
        hint = f"choose one of {', '.join(kinds)}"
        raise NodeError(f"there is no kind {kind!r}", hint=hint, code="unknown_kind")
    wanted = None if model is None else checkpoint(files, model).text_width
    for folder, owns in FOLDERS.items():
        for row in _folder(files, folder, owns, wanted):
            if kind in (None, owns[0], row.kind):
                yield row


def converted(path: Path) -> Conversion:
    """A file of tensors as safetensors; see `formats.convert`.

    Raises:
        NodeError: it cannot be read, or safetensors cannot say what it holds.
    """
    from nodes.sd.formats.convert import convert

    try:
        return Conversion(*convert(path))
    except BadFileError as error:
        raise NodeError(str(error), code=error.code) from None


def _folder(files: Files, kind: str, owns: tuple[str, ...], wanted: int | None) -> Iterator[ModelFile]:
    rows: list[tuple[Seen, int, str | None, str | None]] = []
    roots = list(files.folders(kind))
    for number, root in enumerate(roots):
        for item in scan(Path(root), pictures=kind == embedding_files.KIND):
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
        triggers = Catalogue(sources, {}).triggers()
    for number, (item, _, digest, unread) in enumerate(rows):
        if item.model_folder:
            yield _model_folder(files, item)
        elif digest is None:
            code, message = item.problem or ("unreadable", unread or "")
            yield ModelFile(item.name, owns[0], problem=_problem(code, message))
        elif known[digest].kind != "picture":
            yield _row(item, digest, known[digest], owns, triggers.get(number, []), wanted)


def _row(
    item: Seen, digest: str, its: Facts, owns: tuple[str, ...], triggers: list[str], wanted: int | None
) -> ModelFile:
    widths = sorted({vectors.width for term in its.terms for vectors in term.vectors.values()})
    problem = _problem(its.code, its.message)
    if problem is None and its.kind not in owns:
        message = f"is a {its.kind.replace('_', ' ')} in the folder of another kind; move it to its own"
        problem = _problem("wrong_folder", message)
    elif problem is None and widths and wanted is not None and wanted not in widths:
        found = " and ".join(map(str, widths))
        problem = _problem("wrong_width", f"has vectors of width {found}; the model reads {wanted}")
    elif problem is None and its.kind == "embedding":
        plainest = triggers_of(item.name, its.terms[0], alone=len(its.terms) == 1)[0].text
        if plainest not in triggers:
            ways = f"write {triggers[0]!r}" if triggers else "rename it"
            problem = _problem("name_taken", f"has the name {plainest!r}, which another file has too; {ways}")
    try:
        size = item.path.stat().st_size
    except OSError:
        size = None
    return ModelFile(
        item.name,
        owns[0] if its.kind == "unknown" else its.kind,
        its.format or None,
        (*triggers, *its.words) if its.kind in ("embedding", "lora") else (),
        sum(term.count for term in its.terms) or None,
        (widths[0] if len(widths) == 1 else tuple(widths)) if widths else None,
        its.base or its.base_name,
        size,
        digest,
        problem,
    )


def _model_folder(files: Files, item: Seen) -> ModelFile:
    """A folder in the diffusers layout, which is one model."""
    try:
        found = checkpoint(files, item.name)
        size = sum(path.stat().st_size for path in item.path.rglob("*") if path.is_file())
    except NodeError as error:
        return ModelFile(item.name, "checkpoint", "diffusers", problem=_problem(error.code, str(error)))
    except OSError as error:
        return ModelFile(item.name, "checkpoint", "diffusers", problem=_problem("unreadable", str(error)))
    return ModelFile(
        item.name,
        "checkpoint",
        "diffusers",
        width=found.text_width,
        base=_FAMILIES.get(found.family, found.family),
        bytes=size,
        sha256=found.digest,
    )


def _problem(code: str | None, message: str | None) -> dict[str, str] | None:
    return None if code is None else {"code": code, "message": message or ""}
