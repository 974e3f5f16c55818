"""Encodes pictures to latents, once before a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from engine.context import Context
from engine.errors import NodeError
from engine.files import Files
from nodes.files.checkpoints import Checkpoint
from nodes.node_problem import node_problem
from nodes.picture_sets.dataset import Dataset, DatasetPicture
from nodes.sd.families.known import family_named
from nodes.values import Image

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from torch import Tensor

    from nodes.sd.fine_tuning.latents import CachedPicture, Sampling
    from nodes.sd.fine_tuning.prompts import CaptionedPicture

Resize = Literal["crop", "stretch", "none"]


class Sizes(NamedTuple):
    """The sizes of pictures, in pixels, that a model can be trained on."""

    step: int
    """Sides are multiples of this number."""
    most: int | None
    """The longest side; None for any."""

    @classmethod
    def of(cls, checkpoint: Checkpoint, files: Files) -> Self:
        """Return the sizes that a model can be trained on."""
        network, scale = family_named(checkpoint.family).network, checkpoint.vae_scale
        most = network.most_cells(checkpoint.files(files).configs[network.component])
        return cls(network.patch * scale, None if most is None else most * scale)

    def include(self, size: tuple[int, int]) -> bool:
        """Return whether the model can be trained on pictures of this width and height."""
        return not any(side % self.step for side in size) and (self.most is None or max(size) <= self.most)

    def __str__(self) -> str:
        limit = "" if self.most is None else f", up to {self.most}"
        return f"multiples of {self.step}{limit}"


def encoded_pictures(
    ctx: Context,
    vae: Any,
    dataset: Dataset,
    *,
    size: tuple[int, int],
    resize: Resize,
    sampling: Sampling,
    masks: bool,
    sizes: Sizes,
    seed: int,
    stage: str,
) -> list[CaptionedPicture]:
    """Encode the pictures of a dataset to latents, and keep their captions.

    Warns about pictures that are too small to have detail.

    Args:
        ctx: finds the files, shows the warning, and allows the run to be cancelled between two pictures.
        vae: the autoencoder, on the device.
        dataset: the pictures.
        size: the width and height to resize to, in pixels.
        resize: how to resize; `none` ignores `size`.
        sampling: how latents are drawn from the distribution that the VAE gives.
        masks: True to weight the loss by the mask of a picture or, without one, by its transparency.
        sizes: the sizes that the model can be trained on.
        seed: the seed of the latents if `sampling` is `once`.
        stage: the name of this work in the progress of the step.

    Raises:
        NodeError: a picture is missing, has changed or cannot be read; or the model cannot be trained on the
            size of a picture; or a mask is entirely black.
    """
    from nodes.sd.fine_tuning.prompts import CaptionedPicture

    found = []
    tiny: list[str] = []
    pictures = ctx.track(dataset.pictures, unit="pictures", stage=stage)
    for number, picture in enumerate(pictures):
        opened = dataset.open(ctx.files, picture)
        if min(opened.size) < sizes.step:
            tiny.append(f"{picture.name} is {opened.width} x {opened.height}")
        pixels = _resized(opened, size, resize)
        latents = _encoded(vae, pixels, picture.name, "dataset", sampling, sizes, seed + number)
        if masks:
            latents = latents._replace(weights=_weights(ctx, dataset, picture, size, resize, latents.mean))
        found.append(CaptionedPicture(latents, picture.caption, picture.columns))
    if tiny:
        more = f" and {len(tiny) - 1} more" if tiny[1:] else ""
        ctx.warn(f"too small to have detail, less than one cell of the latent: {tiny[0]}{more}")
    return found


def encoded_images(
    ctx: Context,
    vae: Any,
    images: Sequence[Image],
    *,
    size: tuple[int, int],
    resize: Resize,
    sampling: Sampling,
    sizes: Sizes,
    seed: int,
) -> list[CaptionedPicture]:
    """Encode class pictures to latents, without captions; the arguments are those of `encoded_pictures`.

    Raises:
        NodeError: the model cannot be trained on the size of a picture.
    """
    from nodes.sd.fine_tuning.prompts import CaptionedPicture

    found: list[CaptionedPicture] = []
    pictures = (image.pil(number) for image in images for number in range(len(image.pixels)))
    count = sum(len(image.pixels) for image in images)
    for picture in ctx.track(pictures, count, unit="pictures", stage="encoding class pictures"):
        place = f"class picture {len(found) + 1}"
        pixels = _resized(picture, size, resize)
        latents = _encoded(vae, pixels, place, "class_images", sampling, sizes, seed + len(found))
        found.append(CaptionedPicture(latents))
    return found


def _encoded(
    vae: Any, pixels: Picture, name: str, input: str, sampling: Sampling, sizes: Sizes, seed: int
) -> CachedPicture:
    """Encode one picture; `name` is its name in messages.

    Raises:
        NodeError: the model cannot be trained on the size of the picture.
    """
    import numpy as np

    from nodes.sd.fine_tuning.latents import CachedPicture, cached
    from nodes.sd.models.vae import encode_posterior

    if not sizes.include(pixels.size):
        raise NodeError(
            f"{name} is {pixels.width} x {pixels.height}; sides must be {sizes}",
            hint="set `resize` to crop, and `width` and `height` to sides that the model allows",
            input="resize",
            code="bad_size",
        )
    with node_problem(input=input):
        posterior = encode_posterior(vae, np.asarray(pixels)[None])
    return CachedPicture(*cached(posterior, sampling, seed))


def _resized(picture: Picture, size: tuple[int, int], resize: Resize) -> Picture:
    from PIL import Image, ImageOps

    if resize == "none" or picture.size == size:
        return picture
    if resize == "crop":
        return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    return picture.resize(size, Image.Resampling.BICUBIC)


def _weights(
    ctx: Context,
    dataset: Dataset,
    picture: DatasetPicture,
    size: tuple[int, int],
    resize: Resize,
    latent: Tensor,
) -> Tensor | None:
    """Resize the mask of a picture to the size of its latent, and scale it to a mean of 1.

    Returns None if the picture has no mask.

    Raises:
        NodeError: the mask is entirely black.
    """
    import numpy as np
    import torch
    from torch.nn import functional as F

    mask = dataset.mask(ctx.files, picture)
    if mask is None:
        return None
    levels = torch.from_numpy(np.asarray(_resized(mask, size, resize), np.float32).copy()) / 255
    weights = F.interpolate(levels[None, None], latent.shape[-2:], mode="area")[0]
    if not weights.any():
        raise NodeError(
            f"the mask of {picture.name} is entirely black, so the picture would have no effect",
            hint="paint the areas to train on white, or remove the picture from the dataset",
            input="dataset",
            code="empty_mask",
        )
    return weights / weights.mean()
