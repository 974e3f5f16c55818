"""Pivotal tuning: the training of a LoRA together with an embedding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from nodes.node_problem import node_problem
from nodes.sd.embeddings.embedding import Embedding
from nodes.sd.lora.lora_value import LoRA
from nodes.training.job import parsed_rates
from nodes.training.lora_job import LoraJob
from nodes.training.lora_settings import PivotalTraining
from nodes.training.run import MadeFile, TrainingRun
from nodes.training.trained_word import TrainedWord
from nodes.values import Image

if TYPE_CHECKING:
    from torch import nn

    from nodes.sd.fine_tuning.prompts import Prompts
    from nodes.sd.fine_tuning.task import Encode
    from nodes.sd.models.loaded_encoder import LoadedEncoder
    from nodes.sd.training_loop.loop import Rate


class TrainedPivotal(NamedTuple):
    """A LoRA and an embedding that belong together, with the loss curve and the report of their training."""

    lora: LoRA
    embedding: Embedding
    curve: Image
    """The losses by step; the validation losses are orange."""
    report: dict[str, Any]
    """As that of TrainLoRA, with the number of `vectors`."""


class PivotalJob(LoraJob):
    """Trains the adapters of a LoRA and the vectors of a word.

    Args:
        node: the inputs.
        ctx: the context of the step.
    """

    def __init__(self, node: PivotalTraining, ctx: Context) -> None:
        self._word_inputs = node
        self._word_rates = parsed_rates(node.embedding_rate, "embedding_rate")
        self._good_embedding: Embedding | None = None
        super().__init__(node, ctx)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the modules of the LoRA, and the vectors as `embedding`."""
        return {**super().modules(), "embedding": self._word.module}

    def module_rates(self) -> Mapping[str, Rate]:
        """Return the rates of the text encoders, as `text`, and of the vectors, as `embedding`."""
        return {**super().module_rates(), "embedding": self._word_rates.at}

    def problem(self, step: int) -> str | None:
        """Return a message if the weights or the vectors have become unusable; otherwise None."""
        if (problem := self._word.problem()) is not None:
            return problem
        before = self._good
        problem = super().problem(step)
        if self._good is not before:
            self._good_embedding = self._word.embedding(step, self.notes())
        return problem

    def copies(self, step: int) -> Iterable[MadeFile]:
        """Yield a LoRA file and an embedding file of the state after a step."""
        yield from super().copies(step)
        yield _as_file(step, self._word.embedding(step, self.notes()))

    def last_good(self) -> Iterable[MadeFile]:
        """Yield files of the last usable LoRA and embedding that were kept; nothing if there are none."""
        yield from super().last_good()
        if self._good is not None and self._good_embedding is not None:
            yield _as_file(self._good[0], self._good_embedding)

    def pivotal_result(self, run: TrainingRun) -> TrainedPivotal:
        """Return the trained LoRA and embedding, the loss curve and the report."""
        lora, curve, report = self.result(run)
        embedding = self._word.embedding(report["steps"], self.notes())
        return TrainedPivotal(lora, embedding, curve, {**report, "vectors": self._word.count})

    @property
    def _trains_word(self) -> bool:
        """True: an embedding is trained together with the LoRA."""
        return True

    @property
    def _trigger(self) -> str:
        """The name of the LoRA, which is also the trigger of the embedding."""
        return self._inputs.name

    def _check_rates(self) -> None:
        """Check that the rates suit Prodigy, which finds one rate for all weights.

        Raises:
            NodeError: the optimizer is Prodigy, and `embedding_rate` differs from `rate`; or as in `LoraJob`.
        """
        if self._node.optimizer == "prodigy" and self._word_rates != self.rates:
            raise NodeError(
                "prodigy needs the same rate for the LoRA and the embedding",
                hint="set `embedding_rate` to the same as `rate`, or choose another optimizer",
                input="embedding_rate",
                code="one_rate",
            )
        super()._check_rates()

    def _encode(self, encoders: Sequence[LoadedEncoder], adapted: Sequence[LoadedEncoder]) -> Encode:
        """Make the function that encodes prompts with the adapters and the vectors; see `LoraJob._encode`."""
        self._word = TrainedWord(self._word_inputs, self._ctx, encoders, adapted)
        return self._word.encode

    def _prompts(self) -> Prompts:
        from nodes.sd.fine_tuning.prompts import Prompts
        from nodes.sd.fine_tuning.templates import CaptionChanges, template_lines

        node = self._word_inputs
        lines = ["[name], [filewords]"]
        if node.template_text.strip():
            with node_problem(input="template_text"):
                lines = template_lines(node.template_text)
        self._warn_of_unknown_tags(lines)
        self._word.require_in(lines, "template_text" if node.template_text.strip() else "name")
        changes = CaptionChanges(node.shuffle_tags, node.drop_tags, node.keep_tags)
        return Prompts(node.name, lines, changes, dropout=node.drop_captions)


def _as_file(step: int, embedding: Embedding) -> MadeFile:
    from nodes.sd.embeddings.saved import as_safetensors

    name = f"embeddings/{embedding.name}-{step:06}.safetensors"
    return MadeFile(name, as_safetensors(embedding))
