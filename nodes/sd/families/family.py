"""A model family as data: its networks, latents, noise and file layouts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from nodes.sd.families.key_tables import KeyTable
from nodes.sd.lora.keys import Part
from nodes.sd.sampling.names import Prediction

if TYPE_CHECKING:
    from torch import Tensor

Component = Part
"""A network of a model, by the name of its folder in the diffusers layout."""

EncoderName = Literal["clip_l", "clip_g", "clip_h", "t5"]
"""A text encoder, by its name in embedding files: CLIP ViT-L of OpenAI, OpenCLIP ViT-bigG and ViT-H, T5."""

Shapes = Mapping[str, tuple[int, ...]]
"""The shapes of tensors by their names."""

Configs = Mapping[Component, Mapping[str, Any]]
"""The configs of the networks of a model, as diffusers and transformers write them."""

Colours = tuple[tuple[float, float, float], ...]
"""Red, green and blue for each latent channel; the last row is the colour of zeros."""


class Betas(NamedTuple):
    """The noise schedule of a diffusion model."""

    schedule: Literal["scaled_linear", "linear"] = "scaled_linear"
    start: float = 0.00085
    end: float = 0.012
    steps: int = 1000
    zero_snr: bool = False
    """True if the schedule is rescaled so that the last step is pure noise (arXiv:2305.08891)."""


class Flow(NamedTuple):
    """The noise schedule of a flow-matching model (arXiv:2403.03206, section 5.3.2).

    A latent at noise level sigma, 0 to 1, is `(1 - sigma) * clean + sigma * noise`. A fraction t of the
    training steps has the level `shift * t / (1 + (shift - 1) * t)`.
    """

    shift: float = 1.0
    steps: int = 1000
    by_size: tuple[float, float] | None = None
    """The logarithms of the shift for pictures of 256 and of 4,096 tokens, for models whose shift grows with
    the size (FLUX.1 dev); None for a fixed shift. Training steps have the level for `shift` in any case."""
    levels: int = 1000
    """The number of levels that the schedules of sampling choose from; 10,000 for FLUX.1 dev in ComfyUI."""

    def of_tokens(self, count: int) -> Flow:
        """Return the schedule with the shift for a picture of `count` tokens, as diffusers' FluxPipeline."""
        if self.by_size is None:
            return self
        small, large = self.by_size
        slope = (large - small) / (LARGE - SMALL)
        return self._replace(shift=math.exp(small + slope * (count - SMALL)), by_size=None)


SMALL, LARGE = 256, 4096
"""The numbers of tokens of a picture between which the logarithm of the shift is a straight line."""

NoiseSchedule = Betas | Flow
"""The noise schedule that a model was trained with."""


@dataclass(frozen=True, kw_only=True)
class EncoderRole:
    """A text encoder in a family, and how its output is used."""

    name: EncoderName
    component: Component
    tokenizer: str
    """The folder of its tokenizer in the diffusers layout."""
    network: Literal["CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel"] = "CLIPTextModel"
    """The class of transformers."""
    optional: bool = False
    """True if models of the family may lack it; zeros then take the place of its output."""
    along: Literal["width", "tokens"] | None = "width"
    """The axis along which its output is joined to that of the encoders before it; None if only its pooled
    vector is used."""
    length: int = 77
    """The number of tokens that it reads at once."""
    comfy_length: int | None = None
    """In the dialect `comfy`, the number of tokens of all prompts that are not longer; there is no limit, as
    in ComfyUI. None for `length` in all dialects."""
    least_skip: int = 1
    """The smallest CLIP skip: the layer, counted from the last, whose output the UNet was trained on."""
    missing_layers: int = 0
    """The number of last layers that are left out because they are not used."""
    norm: bool = True
    """True if the final layer norm is also applied to an earlier layer."""
    pad: int | None = None
    """The token that fills a chunk; None for the end token."""
    pooled: bool = False
    """True if the model reads this encoder's pooled vector: its projection, if the network has one."""

    def layer(self, clip_skip: int) -> int:
        """Return the layer whose output is used for a CLIP skip, counted from the last layer, which is 1."""
        return max(clip_skip, self.least_skip) - self.missing_layers


