"""TrainPivotal: trains a LoRA and an embedding together (pivotal tuning)."""

from __future__ import annotations

from engine.context import Context
from engine.files import Files
from engine.values import Json
from nodes.files.lora_files import lora_digest
from nodes.node_problem import node_problem
from nodes.training.lora_settings import PivotalTraining
from nodes.training.pivotal_job import PivotalJob, TrainedPivotal


class TrainPivotal(
    PivotalTraining,
    category="training",
    accelerator=True,
    libraries=("torch", "diffusers", "transformers", "tokenizers", "pillow"),
    extends=("steps", "checkpoint_every", "copy_every", "sample_every", "sample_prompts", "tensorboard"),
):
    """Train a LoRA and an embedding together: a new word, and the changes of the model that it needs.

    Often keeps a subject more exactly than either alone (pivotal tuning). Connect `lora` to ApplyLoRA and
    `embedding` to LoadEmbeddings; they belong together. When a training was stopped, failed or was killed,
    the next run continues it from its last checkpoint, with the same result.
    """

    def fingerprint(self, files: Files) -> Json:
        """Return the digest of the file of `initial`; None if that input is empty.

        Raises:
            NodeError: the file does not exist, or is not a usable LoRA.
        """
        return lora_digest(files, self.initial, input="initial") if self.initial else None

    def run(self, ctx: Context) -> TrainedPivotal:
        with node_problem():
            job = PivotalJob(self, ctx)
            return job.pivotal_result(job.run())
