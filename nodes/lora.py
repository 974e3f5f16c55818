"""ApplyLoRA: small files that change a model, several at once, each at its weight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from engine.context import Context
from engine.errors import NodeError
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import FileIn, Range, Widget
from nodes.file_names import named
from nodes.sd.formats.scan import MODEL_SUFFIXES, scan
from nodes.sd.lora import blocks as block_weights
from nodes.sd.lora.describe import alias_of, describe, names_of, shapes_of
from nodes.sd.lora.patch import KIND, LoraFile, LoraPatch
from nodes.values import Model, TextEncoder

if TYPE_CHECKING:
    from nodes.sd.lora.file import Lora

R = TypeVar("R", Model, TextEncoder)

DEFAULT = 0.75
"""The weight that most LoRAs look right at; 0.5 to 1 is usual."""
_INPUT_VECTORS = ("clip_l", "string_to_param.*", "emb_params")

Weight = Annotated[float, Range(-10, 10, step=0.05)]


def _blocks(text: str) -> str:
    block_weights.parse(text)
    return text


class Choice(BaseModel):
    """One LoRA of a stack."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    lora: str
    weight: float = Field(DEFAULT, ge=-10, le=10)
    encoder_weight: float | None = Field(None, ge=-10, le=10)
    blocks: Annotated[str, AfterValidator(_blocks)] = ""
    ranks: int | None = Field(None, ge=1)
    on: bool = True

    @property
    def text_weight(self) -> float:
        """What applies in the text encoder: its own weight, times the block weight outside of blocks."""
        weight = self.weight if self.encoder_weight is None else self.encoder_weight
        return weight * block_weights.base(block_weights.parse(self.blocks))

    @property
    def acts(self) -> bool:
        """Whether it changes anything at all."""
        return self.on and bool(self.lora) and bool(self.weight or self.text_weight)


_TAG = frozenset({"kind", "name", "unet", "text", "rank"})


def _choice(item: dict[str, Any]) -> Choice | None:
    """A row of a stack, or a tag of a prompt as EncodePrompt tells it; None for a tag of another kind."""
    if item.keys() != _TAG:
        return Choice(**item)
    if item["kind"] != "lora":
        return None
    return Choice(lora=item["name"], weight=item["unet"], encoder_weight=item["text"], ranks=item["rank"])


def _stack(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for number, item in enumerate(given, 1):
        try:
            _choice(item)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"LoRA {number}: {place}: {first['msg']}") from None
        except TypeError:
            raise ValueError(f"LoRA {number}: its keys must be names, such as lora and weight") from None
    return given


@dataclass(frozen=True)
class StackField(Widget):
    """A list of LoRAs, each with its switch and weights."""

    def describe(self) -> dict[str, Any]:
        """A list of rows, each of them the fields of `Choice`."""
        return {"kind": "stack", "choices_from": KIND, "row": Choice.model_json_schema()["properties"]}


class Applied(NamedTuple):
    """A model and its text encoder with LoRAs over them."""

    model: Model
    encoder: TextEncoder


class ApplyLoRA(
    Node,
    category="model",
    libraries=("torch",),
    passes={"model": "model", "encoder": "encoder"},
):
    """Give a model a style or a subject with LoRAs.

    Files of kohya, LyCORIS, OneTrainer, peft and diffusers are read. Several of these nodes in a row do what
    one node with several LoRAs does. At weight 0 the model is the one that came in, to the bit.
    """

    model: Model
    encoder: TextEncoder
    lora: Annotated[str, FileIn(KIND)] = ""
    """The name of a file in `models/loras`, or a path; nothing leaves the model as it is."""
    weight: Weight = DEFAULT
    """How strong it is: 0.5 to 1 is usual, more burns the picture, below 0 does the opposite."""
    encoder_weight: Weight | None = None
    """How strong it is in the text encoder, if that is to differ."""
    blocks: Annotated[str, AfterValidator(_blocks)] = ""
    """How strong it is in each block of the UNet, times the weight: 17 numbers (or 26 with the blocks that
    have no attention) for SD 1 and 2, 12 or 20 for SDXL, the first for all outside of blocks; empty for 1."""
    on: bool = True
    """Off leaves the model as it is."""
    more: Annotated[list[dict[str, Any]], StackField(), AfterValidator(_stack)] = []  # noqa: RUF012
    """Further LoRAs after this one, such as {"lora": "ink", "weight": 0.5}; each may have `encoder_weight`,
    `blocks`, `ranks` (how many of its directions to use) and `on`, too. The `tags` of EncodePrompt do as
    well: what `<lora:ink:0.5>` asks for."""

    @property
    def choices(self) -> list[Choice]:
        """The LoRAs that act, the first one first."""
        first = {name: getattr(self, name) for name in ("lora", "weight", "encoder_weight", "blocks", "on")}
        chosen = map(_choice, (first, *self.more))
        return [choice for choice in chosen if choice is not None and choice.acts]

    def fingerprint(self, files: Files) -> Json:
        """The digests of the files that act: names alone say nothing."""
        return [files.digest(files.find(KIND, located(files, choice.lora))) for choice in self.choices]

    def run(self, ctx: Context) -> Applied:
        applied = Applied(self.model, self.encoder)
        for choice in self.choices:
            applied = apply(applied, choice, ctx)
        return applied