class SizeHints(NamedTuple):
    """The size conditioning of a picture (SDXL, arXiv:2307.01952, section 2.2)."""

    original: tuple[int, int] | None = None
    """The width and height of the picture before cropping; None for the size of the generated picture."""
    crop: tuple[int, int] = (0, 0)
    """The left and top edge of the crop."""
    target: tuple[int, int] | None = None
    """The width and height after cropping; None for the size of the generated picture."""
    aesthetic_score: float | None = None
    """The aesthetic score, 1 to 10, for SDXL's refiner; None for the default."""


NO_HINTS = SizeHints()
"""The size of the generated picture, without a crop."""


def _call(network: Any, latents: Tensor, timestep: Tensor, **arguments: Any) -> Tensor:
    answer: Tensor = network(latents, timestep=timestep, return_dict=False, **arguments)[0]
    return answer


@dataclass(frozen=True, kw_only=True)
class DenoisingNetwork:
    """The network of a family that removes noise: a UNet or a transformer."""

    component: Component
    """The folder of the network in the diffusers layout."""
    module: str
    """The module of diffusers that its class is in."""
    kind: str
    """The name of its class in diffusers."""
    noun: str
    """Its name in messages: `UNet` or `transformer`."""
    context: str
    """The key in its config of the width of the text embeddings that it reads."""
    vectors: str
    """The key in its config of the width of the vectors that it reads beside the text embeddings."""
    limits: Mapping[str, int]
    """The largest allowed values of its config, so that no config can cause hours of work."""
    mismatch: Callable[[Configs, tuple[EncoderRole, ...]], str | None]
    """Checks its config against those of the text encoders and the VAE; returns the problem, or None."""
    sized: Callable[[Shapes], Mapping[str, Any]]
    """Determines the entries of its config that differ between models of the family, from the shapes of its
    tensors. Their names are those of single files, without prefix, or those of diffusers."""
    widths: Callable[[Shapes], tuple[int | None, int | None]]
    """Determines the widths of the text embeddings and of the vectors that a network in a file reads, from
    the shapes of its tensors; None for a width that cannot be determined."""
    anchor: str
    """A tensor, by its name in diffusers, whose stored name shows the layout of a file."""
    arguments: Callable[[Mapping[str, Any]], dict[str, Any]]
    """Makes the arguments of its call from the pooled vector (`text_embeds`), the size numbers (`time_ids`)
    and the distilled guidance (`guidance`)."""
    call: Callable[..., Tensor] = _call
    """Calls it with noisy latents, their training steps and the arguments, by diffusers' names; returns its
    prediction, of the shape of the latents."""
    reads_pooled: bool = False
    """True if it reads a pooled vector also in a family without size conditioning."""
    patch: int = 1
    """The height and width of a latent must be multiples of this number of cells."""
    channel_factor: int = 1
    """How many input channels its config counts for each channel of a latent."""
    distilled_guidance: float | None = None
    """The usual value of the guidance that it reads beside the prompt, as models do that were distilled from
    one with classifier-free guidance; None if it reads none."""
    most_cells: Callable[[Mapping[str, Any]], int | None] = lambda config: None
    """Returns the largest height and width of a latent in cells, from its config; None for no limit."""
    is_distilled: bool = False
    """True if its models are used at a guidance scale of 1, without a negative prompt."""
    is_unet: bool = False
    """True for a UNet, for which there are ControlNets, hypernetworks and block weights."""

    def channels(self, reads: int, returns: int | None) -> tuple[int, int]:
        """Return the channels that it reads and returns for each cell of a latent.

        Args:
            reads: `in_channels` of its config.
            returns: `out_channels` of its config; None for as many as it reads.
        """
        return reads // self.channel_factor, (reads if returns is None else returns) // self.channel_factor


SizeNumbers = Callable[[SizeHints, tuple[int, int], bool], tuple[float, ...]]
"""The numbers that a network reads beside the pooled vector (`time_ids`), for given hints, the width and
height of the generated picture, and whether the prompt is the negative one."""


