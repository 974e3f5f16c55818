"""LoadModel: from a checkpoint's name to the recipes of its three networks."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from engine.context import Context
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import FileIn
from nodes.checkpoints import EMBEDDED, KIND, checkpoint
from nodes.values import Model, TextEncoder, Vae


class Loaded(NamedTuple):
    """The three networks of a checkpoint."""

    model: Model
    encoder: TextEncoder
    vae: Vae


class LoadModel(Node, category="load"):
    """Choose a model by its name."""

    model: Annotated[str, FileIn(KIND)] = EMBEDDED
    """`safelight-tiny`, which is built in, or the name of a folder in `models/checkpoints` that holds a
    Stable Diffusion 1 model in the diffusers layout."""

    def fingerprint(self, files: Files) -> Json:
        """The digest of the model's files: a name alone says nothing."""
        return checkpoint(files, self.model).digest

    def run(self, ctx: Context) -> Loaded:
        found = checkpoint(ctx.files, self.model)
        return Loaded(Model(found), TextEncoder(found), Vae(found))
