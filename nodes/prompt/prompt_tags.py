"""ApplyTags: applies the LoRAs and hypernetworks that a prompt names in tags."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import ValidationError

from engine.context import Context
from engine.errors import NodeError
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import Text
from nodes.files.lora_files import lora_digest
from nodes.model import hypernetwork, lora
from nodes.model.lora import Applied
from nodes.node_problem import node_problem
from nodes.sd.prompts import tags
from nodes.sd.prompts.excerpt import Excerpt, PromptWarning
from nodes.sd.prompts.tags import Tag
from nodes.values import Model, TextEncoder


class Tagged(NamedTuple):
    """The result of applying a prompt's `<lora:...>` and `<hypernet:...>` tags.

    It has the patched model and text encoder, and the prompt without these tags.
    """

    model: Model
    encoder: TextEncoder
    prompt: str


class ApplyTags(
    Node,
    category="prompt",
    libraries=("torch",),
    passes={"model": "model", "encoder": "encoder", "prompt": "prompt"},
):
    """Apply the LoRAs and hypernetworks that a prompt names in tags, as in `a mug <lora:ink:0.8>`.

    Connect the outputs to EncodePrompt and Denoise. The tags are A1111's: `<lora:name:weight>`,
    `<lora:name:encoder weight:UNet weight>`, `<hypernet:name:strength>`; the default weight is 1. Block
    weights are written `lbw=`, as in `<lora:ink:0.8:lbw=OUTD>`; see the `blocks` input of ApplyLoRA.
    """

    model: Model
    encoder: TextEncoder
    prompt: Text = ""
    """The prompt with its tags. A tag names a file in `models/loras` or `models/hypernetworks`, with or
    without sub-folder and suffix."""

    def fingerprint(self, files: Files) -> Json:
        """Return the digests of the files that the tags name, so that a changed file gives a new result.

        Raises:
            NodeError: a tag cannot be read, or names no usable file.
        """
        return [
            lora_digest(files, tag.name, input="prompt")
            if tag.kind == "lora"
            else hypernetwork.digest(files, tag.name, input="prompt")
            for tag in self._read()[1]
        ]

    def run(self, ctx: Context) -> Tagged:
        prompt, found, warnings = self._read()
        for warning in warnings:
            ctx.warn(str(warning))
        model, encoder = self.model, self.encoder
        for tag in found:
            if tag.kind == "lora":
                model, encoder = lora.apply(Applied(model, encoder), _choice(tag), ctx, input="prompt")
            else:
                model = hypernetwork.apply(model, tag.name, tag.unet, ctx, input="prompt")
        return Tagged(model, encoder, prompt.text)

    def _read(self) -> tuple[Excerpt, list[Tag], list[PromptWarning]]:
        with node_problem(input="prompt"):
            return tags.cut(Excerpt(self.prompt))


def _choice(tag: Tag) -> lora.Choice:
    try:
        choice = lora.Choice.from_row(tag.as_json())
    except ValidationError:
        raise NodeError(
            f"the tag {tag} has a weight or a rank that is out of range",
            hint="use weights from -10 to 10, and a rank of 1 or more",
            input="prompt",
        ) from None
    assert choice is not None
    return choice