@dataclass(frozen=True, kw_only=True)
class FileLayout:
    """The layout of a family's models in single files."""

    prefixes: Mapping[Component, str]
    """The prefix of each network's tensors."""
    tables: Mapping[Component, KeyTable]
    """For each network, maps the names of diffusers and transformers to those in single files, without the
    prefix."""
    recognise: Callable[[Shapes], str | None]
    """Recognises the family by names and shapes: returns the reason, to follow `it has`, or None."""
    unused: tuple[str, ...] = ()
    """The prefixes of tensors in files that no network of diffusers uses."""
    added: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None
    """Creates further tensors that other tools expect, from those of the networks."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A model family. It holds all differences from other families; no other code depends on its name."""

    name: str
    """A stable id such as `sd1`, which recipes contain."""
    title: str
    """The displayed name."""
    architecture: str
    """Its name in the metadata of files (`modelspec.architecture`)."""
    vae_file: str = ""
    """The name, without suffix, of the file in which its VAE is published, if it is not the family's name."""
    lora_names: tuple[str, str]
    """Its names in the metadata of kohya's LoRAs: `modelspec.architecture` and `ss_base_model_version`."""
    pipelines: tuple[str, ...]
    """The pipelines that model_index.json of its folders may name; SaveModel writes the first."""
    latents: str
    """The name of its latent space. Families with the same one can exchange latents."""
    configs: Path
    """The folder with the configs of its networks at their true sizes, for single files."""
    network: DenoisingNetwork
    roles: tuple[EncoderRole, ...]
    """Its text encoders, in the order in which their outputs are joined."""
    recognise: Callable[[Configs], str | None]
    """Recognises the family by the configs of a folder: returns the reason, to follow `it has`, or None."""
    layout: FileLayout
    prediction: Callable[[ModelClues], Prediction]
    """Determines the prediction type of the network in a single file without metadata."""
    sizes: Mapping[Prediction, int]
    """The training resolution of models in single files, in pixels."""
    previews: Mapping[int, Colours]
    """The colours of the latents' channels, by the width of the text embeddings: models that were trained
    from scratch with the networks of this family have different latents."""
    noise: NoiseSchedule = field(default_factory=Betas)
    """The noise schedule of models in single files."""
    settings: Mapping[str, bool] = field(default_factory=dict)
    """Further entries of model_index.json."""
    original_lora_names: bool = False
    """True if kohya's LoRAs name the layers of its UNet as Stability's code does, and not as diffusers."""
    size_numbers: SizeNumbers | None = None
    """None for a family without size conditioning."""
    zeros_for_empty_negative: bool = False
    """True if an empty negative prompt is replaced by zeros instead of its encoding."""

    @property
    def components(self) -> tuple[Component, ...]:
        """The networks of a model: the text encoders, the UNet or transformer, and the VAE."""
        return (*(role.component for role in self.roles), self.network.component, "vae")

    @property
    def text_length(self) -> int:
        """The number of tokens of a prompt of one chunk that its text encoders make together."""
        beside = max((role.length for role in self.roles if role.along == "width"), default=0)
        return beside + sum(role.length for role in self.roles if role.along == "tokens")

    @property
    def needed(self) -> tuple[Component, ...]:
        """The networks that no model of the family may lack."""
        optional = {role.component for role in self.roles if role.optional}
        return tuple(part for part in self.components if part not in optional)


class ModelClues(NamedTuple):
    """The data from which the prediction type of a single-file model is determined."""

    shapes: Shapes
    """The shapes of the tensors, by their names in the file."""
    deviation: Callable[[str], float]
    """Reads a tensor and returns its standard deviation."""


def epsilon(clues: ModelClues) -> Prediction:
    """Return `epsilon`, for families whose models predict the noise by default."""
    return "epsilon"


def columns(shapes: Shapes, endings: tuple[str, ...]) -> int | None:
    """Return the number of columns of the first matrix whose name has one of the endings, or None."""
    return next(
        (shape[1] for name, shape in shapes.items() if name.endswith(endings) and len(shape) == 2), None
    )
