"""ApplyHypernetwork: applies a hypernetwork to a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from engine.context import Context
from engine.errors import NodeError
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import FileIn, Range
from nodes.files.file_kinds import require_kind
from nodes.files.file_names import resolve
from nodes.files.patch_files import HYPERNETWORKS, Patch, PatchFile
from nodes.sd.families.known import family_named
from nodes.sd.hypernetworks.hypernetwork_value import Hypernetwork
from nodes.values import Model


class ApplyHypernetwork(
    Node, category="model", libraries=("torch",), passes={"out": "model"}, aliases=("HypernetworkLoader",)
):
    """Apply a hypernetwork (a `.pt` file of A1111) to a model.

    Several ApplyHypernetwork nodes in a row act one after another. At strength 0 there is no effect.
    """

    model: Model
    hypernetwork: Annotated[str, FileIn(HYPERNETWORKS)] = ""
    """The hypernetwork: the name of a file in `models/hypernetworks`, with or without sub-folder and suffix,
    or a path. Empty: none."""
    strength: Annotated[float, Range(-10, 10, step=0.05)] = 1.0
    """How strongly it changes the picture, -10 to 10; 0.4 to 1 is usual."""
    trained: Hypernetwork | None = None
    """A hypernetwork made in this graph, such as by TrainHypernetwork. It takes the place of
    `hypernetwork`, at the same strength."""

    def fingerprint(self, files: Files) -> Json:
        """Return the digest of the file, so that a changed file gives a new result.

        Raises:
            NodeError: there is no such file, or it is not a usable hypernetwork.
        """
        unused = not self.hypernetwork or not self.strength or self.trained is not None
        return None if unused else digest(files, self.hypernetwork)

    def run(self, ctx: Context) -> Model:
        made = self.trained
        if made is None:
            return apply(self.model, self.hypernetwork, self.strength, ctx)
        if not self.strength:
            return self.model
        source = PatchFile(HYPERNETWORKS, made.digest, made.name, made=made)
        return _applied(self.model, source, self.strength, ctx, input="trained")


def apply(model: Model, name: str, strength: float, ctx: Context, *, input: str = "hypernetwork") -> Model:
    """Add one hypernetwork to a model; returns the model unchanged without a name or at strength 0.

    Raises:
        NodeError: there is no such file, it is not a usable hypernetwork, or the model is not a UNet.
    """
    if not name or not strength:
        return model
    source = PatchFile(
        HYPERNETWORKS, digest(ctx.files, name, input=input), resolve(ctx.files, HYPERNETWORKS, name) or name
    )
    return _applied(model, source, strength, ctx, input=input)


def _applied(model: Model, source: PatchFile, strength: float, ctx: Context, *, input: str) -> Model:
    """Add one hypernetwork, given as a recipe; see `apply`."""
    if not family_named(model.checkpoint.family).network.is_unet:
        message = f"{model.checkpoint.name} is not a UNet, and hypernetworks are for UNets"
        hint = "choose a model of SD 1, SD 2 or SDXL"
        raise NodeError(message, hint=hint, input=input, code="not_a_unet")
    widths = sorted(ctx.use(source).pairs)
    text_width = model.checkpoint.context_width
    if text_width not in widths:
        ctx.warn(
            f"{source.name} does not change how the model reads the prompt: it has no network for the width"
            f" {text_width} of this model's text encoder, only for {', '.join(map(str, widths))}"
        )
    return replace(model, patches=(*model.patches, Patch(source, strength)))


def digest(files: Files, name: str, *, input: str = "hypernetwork") -> str:
    """Return the sha256 of the hypernetwork file with a name.

    Raises:
        NodeError: there is no such file, several have this name, or it is not a usable hypernetwork.
    """
    try:
        path = files.find(HYPERNETWORKS, resolve(files, HYPERNETWORKS, name) or name)
    except NodeError as error:
        raise error.at(input) from None
    return require_kind(files, path, "hypernetwork", input=input)
