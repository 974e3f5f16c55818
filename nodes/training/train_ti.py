"""TrainTI: trains the vectors of an embedding on a dataset (textual inversion)."""

from __future__ import annotations

from engine.context import Context
from nodes.node_problem import node_problem
from nodes.training.embedding_job import EmbeddingJob, TrainedEmbedding
from nodes.training.embedding_settings import EmbeddingTraining


class TrainTI(
    EmbeddingTraining,
    category="training",
    accelerator=True,
    libraries=("torch", "diffusers", "transformers", "tokenizers", "pillow"),
    extends=("steps", "checkpoint_every", "copy_every", "sample_every", "sample_prompts", "tensorboard"),
    aliases=("TextualInversion", "TrainEmbedding"),
):
    """Train an embedding: teach a new word what the pictures show (textual inversion).

    Connect `embedding` to LoadEmbeddings and write the name in a prompt. When a training was stopped, failed
    or was killed, the next run continues it from its last checkpoint, with the same result.
    """

    def run(self, ctx: Context) -> TrainedEmbedding:
        with node_problem():
            job = EmbeddingJob(self, ctx)
            return job.result(job.run())
