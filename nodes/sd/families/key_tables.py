"""Maps the tensor names of a network to those in files, for each network and each layout of files.

A table is derived from the network's tensor names in diffusers or transformers, and is used for reading and
writing. Names in a file are only looked up in the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from nodes.sd.lora.keys import original_names

if TYPE_CHECKING:
    from torch import Tensor


class Rows(NamedTuple):
    """A part of the rows of a stored tensor, if several tensors of a network are stored as one."""

    first: int
    """The first of the equal shares that the part consists of, from 0."""
    last: int
    """The share after its last one."""
    of: int
    """How many equal shares all rows are."""


THIRDS = (Rows(0, 1, 3), Rows(1, 2, 3), Rows(2, 3, 3))
"""Queries, keys and values that are stored as one tensor."""


class Stored(NamedTuple):
    """The way a tensor of a network is stored in a file."""

    name: str
    rows: Rows | None = None
    """Which of the stored rows it is; None for all."""
    transposed: bool = False
    kernel: bool = False
    """True if a matrix is stored as the kernel of a 1x1 convolution."""
    swapped: bool = False
    """True if the two halves of its rows are stored in reverse order."""

    def shape_of(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the network's tensor, given the shape of the stored tensor."""
        if self.kernel and len(stored) == 4 and stored[2:] == (1, 1):
            return stored[:2]
        if self.rows is not None and stored and stored[0] % self.rows.of == 0:
            return stored[0] // self.rows.of * (self.rows.last - self.rows.first), *stored[1:]
        return stored[::-1] if self.transposed else stored

    def taken_from(self, stored: Tensor) -> Tensor:
        """Convert the stored tensor to the network's tensor."""
        if self.rows is not None:
            share = len(stored) // self.rows.of
            return stored[share * self.rows.first : share * self.rows.last]
        if self.kernel:
            return stored.reshape(stored.shape[:2])
        if self.swapped:
            return halves_swapped(stored)
        return stored.T.contiguous() if self.transposed else stored


def halves_swapped(tensor: Tensor) -> Tensor:
    """Exchange the two halves of a tensor's rows."""
    import torch

    return torch.cat(tensor.chunk(2)[::-1])


Ways = dict[str, tuple[Stored, ...]]

KeyTable = Callable[[Iterable[str]], Ways]
"""For each name in the network, the ways it may be stored; the first one is used for writing."""


