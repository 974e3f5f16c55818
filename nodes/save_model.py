"""SaveModel: a model with its LoRAs baked in, as files that other tools load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from nodes.values import Model, TextEncoder, Vae

if TYPE_CHECKING:
    from nodes.sd.folder import Component


class SaveModel(Node, category="save", pure=False, libraries=("torch", "diffusers", "safetensors")):
    """Write a model with all its LoRAs baked in, to use it elsewhere or as a base of its own.

    It lands in the home's `outputs` folder, whoever made the graph; move it to `models/checkpoints` to load
    it.
    """

    model: Model
    encoder: TextEncoder
    vae: Vae
    path: str = "models/merged"
    """Where to, inside the `outputs` folder."""
    format: Literal["folder", "file"] = "folder"
    """`folder` is diffusers' layout, which Safelight loads; `file` is one `.safetensors` for A1111 and
    ComfyUI."""
    precision: Literal["float16", "bfloat16", "float32"] = "float16"
    """`float16` is usual and half as large; `float32` keeps every digit."""
    overwrite: bool = False
    """Replace what is there; otherwise nothing is written where something is."""

    def run(self, ctx: Context) -> str:
        from nodes.sd.hypernetwork_patch import HypernetworkPatch
        from nodes.sd.lora import saved

        digests = {recipe.checkpoint.digest for recipe in (self.model, self.encoder, self.vae)}
        if self.model.checkpoint.text_width != self.encoder.checkpoint.text_width:
            raise NodeError("the model and the text encoder do not belong together", input="encoder")
        if any(isinstance(patch, HypernetworkPatch) for patch in self.model.patches):
            hint = "leave ApplyHypernetwork out before it"
            raise NodeError("a hypernetwork cannot be baked into a model", hint=hint, input="model")
        name = self.path.removesuffix(".safetensors") + (".safetensors" if self.format == "file" else "")
        target = ctx.files.target(name)
        states: dict[Component, Any] = {}
        try:
            states["unet"] = saved.state(_whole(self.model, ctx), self.precision)
            states["vae"] = saved.state(self.vae.load("cpu", ctx.files)[0], self.precision)
            states["text_encoder"] = saved.state(_whole(self.encoder, ctx).encoder, self.precision)
        except ValueError as error:
            raise NodeError(str(error), input="precision") from None
        ctx.cancelled()
        sources: dict[Component, Any] = {
            "unet": self.model.checkpoint.folder(ctx.files),
            "vae": self.vae.checkpoint.folder(ctx.files),
            "text_encoder": self.encoder.checkpoint.folder(ctx.files),
        }
        try:
            if self.format == "folder":
                saved.save_folder(target, sources, states, self.precision, overwrite=self.overwrite)
            else:
                metadata = {
                    "modelspec.sai_model_spec": "1.0.0",
                    "modelspec.architecture": "stable-diffusion-v1",
                    "modelspec.title": target.stem,
                    "modelspec.prediction_type": self.model.checkpoint.prediction,
                    "safelight.base": " ".join(sorted(digests)),
                    "safelight.loras": saved.merged_from(self.model.patches),
                    "safelight.text_encoder_loras": saved.merged_from(self.encoder.patches),
                }
                saved.save_single(target, states, metadata, overwrite=self.overwrite)
        except FileExistsError:
            hint = "choose another name, or turn overwrite on"
            raise NodeError(f"{target} is there already", hint=hint, input="path", code="exists") from None
        except OSError as error:
            raise NodeError(
                f"{target} cannot be written: {error.strerror or error}", input="path", code="unwritable"
            ) from None
        return str(target)


def _whole(recipe: Model | TextEncoder, ctx: Context) -> Any:
    """The network with all that lies over it, on the CPU and in float32: what is baked is rounded once."""
    base = recipe.base
    if base is None:
        return recipe.load("cpu", ctx.files)[0]
    layers = [layer.load("cpu", ctx.files)[0] for layer in recipe.layers]
    network: Any = base.load("cpu", ctx.files)[0]
    return recipe.compose(network, layers)[0]
