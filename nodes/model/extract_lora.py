"""ExtractLoRA: makes a LoRA from the difference between two models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Range
from nodes.files.new_file import require_file_name
from nodes.node_problem import node_problem
from nodes.sd.families.known import family_named
from nodes.sd.lora.lora_value import LoRA
from nodes.training.lora_metadata import lora_metadata
from nodes.values import Model, TextEncoder

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nodes.sd.lora.keys import Part

_LITTLE = 0.5


class ExtractedLora(NamedTuple):
    """A LoRA that approximates the difference between two models, and how well it does."""

    lora: LoRA
    report: dict[str, Any]
    """`layers` in the LoRA, `megabytes`, and `kept`: the share of the difference that it holds, 0 to 1 (of
    the sum of squares, over all weights)."""


class ExtractLoRA(Node, category="training", libraries=("torch", "diffusers", "safetensors")):
    """Extract a LoRA from the difference of two models, such as a fine-tuned one and its original.

    Connect `lora` to ApplyLoRA's `trained`, or to SaveLoRA. It holds linear layers and convolutions; what
    differs elsewhere, such as in norms, is left out.
    """

    tuned: Model
    """The model with the changes, such as that of TrainModel, or a checkpoint that was fine-tuned."""
    base: Model
    """The model that it was made from."""
    name: str = "extracted"
    """The name of the LoRA."""
    rank: Annotated[int, Range(1, 1024)] = 32
    """The rank of each layer; 16 to 128 is usual. More hold more of the difference in a larger file."""
    tuned_encoder: TextEncoder | None = None
    """The text encoder with the changes. Empty: the LoRA changes the UNet or transformer only."""
    base_encoder: TextEncoder | None = None
    """The text encoder that it was made from."""

    def run(self, ctx: Context) -> ExtractedLora:
        """Extract the LoRA.

        Raises:
            NodeError: the models are of different families, have tensors of other shapes, or do not differ.
        """
        from nodes.sd.lora.extraction import differences, extracted
        from nodes.sd.lora.keys import Target, original_names
        from nodes.sd.lora.written import named_tensors

        require_file_name(self.name, input="name")
        adapters, whole, kept = {}, 0.0, 0.0
        names: list[str] = []
        family = family_named(self.base.checkpoint.family)
        for part, tuned, base in self._networks(ctx):
            is_model = part == family.network.component
            with node_problem(input="tuned" if is_model else "tuned_encoder"):
                changes = differences(tuned, base)
            whole += sum(float(change.square().sum()) for change in changes.values())
            weights = _weights(changes, base)
            for layer, adapter, held in ctx.track(
                extracted(weights, self.rank), len(weights), unit="layers", stage=part.replace("_", " ")
            ):
                adapters[Target(part, layer)] = adapter
                kept += held
            if is_model:
                names = [name for name, _ in base.named_modules()]
        if not adapters:
            message = "the models do not differ in any linear layer or convolution"
            hint = "connect a model that was changed to `tuned`"
            raise NodeError(message, hint=hint, input="tuned", code="no_difference")
        share = kept / whole
        if share < _LITTLE:
            ctx.warn(f"the LoRA holds only {share:.0%} of the difference; raise the rank")
        checkpoint = self.base.checkpoint
        original = original_names(names) if family.original_lora_names else {}
        lora = LoRA(
            self.name,
            named_tensors(adapters),
            lora_metadata(self.name, checkpoint, "networks.lora", self.rank, self.rank)
            | {"safelight.extracted_from": " ".join(sorted(self.tuned.digests))},
            {target.module: original[target.module] for target in adapters if target.module in original},
        )
        size = round(len(lora.data) / 1e6, 3)
        return ExtractedLora(lora, {"layers": len(adapters), "megabytes": size, "kept": share})

    def _networks(self, ctx: Context) -> list[tuple[Part, nn.Module, nn.Module]]:
        """Load the networks to compare, in float32 on the CPU: for each part, the tuned and the base one.

        Raises:
            NodeError: a text encoder is missing, or the models are of different families.
        """
        if (self.tuned_encoder is None) != (self.base_encoder is None):
            missing = "tuned_encoder" if self.tuned_encoder is None else "base_encoder"
            hint = "connect both text encoders, or neither"
            raise NodeError(f"`{missing}` is not connected", hint=hint, input=missing, code="missing_encoder")
        for input, one in (("tuned", self.tuned), ("tuned_encoder", self.tuned_encoder)):
            if one is not None and one.checkpoint.family != self.base.checkpoint.family:
                families = f"{one.checkpoint.family} and {self.base.checkpoint.family}"
                message = f"the models are of different families: {families}"
                raise NodeError(message, input=input, code="wrong_family")
        (component,) = self.base.components
        found: list[tuple[Part, nn.Module, nn.Module]] = [
            (component, self.tuned.exact(ctx.files), self.base.exact(ctx.files))
        ]
        if self.tuned_encoder is not None and self.base_encoder is not None:
            pairs = zip(self.tuned_encoder.exact(ctx.files), self.base_encoder.exact(ctx.files), strict=True)
            found += [(one.role.component, one.encoder, other.encoder) for one, other in pairs]
        return found


def _weights(changes: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Select the weights of linear layers and convolutions from `changes`; returns them by layer name."""
    from torch import nn

    layers = {name for name, module in network.named_modules() if type(module) in (nn.Linear, nn.Conv2d)}
    named = {
        name.removesuffix(".weight"): change for name, change in changes.items() if name.endswith(".weight")
    }
    return {name: change for name, change in named.items() if name in layers}
