"""TrainLoRA: trains a LoRA on a dataset."""

from __future__ import annotations

from engine.context import Context
from engine.files import Files
from engine.values import Json
from nodes.files.lora_files import lora_digest
from nodes.node_problem import node_problem
from nodes.training.lora_job import LoraJob, TrainedLora
from nodes.training.lora_settings import PlainLoraTraining


class TrainLoRA(
    PlainLoraTraining,
    category="training",
    accelerator=True,
    libraries=("torch", "diffusers", "transformers", "tokenizers", "pillow"),
    extends=("steps", "checkpoint_every", "copy_every", "sample_every", "sample_prompts", "tensorboard"),
    aliases=("TrainDoRA", "TrainLoCon", "TrainLoHa", "TrainLoKr", "LyCORIS"),
):
    """Train a LoRA: teach a model a style or a subject from pictures with captions.

    Also trains LoCon, LoHa, LoKr and DoRA. Connect `lora` to ApplyLoRA's `trained`, or to SaveLoRA. When a
    training was stopped, failed or was killed, the next run continues it from its last checkpoint, with the
    same result.
    """

    def fingerprint(self, files: Files) -> Json:
        """Return the digest of the file of `initial`; None if that input is empty.

        Raises:
            NodeError: the file does not exist, or is not a usable LoRA.
        """
        return lora_digest(files, self.initial, input="initial") if self.initial else None

    def run(self, ctx: Context) -> TrainedLora:
        with node_problem():
            job = LoraJob(self, ctx)
            return job.result(job.run())
