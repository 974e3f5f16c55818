"""The training of an embedding: its vectors, and the files that it publishes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.context import Context
from nodes.node_problem import node_problem
from nodes.sd.embeddings.embedding import Embedding
from nodes.training.job import TrainingJob, file_name, on_host
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
        """The vectors."""
        return {"embedding": self._word.module}

    def module_rates(self) -> Mapping[str, Rate]:
        """None: there is one module."""
        return {}

    def started(self, training: Training) -> None:
        """Continue with the optimizer's state of the embedding, if AdamW made it and continues it."""
        states = {} if self._inputs.embedding is None else self._inputs.embedding.optimizer or {}
        if self._node.optimizer in ("adam", "adamw") and states:
            for name, rows in self._word.vectors.items():
                training.optimizer.state[rows] = states[name].as_torch(rows)

    def problem(self, step: int) -> str | None:
        """A message if the vectors have become unusably long; otherwise None."""
        if (problem := self._word.problem()) is not None:
            return problem
        self._good = step, on_host(self._word.vectors)
        return None

    def copies(self, step: int) -> Iterable[MadeFile]:
        """The vectors after a step as an embedding file, and hidden in the last sample as A1111 does."""
        vectors = on_host(self._word.vectors)
        yield self._as_file(step, vectors)
        if self._sample is not None and len(vectors) == 1 and self._size[1] >= 64:
            from nodes.sd.embeddings.saved import as_png

            embedding = self._word.embedding(self.start + step, self.notes(), vectors)
            name = f"image_embeddings/{file_name(embedding.name)}-{step:06}.png"
            yield MadeFile(name, as_png(embedding, self._sample.pixels[0]))

    def last_good(self) -> Iterable[MadeFile]:
        """The last usable vectors."""
        return [] if self._good is None else [self._as_file(*self._good)]

    def after_step(self) -> None:
        """Give the vectors their length back, in place, if the user wants it."""
        for name, length in self._lengths.items():
            rows = self._word.vectors[name]
            rows.mul_(length / rows.norm(dim=1, keepdim=True).clamp(min=1e-12))

    def result(self, run: TrainingRun) -> TrainedEmbedding:
        """The embedding with its metadata, the curve and the report."""
        report = self.report(run)
        embedding = self._word.embedding(report["steps"], self.notes())
        state = None if run.keeps_best else self._optimizer_state(run.training)
        return TrainedEmbedding(
            replace(embedding, optimizer=state), self.curve(run), {**report, "vectors": self._word.count}
        )

    def _optimizer_state(self, training: Training) -> dict[str, AdamState] | None:
        """The state of Adam; None for other optimizers, and if the vectors are averages."""
        from nodes.sd.embeddings.adam_state import AdamState

        if self._node.optimizer not in ("adam", "adamw") or training.average is not None:
            return None
        states = {name: training.optimizer.state.get(rows) for name, rows in self._word.vectors.items()}
        return {name: AdamState.from_torch(state) for name, state in states.items() if state} or None

    def _prompts(self) -> Prompts:
        """Check that all lines of the template contain the embedding, and return it."""
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
        """The length to give back to the vectors of each text encoder; empty if they may change it."""
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
        """Warn about settings that rarely work."""
        pictures, vectors = len(self._pictures), self._word.count
        if pictures == 1:
            self._ctx.warn("the dataset has one picture; the embedding will also learn its background")
        elif pictures < 2 * vectors:
            self._ctx.warn(f"{vectors} vectors are many for {pictures} pictures; fewer may learn better")
        if self._node.steps and not self.steps:
            self._ctx.warn(f"there is nothing to train: the embedding has had {self.start} steps already")

    def _as_file(self, step: int, vectors: Mapping[str, torch.Tensor]) -> MadeFile:
        from nodes.sd.embeddings.saved import as_safetensors

        embedding = self._word.embedding(self.start + step, self.notes(), vectors)
        return MadeFile(
            f"embeddings/{file_name(embedding.name)}-{step:06}.safetensors", as_safetensors(embedding)
        )
