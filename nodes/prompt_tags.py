"""ApplyTags: what a prompt's `<lora:…>` and `<hypernet:…>` ask for, done to the model."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import ValidationError

from engine.context import Context
from engine.errors import NodeError
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import Text
from nodes import lora
from nodes.explained import explained
from nodes.file_names import named
from nodes.hypernetwork import ApplyHypernetwork
from nodes.lora import Applied
from nodes.sd import hypernetwork_patch
from nodes.sd.lora.patch import KIND as LORAS
from nodes.sd.prompts import tags
from nodes.sd.prompts.excerpt import Excerpt, Remark
from nodes.sd.prompts.tags import Tag
from nodes.values import Model, TextEncoder


class Tagged(NamedTuple):
    """A model and its text encoder as a prompt's tags ask for them, and the prompt without its tags."""

    model: Model
    encoder: TextEncoder
    prompt: str


class ApplyTags(
    Node,
    category="prompt",
    libraries=("torch",),
    passes={"model": "model", "encoder": "encoder", "prompt": "prompt"},
):
    """Apply the LoRAs and hypernetworks that a prompt names, as in `a mug <lora:ink:0.8>`.

    Wire what comes out into EncodePrompt and Denoise. The tags are A1111's: `<lora:name:weight>`,
    `<lora:name:encoder weight:UNet weight>`, `<hypernet:name:strength>`; a weight left out is 1.
    """

    model: Model
    encoder: TextEncoder
    prompt: Text = ""
    """The prompt with its tags; a name is that of a file in `models/loras` or `models/hypernetworks`, with or
    without sub-folder and suffix."""

    def fingerprint(self, files: Files) -> Json:
        """The digests of the files that the tags name."""
        return [files.digest(files.find(*_file(tag, files))) for tag in self._read()[1]]

    def run(self, ctx: Context) -> Tagged:
        prompt, found, remarks = self._read()
        for remark in remarks:
            ctx.warn(str(remark))
        model, encoder = self.model, self.encoder
        for tag in found:
            if tag.kind == "lora":
                model, encoder = lora.apply(Applied(model, encoder), _choice(tag), ctx)
            else:
                _, name = _file(tag, ctx.files)
                model = ApplyHypernetwork(model=model, hypernetwork=name, strength=tag.unet).run(ctx)
        return Tagged(model, encoder, prompt.text)

    def _read(self) -> tuple[Excerpt, list[Tag], list[Remark]]:
        with explained(input="prompt"):
            return tags.cut(Excerpt(self.prompt))


def _choice(tag: Tag) -> lora.Choice:
    try:
        return lora.Choice(lora=tag.name, weight=tag.unet, encoder_weight=tag.text, ranks=tag.rank)
    except ValidationError:
        raise NodeError(
            f"{tag} cannot be applied",
            hint="weights lie within -10 and 10, a rank is 1 or more",
            input="prompt",
        ) from None


def _file(tag: Tag, files: Files) -> tuple[str, str]:
    """The kind and the name of the file that a tag asks for.

    Raises:
        NodeError: several files go by the name.
    """
    if tag.kind == "lora":
        return LORAS, lora.located(files, tag.name)
    kind = hypernetwork_patch.KIND
    return kind, named(files, kind, tag.name) or tag.name
