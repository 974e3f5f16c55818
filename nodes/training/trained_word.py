"""The vectors of a word in training, and the encoders of prompts that contain it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.context import Context
from engine.errors import NodeError
from nodes.files.embedding_files import Embeddings
from nodes.node_problem import node_problem
from nodes.sd.embeddings.embedding import Embedding
from nodes.sd.families.known import family_named
from nodes.training.encoders import prompt_encoders
from nodes.training.job import on_host

if TYPE_CHECKING:
    import torch

    from nodes.sd.fine_tuning.prompt_encoders import EncodedBatch, PromptEncoders
    from nodes.sd.models.loaded_encoder import LoadedEncoder
    from nodes.training.word_settings import WordTraining

LARGEST_GROWTH = 1000.0
"""Vectors this many times longer than the longest of the vocabulary are unusable."""


class TrainedWord:
    """The vectors of an embedding in training.

    Args:
        node: the inputs.
        ctx: the context of the step.
        encoders: the text encoders, from whose vocabularies the initial vectors come.
        used: the text encoders that encode prompts, such as those with a LoRA; None for `encoders`.

    Raises:
        NodeError: the name, the initial text or the embedding to continue cannot be used.
    """

    def __init__(
        self,
        node: WordTraining,
        ctx: Context,
        encoders: Sequence[LoadedEncoder],
        used: Sequence[LoadedEncoder] | None = None,
    ) -> None:
        from torch import nn

        self._node = node
        initial: dict[str, torch.Tensor] = {}
        for one in encoders:  # as many vectors for T5, which splits words in other ways, as for CLIP
            count = node.vectors or max(map(len, initial.values()), default=0)
            initial[one.role.name] = self._initial_vectors(one, count)
        self.module = nn.ParameterDict(
            {name: nn.Parameter(rows.detach().float().clone()) for name, rows in initial.items()}
        )
        self._names = tuple(initial)  # the module sorts them
        self._limits: dict[str, float] = {
            one.role.name: LARGEST_GROWTH
            * float(one.encoder.get_input_embeddings().weight.float().norm(dim=1).max())
            for one in encoders
        }
        self._prompts = self._prompt_encoders(ctx, encoders if used is None else used, initial)

    @property
    def vectors(self) -> dict[str, torch.Tensor]:
        """The current vectors by text encoder; they share the memory of the trained parameters."""
        return {name: self.module[name] for name in self._names}

    @property
    def count(self) -> int:
        """The number of vectors."""
        return max(map(len, self.vectors.values()))

    def encode(self, texts: Sequence[str]) -> EncodedBatch:
        """Encode a batch of prompts with the current vectors."""
        return self._prompts.encode(texts, self.vectors)

    def require_in(self, lines: Iterable[str], input: str) -> None:
        """Check that the lines of a template contain the word.

        Args:
            lines: the lines.
            input: the input of the node that holds the template, for messages.

        Raises:
            NodeError: a line does not contain the word, or cannot be parsed.
        """
        name = self._node.name
        for line in lines:
            with node_problem(input=input):
                found = self._prompts.check(line.replace("[name]", name))
            if not found:
                hint = "put spaces around [name], or choose a name of letters and digits"
                message = f"the template line {line!r} does not contain the embedding {name!r}"
                raise NodeError(message, hint=hint, input="name", code="unreadable_name")

    def problem(self) -> str | None:
        """Return a message if the vectors have become unusably long; otherwise None."""
        for name, rows in self.vectors.items():
            if not float(rows.detach().norm(dim=1).max()) <= self._limits[name]:  # also for NaN
                return f"the vectors became more than {LARGEST_GROWTH:g} times as long as those of words"
        return None

    def embedding(
        self, step: int, notes: Mapping[str, str], vectors: Mapping[str, torch.Tensor] | None = None
    ) -> Embedding:
        """Make an embedding of the vectors at a step of the training.

        Args:
            step: the number of steps done.
            notes: the settings of the training, for the metadata.
            vectors: the vectors by text encoder; None for the current ones.
        """
        node, checkpoint = self._node, self._node.model.checkpoint
        own = {**notes, "safelight.vectors": str(self.count)}
        if node.embedding is None and node.initial_text:
            own["safelight.initial_text"] = node.initial_text
        if len(self._names) > 1:
            own["modelspec.architecture"] = (
                f"{family_named(checkpoint.family).architecture}/textual-inversion"
            )
        rows = on_host(self.vectors) if vectors is None else vectors
        return Embedding(node.name, rows, step, checkpoint.digest[:10], checkpoint.name, own)

    def _initial_vectors(self, loaded: LoadedEncoder, count: int) -> torch.Tensor:
        from nodes.sd.fine_tuning.initial_vectors import initial_vectors

        node = self._node
        role, tokenizer, encoder = loaded
        if node.embedding is None:
            with node_problem(input="vectors"):
                return initial_vectors(tokenizer, encoder, node.initial_text, count)
        width = encoder.get_input_embeddings().embedding_dim
        vectors = node.embedding.vectors.get(role.name)
        if vectors is None or vectors.shape[1] != width:
            found = ", ".join(f"{name} {rows.shape[1]}" for name, rows in node.embedding.vectors.items())
            message = (
                f"the embedding {node.embedding.name!r} has vectors of the widths {found}; the model needs"
                f" {role.name} {width}"
            )
            raise NodeError(message, input="embedding", code="wrong_width")
        return vectors.to(encoder.device)

    def _prompt_encoders(
        self, ctx: Context, encoders: Sequence[LoadedEncoder], vectors: Mapping[str, torch.Tensor]
    ) -> PromptEncoders:
        """Make encoders of prompts that know this embedding, and those loaded into the text encoder."""
        node = self._node
        own = Embeddings(made=(Embedding(node.name, vectors),))
        known = replace(node.encoder, embeddings=own + node.encoder.embeddings)
        catalogue = known.triggers(ctx.files)
        match = catalogue.match(node.name, 0)
        if match is None or match[1] != len(node.name) or "AND" in node.name.split():
            hint = "use letters, digits, spaces and any of ._-"
            raise NodeError(
                f"{node.name!r} cannot be the name of an embedding", hint=hint, input="name", code="bad_name"
            )
        return prompt_encoders(node, ctx, encoders, catalogue, match[0])
