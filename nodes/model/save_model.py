"""SaveModel: saves a checkpoint, with LoRAs merged in, for Safelight and other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from nodes.files.patch_files import HYPERNETWORKS
from nodes.values import Model, TextEncoder, Vae

if TYPE_CHECKING:
    from nodes.sd.families.family import Component
    from nodes.sd.models.files import ModelFiles


class SaveModel(
    Node,
    category="model",
    pure=False,
    libraries=("torch", "diffusers", "safetensors"),
    aliases=("CheckpointSave",),
):
    """Merge the LoRAs into a model and save it as a checkpoint for Safelight, A1111, ComfyUI or diffusers.

    The checkpoint is written to the `outputs` folder; move it to `models/checkpoints` to load it.
    """

    model: Model
    encoder: TextEncoder
    vae: Vae
    path: str = "models/merged"
    """The folder or file to write, inside the `outputs` folder."""
    format: Literal["folder", "file"] = "folder"
    """`folder`: the diffusers layout, which Safelight and diffusers load. `file`: a single `.safetensors`,
    for A1111 and ComfyUI."""
    precision: Literal["float16", "bfloat16", "float32"] = "float16"
    """The number format of the weights. `float16` is usual and half the size of `float32`, which is lossless;
    `bfloat16` has a wider range and lower accuracy than `float16`."""
    overwrite: bool = False
    """Replace an existing file or folder. Off: an existing one is an error."""

    def run(self, ctx: Context) -> str:
        from nodes.sd.models import saved

        self._check_family()
        if any(patch.source.kind == HYPERNETWORKS for patch in self.model.patches):
            hint = "connect the model before ApplyHypernetwork"
            raise NodeError("a hypernetwork cannot be merged into a model", hint=hint, input="model")
        name = self.path.removesuffix(".safetensors") + (".safetensors" if self.format == "file" else "")
        target = ctx.files.target(name)
        states: dict[Component, Any] = {}
        try:
            for one in self.encoder.exact(ctx.files):
                states[one.role.component] = saved.state(one.encoder, self.precision)
            (network,) = self.model.components
            states[network] = saved.state(self.model.exact(ctx.files), self.precision)
            states["vae"] = saved.state(self.vae.exact(ctx.files), self.precision)
        except ValueError as error:
            raise NodeError(str(error), input="precision") from None
        ctx.cancelled()
        sources: dict[Component, ModelFiles] = {
            part: recipe.checkpoint.files(ctx.files)
            for recipe in (self.encoder, self.model, self.vae)
            for part in recipe.components
        }
        try:
            if self.format == "folder":
                saved.save_folder(target, sources, states, self.precision, overwrite=self.overwrite)
            else:
                metadata = {
                    "modelspec.sai_model_spec": "1.0.0",
                    "modelspec.title": target.stem,
                    "safelight.base": " ".join(sorted(self._digests())),
                    "safelight.loras": saved.merged_from(self.model.patches),
                    "safelight.text_encoder_loras": saved.merged_from(self.encoder.patches),
                }
                saved.save_single(target, sources, states, metadata, overwrite=self.overwrite)
        except FileExistsError:
            hint = "choose another name, or turn overwrite on"
            raise NodeError(f"{target} exists already", hint=hint, input="path", code="exists") from None
        except OSError as error:
            raise NodeError(
                f"{target} cannot be written: {error.strerror or error}", input="path", code="unwritable"
            ) from None
        return str(target)

    def _check_family(self) -> None:
        """Check that the model and the text encoder are of one family.

        Raises:
            NodeError: they are of different families.
        """
        ours, encoder = self.model.checkpoint, self.encoder.checkpoint
        if (ours.family, ours.context_width) != (encoder.family, encoder.context_width):
            raise NodeError("the model and the text encoder are of different families", input="encoder")

    def _digests(self) -> set[str]:
        return {*self.model.digests, *self.encoder.digests, *self.vae.digests}