def written(table: KeyTable, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert the tensors of a network to those of a file, by their names in the file."""
    import torch

    parts: dict[str, dict[Rows, Tensor]] = {}
    made: dict[str, Tensor] = {}
    for name, (stored, *_) in table(tensors).items():
        tensor = tensors[name]
        if stored.rows is not None:
            parts.setdefault(stored.name, {})[stored.rows] = tensor
        elif stored.kernel:
            made[stored.name] = tensor[..., None, None]
        elif stored.swapped:
            made[stored.name] = halves_swapped(tensor)
        else:
            made[stored.name] = tensor.T.contiguous() if stored.transposed else tensor
    return made | {name: torch.cat([found[rows] for rows in sorted(found)]) for name, found in parts.items()}


def own_names(names: Iterable[str]) -> Ways:
    """Map each name to itself, for tensors that are stored under their names in diffusers."""
    return {name: (Stored(name),) for name in names}


_OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
"""The names of a VAE's attention in early releases of diffusers, which most SD 1 VAEs use."""


def vae_in_diffusers(names: Iterable[str]) -> Ways:
    """Map the tensor names of a VAE to those in files of diffusers, including its early releases."""
    return {name: (Stored(name), *_early(name)) for name in names}


def _early(name: str) -> Iterable[Stored]:
    module, _, kind = name.rpartition(".")
    for layer, old in _OLD_ATTENTION.items():
        if ".attentions." in module and module.endswith(f".{layer}"):
            yield Stored(f"{module.removesuffix(layer)}{old}.{kind}", kernel=kind == "weight")


def clip_in_transformers(names: Iterable[str]) -> Ways:
    """Map the tensor names of a CLIP text encoder to those of transformers, with and without `text_model`."""
    return {name: tuple(Stored(spelling) for spelling in _clip_spellings(name)) for name in names}


def clip(names: Iterable[str]) -> Ways:
    """Map the tensor names of OpenAI's CLIP to those in single files of Stability (`transformer.…`)."""
    return {
        name: tuple(Stored(f"transformer.{spelling}") for spelling in _clip_spellings(name)) for name in names
    }


def _clip_spellings(name: str) -> tuple[str, ...]:
    bare = name.removeprefix("text_model.")
    return (bare,) if bare.startswith("text_projection.") else (f"text_model.{bare}", bare)


def t5_in_transformers(names: Iterable[str]) -> Ways:
    """Map the tensor names of a T5 encoder to those of transformers, where `shared` has the token vectors."""
    return {
        name: (Stored("shared.weight"),) if name == "encoder.embed_tokens.weight" else (Stored(name),)
        for name in names
    }


_OPEN_CLIP_OUTSIDE = {
    "embeddings.token_embedding.weight": Stored("token_embedding.weight"),
    "embeddings.position_embedding.weight": Stored("positional_embedding"),
    "final_layer_norm.weight": Stored("ln_final.weight"),
    "final_layer_norm.bias": Stored("ln_final.bias"),
    "text_projection.weight": Stored("text_projection", transposed=True),
}
_OPEN_CLIP_LAYERS = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_THIRDS = dict(zip(("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), THIRDS, strict=True))
_CLIP_LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")


def open_clip(names: Iterable[str]) -> Ways:
    """Map the tensor names of a text encoder to those of OpenCLIP (github.com/mlfoundations/open_clip)."""
    table: Ways = {}
    for name in names:
        bare = name.removeprefix("text_model.")
        if (found := _CLIP_LAYER.fullmatch(bare)) is None:
            table[name] = (_OPEN_CLIP_OUTSIDE[bare],)
            continue
        number, layer, kind = found.groups()
        block = f"transformer.resblocks.{number}"
        if (third := _THIRDS.get(layer)) is not None:
            table[name] = (Stored(f"{block}.attn.in_proj_{kind}", rows=third),)
        else:
            table[name] = (Stored(f"{block}.{_OPEN_CLIP_LAYERS[layer]}.{kind}"),)
    return table


def unet(names: Iterable[str]) -> Ways:
    """Map the tensor names of a UNet to those of Stability's code."""
    modules = {name: name.rpartition(".") for name in names}
    original = original_names(dict.fromkeys(module for module, _, _ in modules.values()))
    return {
        name: (Stored(f"{original.get(module, module)}.{kind}"),)
        for name, (module, _, kind) in modules.items()
    }


_VAE_RESNET = {"conv_shortcut": "nin_shortcut"}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_VAE_MIDDLE = re.compile(r"(encoder|decoder)\.mid_block\.(resnets|attentions)\.(\d+)\.(.+)")
_VAE_SIDE = re.compile(
    r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.(resnets|downsamplers|upsamplers)\.(\d+)\.(.+)"
)


def vae(names: Iterable[str]) -> Ways:
    """Map the tensor names of a VAE to those of Stability's code, whose attention uses 1x1 convolutions."""
    given = list(names)
    blocks = 1 + max((int(found[3]) for name in given if (found := _VAE_SIDE.match(name))), default=0)
    table: Ways = {}
    for name in given:
        module, _, kind = name.rpartition(".")
        renamed = _vae_module(module, blocks)
        matrix = ".attn_1." in renamed and not renamed.endswith(".norm") and kind == "weight"
        table[name] = (Stored(f"{renamed}.{kind}", kernel=matrix),)
    return table


def _vae_module(module: str, blocks: int) -> str:
    if (found := _VAE_MIDDLE.fullmatch(module)) is not None:
        side, kind, number, inner = found.groups()
        if kind == "attentions":
            return f"{side}.mid.attn_1.{_VAE_ATTENTION[inner]}"
        return f"{side}.mid.block_{int(number) + 1}.{_VAE_RESNET.get(inner, inner)}"
    if (found := _VAE_SIDE.fullmatch(module)) is not None:
        side, way, block, kind, number, inner = found.groups()
        place = f"{side}.{way}.{int(block) if way == 'down' else blocks - 1 - int(block)}"
        if kind == "resnets":
            return f"{place}.block.{number}.{_VAE_RESNET.get(inner, inner)}"
        return f"{place}.{way}sample.{inner}"
    return module.replace("conv_norm_out", "norm_out")
