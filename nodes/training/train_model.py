"""TrainModel: trains all weights of a model on a dataset (full fine-tuning, Dreambooth)."""

from __future__ import annotations

from engine.context import Context
from nodes.node_problem import node_problem
from nodes.training.model_job import ModelJob, TrainedModel
from nodes.training.model_settings import ModelTraining


class TrainModel(
    ModelTraining,
    category="training",
    accelerator=True,
    libraries=("torch", "diffusers", "transformers", "tokenizers", "pillow"),
    extends=("steps", "checkpoint_every", "copy_every", "sample_every", "sample_prompts", "tensorboard"),
    aliases=("Dreambooth", "FineTune"),
):
    """Train the whole UNet or transformer of a model on pictures (full fine-tuning, Dreambooth).

    Connect `model` to Denoise, or to SaveModel for a checkpoint; ExtractLoRA makes a LoRA of it. It needs
    memory for four copies of the model in float32; TrainLoRA needs far less. When a training was stopped,
    failed or was killed, the next run continues it from its last checkpoint, with the same result.
    """

    def run(self, ctx: Context) -> TrainedModel:
        with node_problem():
            job = ModelJob(self, ctx)
            return job.result(job.run())
