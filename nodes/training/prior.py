"""Prior preservation: trains on class pictures beside the dataset, so that the model keeps that class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.context import Context
from engine.errors import NodeError
from nodes.training.pictures import Sizes, encoded_images
from nodes.training.training_settings import PriorPreservation, TrainingProcess

if TYPE_CHECKING:
    from torch import Tensor

    from nodes.sd.fine_tuning.prompts import CaptionedPicture
    from nodes.sd.fine_tuning.task import TrainingTask
    from nodes.sd.training_loop.loop import Batch
    from nodes.sd.training_loop.random_sources import RandomSources


class Prior:
    """Prior preservation: the loss of class pictures, which is added to the loss of the dataset.

    Args:
        task: the training task of the dataset; its networks and loss are used for the class pictures, too.
        pictures: the class pictures.
        node: the inputs.
    """

    def __init__(self, task: TrainingTask, pictures: list[CaptionedPicture], node: TrainingProcess) -> None:
        from nodes.sd.fine_tuning.prompts import Prompts
        from nodes.sd.training_loop.data_order import DataOrder

        assert isinstance(node, PriorPreservation)
        shapes = [tuple(picture.latents.mean.shape) for picture in pictures]
        order = DataOrder(shapes, node.batch, node.seed + 1)
        self._task: TrainingTask = task.with_pictures(pictures, Prompts("", [node.class_prompt]), order)
        self._weight: float = node.prior_weight

    def loss(self, draws: RandomSources, place: Batch) -> Tensor:
        """Compute the weighted loss of a batch of class pictures, a scalar with a gradient."""
        loss: Tensor = self._task.loss(draws, place)
        return loss * self._weight


def class_pictures(
    ctx: Context, vae: Any, node: TrainingProcess, size: tuple[int, int]
) -> list[CaptionedPicture]:
    """Encode the class pictures to latents; empty if the node has none.

    Args:
        ctx: finds the model's config, and allows the run to be cancelled between two pictures.
        vae: the autoencoder, on the device.
        node: the inputs.
        size: the width and height to train at, in pixels.

    Raises:
        NodeError: only one of the prompt and the pictures is given, or a picture has an unusable size.
    """
    if not isinstance(node, PriorPreservation):
        return []
    if bool(node.class_images) != bool(node.class_prompt.strip()):
        missing = "class_prompt" if node.class_images else "class_images"
        raise NodeError(
            f"prior preservation needs both `class_images` and `class_prompt`, but `{missing}` is empty",
            hint="connect DrawClassPictures and enter its prompt, such as `a dog`, or leave both empty",
            input=missing,
            code=f"missing_{missing}",
        )
    return encoded_images(
        ctx,
        vae,
        node.class_images,
        size=size,
        resize=node.resize,
        sampling=node.latent_sampling,
        sizes=Sizes.of(node.model.checkpoint, ctx.files),
        seed=node.seed,
    )
