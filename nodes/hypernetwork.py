"""ApplyHypernetwork: small networks beside the attention that change what a model draws."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from engine.context import Context
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import FileIn, Range
from nodes.file_names import named
from nodes.sd.hypernetwork_patch import KIND, HypernetworkFile, HypernetworkPatch
from nodes.values import Model


class ApplyHypernetwork(Node, category="model", libraries=("torch",), passes={"out": "model"}):
    """Give a model a style with a hypernetwork (A1111's `.pt` files).

    Several in a row act one after another. At strength 0 the model is the one that came in, to the bit.
    """

    model: Model
    hypernetwork: Annotated[str, FileIn(KIND)] = ""
    """The name of a file in `models/hypernetworks`, or a path; nothing leaves the model as it is."""
    strength: Annotated[float, Range(-10, 10, step=0.05)] = 1.0
    """How strong it is; 0.4 to 1 is usual."""

    def fingerprint(self, files: Files) -> Json:
        """The digest of the file: a name alone says nothing."""
        return files.digest(files.find(KIND, self._name(files))) if self._acts else None

    def run(self, ctx: Context) -> Model:
        if not self._acts:
            return self.model
        name = self._name(ctx.files)
        source = HypernetworkFile(ctx.files.digest(ctx.files.find(KIND, name)), name)
        loaded = ctx.use(source)
        widths = sorted(loaded.pairs)
        if self.model.checkpoint.text_width not in widths:
            ctx.warn(
                f"{self.hypernetwork} has networks for the widths {widths}; this model's text is"
                f" {self.model.checkpoint.text_width} wide, so its words are read without it"
            )
        return replace(self.model, patches=(*self.model.patches, HypernetworkPatch(source, self.strength)))

    def _name(self, files: Files) -> str:
        return named(files, KIND, self.hypernetwork) or self.hypernetwork

    @property
    def _acts(self) -> bool:
        return bool(self.hypernetwork) and self.strength != 0