class DescribeLoRA(Node, category="load"):
    """Tell what a LoRA says of itself: base, kinds, ranks, words that call it, tags it was trained with."""

    lora: Annotated[str, FileIn(KIND)]
    """The name of a file in `models/loras`, or a path."""

    def fingerprint(self, files: Files) -> Json:
        """The digest of the file: a name alone says nothing."""
        return files.digest(files.find(KIND, located(files, self.lora)))

    def run(self, ctx: Context) -> dict[str, Any]:
        from nodes.sd.formats.bad_file import BadFileError
        from nodes.sd.formats.read import read_tensors

        try:
            tensors = read_tensors(ctx.files.find(KIND, located(ctx.files, self.lora)))
        except BadFileError as error:
            raise NodeError(str(error), input="lora", code=error.code) from None
        told = describe(shapes_of(tensors.entries), tensors.metadata)
        if not told["modules"] and not told["embeddings"]:
            message = f"{self.lora} is not a LoRA of a known kind; it holds {names_of(tensors) or 'nothing'}"
            raise NodeError(message, input="lora", code="bad_lora")
        return told


def apply(to: Applied, choice: Choice, ctx: Context) -> Applied:
    """A model and its text encoder with one more LoRA over them, where it has something for them.

    Raises:
        NodeError: there is no such file, it is no LoRA, or it is for another kind of model.
    """
    if not choice.acts:
        return to
    from nodes.sd.json_file import ModelError
    from nodes.sd.lora.file import match
    from nodes.sd.lora.keys import Target, key_map
    from nodes.sd.lora.stack import module_shapes
    from nodes.sd.weights import tensor_shapes

    name = located(ctx.files, choice.lora)
    source = LoraFile(ctx.files.digest(ctx.files.find(KIND, name)), name)
    lora = ctx.use(source)
    unet = module_shapes(tensor_shapes(to.model.checkpoint.folder(ctx.files), "unet"))
    text = module_shapes(tensor_shapes(to.encoder.checkpoint.folder(ctx.files), "text_encoder"))
    shapes = {Target("unet", module): shape for module, shape in unet.items()}
    shapes |= {Target("text_encoder", module): shape for module, shape in text.items()}
    try:
        matched = match(lora, key_map({"unet": unet, "text_encoder": text}), shapes, choice.lora)
    except ModelError as error:
        raise NodeError(str(error), input="lora", code="bad_lora") from None
    if matched.unmatched:
        count, first = len(matched.unmatched), names_of(matched.unmatched)
        if not matched.targets and not lora.bundled:
            raise NodeError(
                f"{choice.lora} means nothing to {to.model.checkpoint.name}: none of its {count} keys is"
                f" known, first {first}",
                hint="it was made for another kind of model",
                input="lora",
                code="bad_lora",
            )
        ctx.warn(f"{choice.lora}: {count} keys mean nothing in this model and are left out, first {first}")
    parts = {target.part for target in matched.targets}
    model, encoder = to
    weights = block_weights.parse(choice.blocks)
    if "unet" in parts and choice.weight and (not weights or any(weights)):
        model = _over(model, LoraPatch(source, choice.weight, weights, choice.ranks))
    if "text_encoder" in parts and choice.text_weight:
        encoder = _over(encoder, LoraPatch(source, choice.text_weight, (), choice.ranks))
    if lora.bundled:
        encoder = _with_bundled(encoder, lora, choice.lora, ctx)
    return Applied(model, encoder)


def located(files: Files, name: str) -> str:
    """The name of a LoRA's file out of what a person calls it.

    That is its name with or without suffix and sub-folder, or what its maker called it, if no other file is
    called so (A1111).

    Raises:
        NodeError: several in different sub-folders go by this name.
    """
    if (found := named(files, KIND, name)) is not None:
        return found
    called = {
        item.name
        for folder in files.folders(KIND)
        for item in scan(Path(folder))
        if item.problem is None and item.path.suffix.lower() in MODEL_SUFFIXES and _alias(item.path) == name
    }
    return called.pop() if len(called) == 1 else name


def _alias(path: Path) -> str:
    from nodes.sd.formats.bad_file import BadFileError
    from nodes.sd.formats.read import read_tensors

    if path.suffix != ".safetensors":
        return ""
    try:
        return alias_of(read_tensors(path).metadata)
    except BadFileError:
        return ""


def _over(recipe: R, patch: LoraPatch) -> R:
    return replace(recipe, patches=(*recipe.patches, patch))


def _with_bundled(encoder: TextEncoder, lora: Lora, name: str, ctx: Context) -> TextEncoder:
    """The text encoder with the embeddings that came along; those of the user's own go before them."""
    from nodes.embedding import Embedding
    from nodes.embedding_files import Embeddings

    known = encoder.triggers(ctx.files)
    made = []
    for word, tensors in lora.bundled.items():
        if (found := known.match(word, 0)) is not None and found[1] == len(word):
            continue
        vectors = next((tensors[part] for part in _INPUT_VECTORS if part in tensors), None)
        if output := next((part for part in tensors if part.endswith("_out")), None):
            useless = vectors is None or not vectors.any()
            ctx.warn(
                f"{name} brings the embedding {names_of([word])} with vectors for what the text encoder says"
                f" ({output}), not for what it reads; Safelight does not apply those"
                + ("; it is left out" if useless else "")
            )
            if useless:
                continue
        if vectors is None or vectors.ndim != 2 or vectors.shape[1] != encoder.checkpoint.text_width:
            shape = "no vectors" if vectors is None else f"vectors of shape {list(vectors.shape)}"
            ctx.warn(
                f"{name} brings the embedding {names_of([word])} with {shape} for this text encoder, which"
                f" reads rows of {encoder.checkpoint.text_width}; it is left out"
            )
            continue
        made.append(Embedding(word, {"clip_l": vectors.float()}))
    return replace(encoder, embeddings=encoder.embeddings + Embeddings(made=tuple(made))) if made else encoder
