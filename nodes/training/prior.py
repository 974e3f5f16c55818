"""Prior preservation: class pictures beside the dataset, so that the model keeps what it knows of them."""

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
        task: the task of the training, whose networks and loss it shares.
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
        """The weighted loss of a batch of class pictures, a scalar with a gradient."""
        loss: Tensor = self._task.loss(draws, place)
        return loss * self._weight


def class_pictures(
    ctx: Context, vae: Any, node: TrainingProcess, size: tuple[int, int]
) -> list[CaptionedPicture]:
    """The class pictures as latents; empty if the user gives none.

    Args:
        ctx: the run may be cancelled between two pictures.
        vae: the autoencoder, on the device.
        node: the inputs.
        size: the width and height to train at, in pixels.

    Raises:
        NodeError: the prompt or the pictures are missing, or a picture has a size that cannot be encoded.
    """
    if not isinstance(node, PriorPreservation):
        return []
    if bool(node.class_images) != bool(node.class_prompt.strip()):
        missing = "class_prompt" if node.class_images else "class_images"
        raise NodeError(
            f"prior preservation needs `class_images` and `class_prompt`; `{missing}` is empty",
            hint="connect DrawClassPictures and write its prompt, such as `a dog`; leave both empty for none",
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
