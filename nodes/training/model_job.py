"""The training of a whole UNet or transformer; the result is stored as a patch of the original model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.context import Context
from nodes.files.patch_files import LORAS, Patch, PatchFile
from nodes.node_problem import node_problem
from nodes.sd.lora.lora_value import LoRA
from nodes.training.checks import require_captions, require_no_hypernetworks
from nodes.training.encoders import prompt_encoders
from nodes.training.job import TrainingJob
from nodes.training.lora_metadata import lora_metadata
from nodes.training.run import MadeFile, TrainingRun
from nodes.values import Image, Model

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nodes.sd.fine_tuning.prompts import Prompts
    from nodes.sd.training_loop.loop import Rate
    from nodes.training.model_settings import ModelTraining

LARGEST = 1e4
"""Weights beyond this are unusable; those of models are below 100."""
_GOOD_EVERY = 100
"""The steps between two copies of the weights, which are kept in case later weights are unusable."""


class TrainedModel(NamedTuple):
    """A trained model, with the loss curve and the report of its training."""

    model: Model
    curve: Image
    """The losses by step; the validation losses are orange."""
    report: dict[str, Any]
    """`steps`, `epochs`, `pictures`, `megabytes` (of the changes in float32), `loss` (of the last 100 steps),
    `validation_loss`, `gap` (validation loss minus the loss of equally treated training pictures),
    `best_step`, `stopped_early`, `test_loss`."""


class ModelJob(TrainingJob):
    """Trains all weights of a UNet or transformer, in float32. The text encoder is not trained.

    Args:
        node: the inputs.
        ctx: the context of the step.
    """

    _base: nn.Module
    """The UNet or transformer before the training."""

    def __init__(self, node: ModelTraining, ctx: Context) -> None:
        import copy

        super().__init__(node, ctx)
        self._inputs = node
        require_no_hypernetworks(node.model)
        if not node.trigger.strip():
            require_captions(node.dataset, hint="write NAME.txt beside each picture, or give a `trigger`")
        self._encode_pictures()
        encoders, self._base = self._networks()
        self._trained = copy.deepcopy(self._base).float().requires_grad_(True)
        encoder = prompt_encoders(node, ctx, encoders, node.encoder.triggers(ctx.files))
        self._good: tuple[int, LoRA] | None = None
        dtype = next(self._base.parameters()).dtype
        self._prepare(
            self._trained,
            lambda texts: encoder.encode(texts, {}),
            self._prompts(),
            fixed_text=True,
            autocast=None if dtype.itemsize >= 4 else dtype,
        )

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the UNet or transformer, by its name in the diffusers layout."""
        return {self._network.component: self._trained}

    def module_rates(self) -> Mapping[str, Rate]:
        """Return an empty dict: the only module is trained at `rate`."""
        return {}

    def problem(self, step: int) -> str | None:
        """Return a message if the weights have become unusable; otherwise None."""
        from nodes.sd.fine_tuning.usable import usable

        if not usable(self._trained.parameters(), LARGEST):
            return f"weights of the model became larger than {LARGEST:g}"
        if step % _GOOD_EVERY == 0:
            self._good = step, self._changes(step)
        return None

    def copies(self, step: int) -> Iterable[MadeFile]:
        """Yield a file with the changes of the weights after a step."""
        yield self._as_file(step, self._changes(step))

    def last_good(self) -> Iterable[MadeFile]:
        """Return a file of the last usable changes that were kept; empty if there are none."""
        return [] if self._good is None else [self._as_file(*self._good)]

    def result(self, run: TrainingRun) -> TrainedModel:
        """Return the model with its changes as a patch, the loss curve and the report."""
        report = self.report(run)
        changes = self._changes(report["steps"])
        model = self._inputs.model
        if changes.tensors:
            patch = Patch(PatchFile(LORAS, changes.digest, changes.name, made=changes), 1.0)
            model = replace(model, patches=(*model.patches, patch))
        size = {"megabytes": round(len(changes.data) / 1e6, 3)}
        return TrainedModel(model, self.curve(run), {**report, **size})

    def _prompts(self) -> Prompts:
        from nodes.sd.fine_tuning.prompts import Prompts
        from nodes.sd.fine_tuning.templates import CaptionChanges

        node = self._inputs
        lines = ["[name], [filewords]" if node.trigger else "[filewords]"]
        if not all(picture.caption.strip() for picture in node.dataset.pictures):
            lines = ["[name]"]
        changes = CaptionChanges(node.shuffle_tags, node.drop_tags, node.keep_tags)
        return Prompts(node.trigger, lines, changes, dropout=node.drop_captions)

    def _changes(self, step: int) -> LoRA:
        """Compute the change of each weight and bias by the training."""
        from nodes.sd.lora.extraction import differences, whole_adapters
        from nodes.sd.lora.keys import Target
        from nodes.sd.lora.written import named_tensors

        node = self._inputs
        with node_problem(input="model"):
            adapters = whole_adapters(differences(self._trained, self._base), self._base)
        metadata = {
            **self.notes(),
            **lora_metadata(node.name, node.model.checkpoint, "lycoris.kohya", 0, 0),
            "safelight.step": str(step),
            "ss_network_args": '{"algo": "full"}',
            "ss_steps": str(step),
        }
        tensors: dict[str, Tensor] = named_tensors(
            {Target(self._network.component, layer): one for layer, one in adapters.items()}
        )
        return LoRA(node.name, tensors, metadata)

    def _as_file(self, step: int, changes: LoRA) -> MadeFile:
        from nodes.sd.lora.written import as_kohya

        return MadeFile(f"models/{changes.name}-{step:06}.safetensors", as_kohya(changes))
