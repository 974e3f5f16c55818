"""The training of an embedding: its vectors, and the files that it publishes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from nodes.files.embedding_files import Embeddings
from nodes.node_problem import node_problem
from nodes.sd.embeddings.embedding import Embedding
from nodes.training.job import TrainingJob, file_name, on_host
from nodes.training.run import MadeFile, TrainingRun
from nodes.values import Image

if TYPE_CHECKING:
    import torch
    from torch import nn

    from nodes.sd.embeddings.adam_state import AdamState
    from nodes.sd.fine_tuning.prompt_encoders import PromptEncoders
    from nodes.sd.fine_tuning.prompts import Prompts
    from nodes.sd.models.loaded_encoder import LoadedEncoder
    from nodes.sd.training.loop import Rate, Training
    from nodes.training.embedding_settings import EmbeddingTraining

LARGEST_GROWTH = 1000.0
"""Vectors this many times longer than the longest of the vocabulary are unusable."""


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
        from torch import nn

        super().__init__(node, ctx, 0 if node.embedding is None else node.embedding.step or 0)
        self._inputs = node
        self._good: tuple[int, Mapping[str, torch.Tensor]] | None = None
        self._encode_pictures()
        encoders = ctx.use(node.encoder)
        initial = {one.role.name: self._initial_vectors(one) for one in encoders}
        self._vectors = nn.ParameterDict(
            {name: nn.Parameter(rows.detach().float().clone()) for name, rows in initial.items()}
        )
        self._names = tuple(initial)  # the module sorts them
        encoder = self._prompt_encoders(encoders, initial)
        prompts = self._prompts(encoder)
        unet = ctx.use(node.model)
        self._prepare(unet, lambda texts: encoder.encode(texts, self.vectors), prompts)
        self._lengths = self._kept_lengths(encoders)
        self._limits = {
            one.role.name: LARGEST_GROWTH
            * float(one.encoder.get_input_embeddings().weight.float().norm(dim=1).max())
            for one in encoders
        }
        self._advise()

    @property
    def vectors(self) -> dict[str, torch.Tensor]:
        """The vectors as they are now, for each text encoder; they share the memory of the trained ones."""
        return {name: self._vectors[name] for name in self._names}

    def modules(self) -> Mapping[str, nn.Module]:
        """The vectors."""
        return {"embedding": self._vectors}

    def module_rates(self) -> Mapping[str, Rate]:
        """None: there is one module."""
        return {}

    def started(self, training: Training) -> None:
        """Continue with the optimizer's state of the embedding, if AdamW made it and continues it."""
        states = {} if self._inputs.embedding is None else self._inputs.embedding.optimizer or {}
        if self._node.optimizer in ("adam", "adamw") and states:
            for name, rows in self.vectors.items():
                training.optimizer.state[rows] = states[name].as_torch(rows)

    def problem(self, step: int) -> str | None:
        """A message if the vectors have become unusably long; otherwise None."""
        vectors = on_host(self.vectors)
        if any(float(rows.norm(dim=1).max()) > self._limits[name] for name, rows in vectors.items()):
            return f"the vectors became more than {LARGEST_GROWTH:g} times as long as those of words"
        self._good = step, vectors
        return None

    def copies(self, step: int) -> Iterable[MadeFile]:
        """The vectors after a step as an embedding file, and hidden in the last sample as A1111 does."""
        vectors = on_host(self.vectors)
        yield self._as_file(step, vectors)
        if self._sample is not None and len(vectors) == 1 and self._size[1] >= 64:
            from nodes.sd.embeddings.saved import as_png

            embedding = self._embedding(self.start + step, vectors)
            name = f"image_embeddings/{file_name(embedding.name)}-{step:06}.png"
            yield MadeFile(name, as_png(embedding, self._sample.pixels[0]))

    def last_good(self) -> Iterable[MadeFile]:
        """The last usable vectors."""
        return [] if self._good is None else [self._as_file(*self._good)]

    def after_step(self) -> None:
        """Give the vectors their length back, in place, if the user wants it."""
        for name, length in self._lengths.items():
            rows = self.vectors[name]
            rows.mul_(length / rows.norm(dim=1, keepdim=True).clamp(min=1e-12))

    def result(self, run: TrainingRun) -> TrainedEmbedding:
        """The embedding with its metadata, the curve and the report."""
        report = self.report(run)
        embedding = self._embedding(report["steps"], on_host(self.vectors))
        state = None if run.keeps_best else self._optimizer_state(run.training)
        return TrainedEmbedding(
            replace(embedding, optimizer=state), self.curve(run), {**report, "vectors": self._count}
        )

    def _optimizer_state(self, training: Training) -> dict[str, AdamState] | None:
        """The state of Adam; None for other optimizers, and if the vectors are averages."""
        from nodes.sd.embeddings.adam_state import AdamState

        if self._node.optimizer not in ("adam", "adamw") or training.average is not None:
            return None
        states = {name: training.optimizer.state.get(rows) for name, rows in self.vectors.items()}
        return {name: AdamState.from_torch(state) for name, state in states.items() if state} or None

    def _prompts(self, encoder: PromptEncoders) -> Prompts:
        """Check that all lines of the template contain the embedding, and return it."""
        from nodes.sd.fine_tuning.prompts import Prompts
        from nodes.sd.fine_tuning.templates import TEMPLATES, CaptionChanges, template_lines

        node = self._inputs
        lines = list(TEMPLATES[node.template])
        if node.template_text.strip():
            with node_problem(input="template_text"):
                lines = template_lines(node.template_text)
        self._warn_of_unknown_tags(lines)
        for line in lines:
            if not encoder.check(line.replace("[name]", node.name)):
                hint = "put spaces around [name], or choose a name of letters and digits"
                message = f"the template line {line!r} does not contain the embedding {node.name!r}"
                raise NodeError(message, hint=hint, input="name", code="unreadable_name")
        changes = CaptionChanges(node.shuffle_tags, node.drop_tags, node.keep_tags)
        return Prompts(node.name, lines, changes, node.template_once, node.seed)

    def _initial_vectors(self, loaded: LoadedEncoder) -> torch.Tensor:
        from nodes.sd.fine_tuning.initial_vectors import initial_vectors

        node = self._inputs
        role, tokenizer, encoder = loaded
        if node.embedding is None:
            with node_problem(input="vectors"):
                return initial_vectors(tokenizer, encoder, node.initial_text, node.vectors)
        width = encoder.get_input_embeddings().embedding_dim
        vectors = node.embedding.vectors.get(role.name)
        if vectors is None or vectors.shape[1] != width:
            found = ", ".join(f"{name} {rows.shape[1]}" for name, rows in node.embedding.vectors.items())
            message = (
                f"the embedding {node.embedding.name!r} has vectors of {found}; the model needs {role.name}"
                f" {width}"
            )
            raise NodeError(message, input="embedding", code="wrong_width")
        return vectors.to(encoder.device)

    def _prompt_encoders(
        self, encoders: Sequence[LoadedEncoder], vectors: Mapping[str, torch.Tensor]
    ) -> PromptEncoders:
        """The encoders of prompts that know this embedding, and those of the text encoder."""
        from nodes.sd.fine_tuning.prompt_encoders import PromptEncoders

        node = self._inputs
        own = Embeddings(made=(Embedding(node.name, vectors),))
        known = replace(node.encoder, embeddings=own + node.encoder.embeddings)
        catalogue = known.triggers(self._ctx.files)
        match = catalogue.match(node.name, 0)
        if match is None or match[1] != len(node.name):
            hint = "use letters, digits, spaces and any of ._-"
            raise NodeError(
                f"{node.name!r} cannot be the name of an embedding", hint=hint, input="name", code="bad_name"
            )
        return PromptEncoders(encoders, catalogue, match[0], dialect=node.dialect, clip_skip=node.clip_skip)

    @property
    def _count(self) -> int:
        """The number of vectors."""
        return max(map(len, self.vectors.values()))

    def _kept_lengths(self, encoders: Sequence[LoadedEncoder]) -> dict[str, torch.Tensor]:
        """The length to give back to the vectors of each text encoder; empty if they may change it."""
        keep = self._inputs.keep_length
        if keep == "off":
            return {}
        lengths: dict[str, torch.Tensor] = {}
        for one in encoders:
            rows = self.vectors[one.role.name].detach()
            if keep == "vocabulary":
                rows = one.encoder.get_input_embeddings().weight.detach().float()
            own = rows.norm(dim=1, keepdim=True)
            lengths[one.role.name] = own.median() if keep == "vocabulary" else own.clone()
        return lengths

    def _advise(self) -> None:
        """Warn about settings that rarely work."""
        pictures, vectors = len(self._pictures), self._count
        if pictures == 1:
            self._ctx.warn("the dataset has one picture; the embedding will also learn its background")
        elif pictures < 2 * vectors:
            self._ctx.warn(f"{vectors} vectors are many for {pictures} pictures; fewer may learn better")
        if self._node.steps and not self.steps:
            self._ctx.warn(f"there is nothing to train: the embedding has had {self.start} steps already")

    def _as_file(self, step: int, vectors: Mapping[str, torch.Tensor]) -> MadeFile:
        from nodes.sd.embeddings.saved import as_safetensors

        embedding = self._embedding(self.start + step, vectors)
        return MadeFile(
            f"embeddings/{file_name(embedding.name)}-{step:06}.safetensors", as_safetensors(embedding)
        )

    def _embedding(self, step: int, vectors: Mapping[str, torch.Tensor]) -> Embedding:
        node, checkpoint = self._inputs, self._inputs.model.checkpoint
        notes = self.notes() | {"safelight.vectors": str(self._count)}
        if node.embedding is None and node.initial_text:
            notes["safelight.initial_text"] = node.initial_text
        return Embedding(node.name, vectors, step, checkpoint.digest[:10], checkpoint.name, notes)
