"""The training of an embedding: its vectors, and the files that it publishes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.context import Context
from nodes.node_problem import node_problem
from nodes.sd.embeddings.embedding import Embedding
from nodes.training.job import TrainingJob, on_host
from nodes.training.run import MadeFile, TrainingRun
from nodes.training.trained_word import TrainedWord
from nodes.values import Image

if TYPE_CHECKING:
    import torch
    from torch import nn

    from nodes.sd.embeddings.adam_state import AdamState
    from nodes.sd.fine_tuning.prompts import Prompts
    from nodes.sd.models.loaded_encoder import LoadedEncoder
    from nodes.sd.training_loop.loop import Rate, Training
    from nodes.training.embedding_settings import EmbeddingTraining


class TrainedEmbedding(NamedTuple):
    """A trained embedding, with the loss curve and the report of its training."""

    embedding: Embedding
    curve: Image
    """The losses by step; the validation losses are orange."""
    report: dict[str, Any]
    """`steps`, `epochs`, `pictures`, `vectors`, `loss` (of the last 100 steps), `validation_loss`, `gap`
    (validation loss minus the loss of equally treated training pictures), `best_step`, `test_loss`."""


class EmbeddingJob(TrainingJob):
    """Trains the vectors of an embedding.

    Args:
        node: the inputs.
        ctx: the context of the step.
    """

    def __init__(self, node: EmbeddingTraining, ctx: Context) -> None:
        super().__init__(node, ctx, 0 if node.embedding is None else node.embedding.step or 0)
        self._inputs = node
        self._good: tuple[int, Mapping[str, torch.Tensor]] | None = None
        self._encode_pictures()
        encoders, unet = self._networks()
        self._word = TrainedWord(node, ctx, encoders)
        prompts = self._prompts()
        self._prepare(unet, self._word.encode, prompts)
        self._lengths = self._kept_lengths(encoders)
        self._advise()

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the module of the vectors, as `embedding`."""
        return {"embedding": self._word.module}

    def module_rates(self) -> Mapping[str, Rate]:
        """Return an empty dict: the only module is trained at `rate`."""
        return {}

    def started(self, training: Training) -> None:
        """Restore Adam's state from the embedding, if it has one and the optimizer is Adam or AdamW."""
        states = {} if self._inputs.embedding is None else self._inputs.embedding.optimizer or {}
        if self._node.optimizer in ("adam", "adamw") and states:
            for name, rows in self._word.vectors.items():
                training.optimizer.state[rows] = states[name].as_torch(rows)

    def problem(self, step: int) -> str | None:
        """Return a message if the vectors have become unusably long; otherwise None."""
        if (problem := self._word.problem()) is not None:
            return problem
        self._good = step, on_host(self._word.vectors)
        return None

    def copies(self, step: int) -> Iterable[MadeFile]:
        """Yield an embedding file of the vectors after a step, and the last sample with them hidden in it.

        The picture is that of A1111. It is left out before the first sample, for several text encoders, and
        if it is less than 64 pixels high.
        """
        vectors = on_host(self._word.vectors)
        yield self._as_file(step, vectors)
        if self._sample is not None and len(vectors) == 1 and self._size[1] >= 64:
            from nodes.sd.embeddings.saved import as_png

            embedding = self._word.embedding(self.start + step, self.notes(), vectors)
            name = f"image_embeddings/{embedding.name}-{step:06}.png"
            yield MadeFile(name, as_png(embedding, self._sample.pixels[0]))

    def last_good(self) -> Iterable[MadeFile]:
        """Return an embedding file of the last usable vectors; empty if there are none."""
        return [] if self._good is None else [self._as_file(*self._good)]

    def after_step(self) -> None:
        """Scale the vectors to the length that `keep_length` chooses, in place; do nothing if it is off."""
        for name, length in self._lengths.items():
            rows = self._word.vectors[name]
            rows.mul_(length / rows.norm(dim=1, keepdim=True).clamp(min=1e-12))

    def result(self, run: TrainingRun) -> TrainedEmbedding:
        """Return the trained embedding with its metadata, the loss curve and the report."""
        report = self.report(run)
        embedding = self._word.embedding(report["steps"], self.notes())
        state = None if run.keeps_best else self._optimizer_state(run.training)
        return TrainedEmbedding(
            replace(embedding, optimizer=state), self.curve(run), {**report, "vectors": self._word.count}
        )

    def _optimizer_state(self, training: Training) -> dict[str, AdamState] | None:
        """Return Adam's state for each text encoder; None for other optimizers and for averaged vectors."""
        from nodes.sd.embeddings.adam_state import AdamState

        if self._node.optimizer not in ("adam", "adamw") or training.average is not None:
            return None
        states = {name: training.optimizer.state.get(rows) for name, rows in self._word.vectors.items()}
        return {name: AdamState.from_torch(state) for name, state in states.items() if state} or None

    def _prompts(self) -> Prompts:
        """Read the template, and check that each of its lines contains the embedding."""
        from nodes.sd.fine_tuning.prompts import Prompts
        from nodes.sd.fine_tuning.templates import TEMPLATES, CaptionChanges, template_lines

        node = self._inputs
        lines = list(TEMPLATES[node.template])
        if node.template_text.strip():
            with node_problem(input="template_text"):
                lines = template_lines(node.template_text)
        self._warn_of_unknown_tags(lines)
        self._word.require_in(lines, "template_text" if node.template_text.strip() else "name")
        changes = CaptionChanges(node.shuffle_tags, node.drop_tags, node.keep_tags)
        return Prompts(node.name, lines, changes, node.template_once, node.seed)

    def _kept_lengths(self, encoders: Sequence[LoadedEncoder]) -> dict[str, torch.Tensor]:
        """Return the length to keep of the vectors, by text encoder; empty if `keep_length` is off."""
        keep = self._inputs.keep_length
        if keep == "off":
            return {}
        lengths: dict[str, torch.Tensor] = {}
        for one in encoders:
            rows = self._word.vectors[one.role.name].detach()
            if keep == "vocabulary":
                rows = one.encoder.get_input_embeddings().weight.detach().float()
            own = rows.norm(dim=1, keepdim=True)
            lengths[one.role.name] = own.median() if keep == "vocabulary" else own.clone()
        return lengths

    def _advise(self) -> None:
        """Warn about settings that rarely give a good embedding."""
        pictures, vectors = len(self._pictures), self._word.count
        if pictures == 1:
            self._ctx.warn("the dataset has one picture; the embedding will also learn its background")
        elif pictures < 2 * vectors:
            self._ctx.warn(
                f"{vectors} vectors are many for {pictures} pictures; fewer vectors may learn better"
            )
        if self._node.steps and not self.steps:
            self._ctx.warn(f"there is nothing to train: the embedding already has {self.start} steps")

    def _as_file(self, step: int, vectors: Mapping[str, torch.Tensor]) -> MadeFile:
        from nodes.sd.embeddings.saved import as_safetensors

        embedding = self._word.embedding(self.start + step, self.notes(), vectors)
        return MadeFile(f"embeddings/{embedding.name}-{step:06}.safetensors", as_safetensors(embedding))
