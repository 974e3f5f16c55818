"""ApplyLoRA: applies LoRAs to a model and its text encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from engine.context import Context
from engine.errors import NodeError
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import Advanced, FileIn, Range, Widget
from engine.wrong_value import reason
from nodes.files.file_hashes import lora_hash
from nodes.files.lora_files import lora_base, lora_digest, resolve_lora
from nodes.files.patch_files import LORAS, Patch, PatchFile
from nodes.sd.families.known import family_named
from nodes.sd.lora import blocks as block_weights
from nodes.sd.lora.describe import names_of
from nodes.sd.lora.lora_value import LoRA
from nodes.values import Model, TextEncoder

if TYPE_CHECKING:
    from torch import Tensor

    from nodes.sd.families.family import EncoderName
    from nodes.sd.lora.file import Lora

R = TypeVar("R", Model, TextEncoder)

DEFAULT = 0.75
"""The usual weight of a LoRA."""
_ONLY_VECTORS = ("string_to_param.*", "emb_params")
"""The names of an embedding's vectors in files for models with one text encoder."""

Weight = Annotated[float, Range(-10, 10, step=0.05)]


def _blocks(text: str) -> str:
    block_weights.parse(text)
    return text


class Choice(BaseModel):
    """One LoRA with its weights: a row of the `more` input."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    lora: str
    weight: float = Field(DEFAULT, ge=-10, le=10)
    encoder_weight: float | None = Field(None, ge=-10, le=10)
    blocks: Annotated[str, AfterValidator(_blocks), Advanced] = ""
    ranks: int | None = Field(None, ge=1)
    on: bool = True

    @property
    def text_weight(self) -> float:
        """The LoRA weight for the text encoder: the encoder weight times the first block weight."""
        weight = self.weight if self.encoder_weight is None else self.encoder_weight
        return weight * block_weights.base(block_weights.parse(self.blocks))

    @property
    def acts(self) -> bool:
        """Whether this LoRA has any effect on the model or the text encoder."""
        return self.on and bool(self.lora) and bool(self.weight or self.text_weight)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Choice | None:
        """Read a row of the `more` input: the fields of a `Choice`, or a tag from EncodePrompt.

        Returns:
            the LoRA, or None for the tag of a hypernetwork.

        Raises:
            ValidationError: a field is missing, unknown or out of range.
            TypeError: a key is not a name.
        """
        if "kind" not in row:
            return cls(**row)
        if row["kind"] != "lora":
            return None
        names = {"name": "lora", "unet": "weight", "text": "encoder_weight", "rank": "ranks"}
        return cls(**{names.get(key, key): value for key, value in row.items() if key != "kind"})


def _stack(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for number, row in enumerate(rows, 1):
        try:
            Choice.from_row(row)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"LoRA {number}: {place} {reason(first)}") from None
        except TypeError:
            raise ValueError(f"LoRA {number}: its keys must be names, such as lora and weight") from None
    return rows


@dataclass(frozen=True)
class StackField(Widget):
    """The widget for a list of LoRAs, each with a switch and weights."""

    def describe(self) -> dict[str, Any]:
        """Describe the widget as JSON: a list of rows with the fields of `Choice`."""
        return {"kind": "stack", "choices_from": LORAS, "row": Choice.model_json_schema()["properties"]}


class Applied(NamedTuple):
    """A model and its text encoder with LoRAs applied."""

    model: Model
    encoder: TextEncoder


class ApplyLoRA(
    Node,
    category="model",
    libraries=("torch",),
    passes={"model": "model", "encoder": "encoder"},
    aliases=("LoraLoader", "LoadLora"),
):
    """Apply LoRAs to a model and its text encoder.

    Reads LoRA, LoHa, LoKr, IA³, GLoRA, OFT and DoRA files of kohya, LyCORIS, OneTrainer, peft, diffusers and
    XLabs. Several ApplyLoRA nodes in a row act as one node with several LoRAs. A LoRA at weight 0 has no
    effect.
    """

    model: Model
    encoder: TextEncoder
    lora: Annotated[str, FileIn(LORAS)] = ""
    """The LoRA: the name of a file in `models/loras`, with or without sub-folder and suffix, or a path.
    Empty: no LoRA."""
    weight: Weight = DEFAULT
    """Strength in the model, -10 to 10; 0.5 to 1 is usual. Higher values make the style or subject stronger
    and start to damage the picture above about 1.2; negative values push away from it."""
    encoder_weight: Annotated[Weight | None, Advanced] = None
    """Strength in the text encoder, -10 to 10. Empty: the same as `weight`."""
    blocks: Annotated[str, AfterValidator(_blocks)] = ""
    """Strength in each block of the UNet, multiplied by the weight: a preset (NONE, ALL, INS, IND, INALL,
    MIDD, OUTD, OUTS, OUTALL, ALL0.5) or numbers separated by commas. SD 1 and 2 take 17 numbers (26 with the
    blocks without attention), SDXL 12 (or 20); the first number is for everything outside of blocks, with
    the text encoder. Empty: 1 in every block."""
    on: bool = True
    """Switch this LoRA off without removing it. Does not affect `more`."""
    trained: Annotated[LoRA | None, Advanced] = None
    """A LoRA made in this graph, such as by TrainLoRA. It takes the place of `lora`, at the same weights."""
    more: Annotated[list[dict[str, Any]], StackField(), AfterValidator(_stack)] = []  # noqa: RUF012
    """More LoRAs, applied after this one, such as {"lora": "ink", "weight": 0.5}. A row may also set
    `encoder_weight`, `blocks`, `ranks` (use only this many of the first ranks) and `on`. The `tags` output of
    EncodePrompt can be connected here."""

    @property
    def choices(self) -> list[Choice]:
        """List the LoRAs from files that have an effect, in the order of application."""
        first = self._first(self.lora if self.trained is None else "")
        choices = map(Choice.from_row, (first, *self.more))
        return [choice for choice in choices if choice is not None and choice.acts]

    def _first(self, name: str) -> dict[str, Any]:
        """Return the row of the first LoRA, with the fields of `Choice`."""
        weights = {field: getattr(self, field) for field in ("weight", "encoder_weight", "blocks", "on")}
        return {"lora": name, **weights}

    def fingerprint(self, files: Files) -> Json:
        """Return the digests of the LoRA files, so that a changed file gives a new result.

        Raises:
            NodeError: a file is missing, or is not a usable LoRA.
        """
        return [lora_digest(files, choice.lora, input="lora") for choice in self.choices]

    def run(self, ctx: Context) -> Applied:
        applied = Applied(self.model, self.encoder)
        if self.trained is not None:
            made = self.trained
            first = Choice.from_row(self._first(made.name))
            if first is not None and first.acts:
                applied = _applied(applied, PatchFile(LORAS, made.digest, made.name, made=made), first, ctx)
        for choice in self.choices:
            applied = apply(applied, choice, ctx)
        return applied


def apply(to: Applied, choice: Choice, ctx: Context, *, input: str = "lora") -> Applied:
    """Add one LoRA to a model and its text encoder, where the file has weights for them.

    Raises:
        NodeError: there is no such file, it is not a LoRA, or it was made for another kind of model.
    """
    if not choice.acts:
        return to
    digest = lora_digest(ctx.files, choice.lora, input=input)
    name = resolve_lora(ctx.files, choice.lora)
    source = PatchFile(LORAS, digest, name, lora_hash(ctx.files, ctx.files.find(LORAS, name), digest))
    return _applied(to, source, choice, ctx, input=input)


def _applied(
    to: Applied, source: PatchFile, choice: Choice, ctx: Context, *, input: str = "trained"
) -> Applied:
    """Add one LoRA, given as a recipe; see `apply`."""
    from nodes.sd.formats.json_file import ModelError
    from nodes.sd.lora.file import match
    from nodes.sd.lora.keys import Target, key_map
    from nodes.sd.lora.stack import module_shapes
    from nodes.sd.models.weights import tensor_shapes

    lora = ctx.use(source)
    model_files, encoder_files = to.model.checkpoint.files(ctx.files), to.encoder.checkpoint.files(ctx.files)
    modules = {part: module_shapes(tensor_shapes(model_files, part)) for part in to.model.components}
    for part in to.encoder.components:
        modules[part] = module_shapes(tensor_shapes(encoder_files, part))
    shapes = {Target(part, module): shape for part, its in modules.items() for module, shape in its.items()}
    title = family_named(to.model.checkpoint.family).title
    remedy = f"choose a LoRA that was made for {title} models"
    made_for = None if source.made is not None else lora_base(ctx.files, source.name, source.digest)
    if made_for not in (None, title):
        remedy = f"it was made for {made_for} models; {remedy}"
    try:
        matched = match(lora, key_map(modules), shapes, choice.lora)
    except ModelError as error:
        raise NodeError(str(error), hint=remedy, input=input, code="bad_lora") from None
    if matched.unmatched:
        count, first = len(matched.unmatched), names_of(matched.unmatched)
        if not matched.targets and not lora.bundled:
            raise NodeError(
                f"{choice.lora} does not fit {to.model.checkpoint.name} ({title}): its keys match no layer of"
                f" the model ({count} keys, first {first})",
                hint=remedy,
                input=input,
                code="bad_lora",
            )
        keys = "key matches" if count == 1 else "keys match"
        ctx.warn(f"{choice.lora}: {count} {keys} no layer of this model; ignored (first {first})")
    parts = {target.part for target in matched.targets}
    model, encoder = to
    weights = block_weights.parse(choice.blocks)
    (network,) = to.model.components
    if weights and not family_named(to.model.checkpoint.family).network.is_unet:
        message = f"{to.model.checkpoint.name} is not a UNet and has no blocks to weight"
        raise NodeError(message, hint="leave `blocks` empty", input=input, code="not_a_unet")
    if network in parts and choice.weight and (not weights or any(weights)):
        model = _patched(model, Patch(source, choice.weight, weights, choice.ranks))
    if parts & set(to.encoder.components) and choice.text_weight:
        encoder = _patched(encoder, Patch(source, choice.text_weight, (), choice.ranks))
    if lora.bundled:
        encoder = _with_bundled(encoder, lora, choice.lora, ctx)
    return Applied(model, encoder)


def _patched(recipe: R, patch: Patch) -> R:
    return replace(recipe, patches=(*recipe.patches, patch))


def _with_bundled(encoder: TextEncoder, lora: Lora, name: str, ctx: Context) -> TextEncoder:
    """Add the embeddings of a LoRA file to the text encoder, except those whose name is already loaded."""
    from nodes.files.embedding_files import Embeddings
    from nodes.sd.embeddings.embedding import Embedding

    known = encoder.triggers(ctx.files)
    widths = dict(encoder.checkpoint.text_widths)
    added = []
    for word, tensors in lora.bundled.items():
        if (existing := known.match(word, 0)) is not None and existing[1] == len(word):
            continue
        vectors = _vectors(tensors, widths)
        if output := next((part for part in tensors if part.endswith("_out")), None):
            empty = not any(bool(rows.any()) for rows in vectors.values())
            ctx.warn(
                f"{name} contains the embedding {names_of([word])} with vectors for the text encoder's output"
                f" ({output}), which Safelight does not apply" + ("; it is ignored" if empty else "")
            )
            if empty:
                continue
        found = {encoder: list(rows.shape) for encoder, rows in vectors.items()}
        if (
            any(shape[1:] != [widths[encoder]] for encoder, shape in found.items())
            or found.keys() != widths.keys()
        ):
            shapes = " and ".join(f"vectors of shape {shape}" for shape in found.values()) or "no vectors"
            needed = " and ".join(map(str, widths.values()))
            ctx.warn(
                f"{name} contains the embedding {names_of([word])} with {shapes}; this model's text encoder"
                f" needs vectors of width {needed}, so it is ignored"
            )
            continue
        added.append(Embedding(word, {encoder: rows.float() for encoder, rows in vectors.items()}))
    if not added:
        return encoder
    return replace(encoder, embeddings=encoder.embeddings + Embeddings(made=tuple(added)))


def _vectors(tensors: Mapping[str, Tensor], widths: Mapping[EncoderName, int]) -> dict[EncoderName, Tensor]:
    """Return the vectors of an embedding, by text encoder; an encoder without vectors is left out."""
    only = next((tensors[part] for part in _ONLY_VECTORS if part in tensors), None)
    found = {encoder: tensors.get(encoder, only if len(widths) == 1 else None) for encoder in widths}
    return {encoder: rows for encoder, rows in found.items() if rows is not None}
