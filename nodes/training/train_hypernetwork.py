"""TrainHypernetwork: trains a hypernetwork on a dataset."""

from __future__ import annotations

from engine.context import Context
from nodes.node_problem import node_problem
from nodes.training.hypernetwork_job import HypernetworkJob, TrainedHypernetwork
from nodes.training.hypernetwork_settings import HypernetworkTraining


class TrainHypernetwork(
    HypernetworkTraining,
    category="training",
    accelerator=True,
    libraries=("torch", "diffusers", "transformers", "tokenizers", "pillow"),
    extends=("steps", "checkpoint_every", "copy_every", "sample_every", "sample_prompts", "tensorboard"),
):
    """Train a hypernetwork as A1111 does: small networks before the keys and values of attention.

    A LoRA of the same size learns more; train hypernetworks to use them in A1111. Connect `hypernetwork` to
    ApplyHypernetwork's `trained`, or to SaveHypernetwork. When a training was stopped, failed or was killed,
    the next run continues it from its last checkpoint, with the same result.
    """

    def run(self, ctx: Context) -> TrainedHypernetwork:
        with node_problem():
            job = HypernetworkJob(self, ctx)
            return job.result(job.run())
