"""The inputs of the network for encoded prompts, prepared once for all steps that read the same prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nodes.sd.families.family import NO_HINTS, SizeHints, SizeNumbers
from nodes.sd.prompts.control import Control
from nodes.sd.prompts.timeline import PromptPart
from nodes.sd.sampling.transfer import sent

KEPT = 4
"""The most inputs that are kept: enough for two prompts of different lengths that alternate."""


class Reading(NamedTuple):
    """An encoded prompt, as the network reads it at one step."""

    rows: Tensor
    """[1 or batch, tokens, width]: the encoding."""
    pooled: Tensor | None
    """[1, width]: the pooled vector; None if the network reads none."""
    tokens: int
    """The number of rows that the network reads; the last row of a shorter encoding is repeated."""
    size: SizeHints = NO_HINTS
    negative: bool = False
    controls: tuple[Control, ...] = ()
    """The ControlNets that act together with it."""
    guidance: float | None = None
    """The distilled guidance; None for the model's usual one."""


class Inputs(NamedTuple):
    """The inputs of one call of the network."""

    rows: Tensor
    """[prompts * batch, tokens, width]"""
    vectors: dict[str, Tensor]
    """The pooled vectors and the size numbers, by diffusers' names for them, and the distilled guidances
    (`guidance`); empty if there are none."""


class PromptInputs:
    """Joins prompts to the inputs of one call, and keeps the latest inputs.

    Steps that read the same prompts receive the same tensors. So they need no work on the host, and layers
    that see nothing but the prompt compute once (`text_keys.py`).

    Args:
        size_numbers: the numbers that the network reads beside the pooled vector; None if it reads none.
        scale: pixels per latent cell, for these numbers.
        guidance: the usual distilled guidance of the network; None if it reads none.
    """

    def __init__(self, size_numbers: SizeNumbers | None, scale: int, guidance: float | None = None) -> None:
        self._size_numbers, self._scale, self._guidance = size_numbers, scale, guidance
        self._latest: dict[tuple[object, ...], tuple[Sequence[Reading], Inputs]] = {}

    def of(self, readings: Sequence[Reading], latents: Tensor) -> Inputs:
        """The inputs for prompts of equal length, each for every latent of a batch.

        Args:
            readings: the prompts; their tensors are on the device of the network.
            latents: [batch, channels, height, width].
        """
        by_reading = (
            (id(one.rows), id(one.pooled), one.tokens, one.size, one.negative, one.guidance)
            for one in readings
        )
        key = (latents.shape, *by_reading)
        found = self._latest.pop(key, None)
        if found is None:
            found = readings, self._joined(readings, latents)  # the readings keep their ids from being reused
            if len(self._latest) >= KEPT:
                del self._latest[next(iter(self._latest))]
        self._latest[key] = found  # the latest comes last
        return found[1]

    def _joined(self, readings: Sequence[Reading], latents: Tensor) -> Inputs:
        parts = [self._inputs(one, latents) for one in readings]
        if len(parts) == 1:
            return parts[0]
        vectors = {name: torch.cat([part.vectors[name] for part in parts]) for name in parts[0].vectors}
        return Inputs(torch.cat([part.rows for part in parts]), vectors)

    def _inputs(self, reading: Reading, latents: Tensor) -> Inputs:
        """The inputs for one prompt."""
        batch, rows = len(latents), reading.rows
        if rows.shape[1] < reading.tokens:
            rows = torch.cat([rows, rows[:, -1:].expand(-1, reading.tokens - rows.shape[1], -1)], 1)
        vectors: dict[str, Tensor] = {}
        if reading.pooled is not None:
            vectors["text_embeds"] = reading.pooled.expand(batch, -1)
        if self._size_numbers is not None:
            height, width = (side * self._scale for side in latents.shape[-2:])
            numbers = torch.tensor([self._size_numbers(reading.size, (width, height), reading.negative)])
            vectors["time_ids"] = sent(numbers, rows.device, torch.float32).expand(batch, -1)
        if self._guidance is not None:
            given = self._guidance if reading.guidance is None else reading.guidance
            vectors["guidance"] = torch.full((batch,), given, dtype=torch.float32, device=rows.device)
        return Inputs(rows.expand(batch, -1, -1), vectors)


def on_device(
    prompt: Tensor | Sequence[PromptPart],
    name: str,
    like: Tensor,
    width: int,
    pools: bool,
    pooled_width: int | None,
) -> list[PromptPart]:
    """Check that the parts of a prompt fit the network, and move them to its device.

    Args:
        prompt: the parts, or the only encoding of a prompt.
        name: the prompt in messages.
        like: a tensor on the device and in the precision of the network.
        width: the width of the encodings that the network reads.
        pools: True if it reads a pooled vector.
        pooled_width: the width of that vector; None if it is not known.

    Raises:
        ValueError: a width does not match, or the pooled vector is missing.
    """
    parts = [PromptPart((prompt,))] if isinstance(prompt, Tensor) else prompt
    for part in parts:
        for embeddings in part.encodings:
            if embeddings.shape[-1] != width:
                raise ValueError(
                    f"The {name}'s embeddings are {embeddings.shape[-1]} wide, the UNet reads {width}."
                    " Encode it with the same model's text encoder."
                )
        if pools and not part.pooled:
            raise ValueError(
                f"The {name} has no pooled vector, which this model reads. Encode it with the same model's"
                " text encoder."
            )
        for vector in part.pooled:
            if pooled_width is not None and vector.shape[-1] != pooled_width:
                raise ValueError(
                    f"The {name}'s pooled vector is {vector.shape[-1]} wide, the model reads {pooled_width}."
                    " Encode it with the same model's text encoder."
                )
    return [
        part._replace(
            encodings=tuple(rows.to(like) for rows in part.encodings),
            pooled=tuple(vector.to(like) for vector in part.pooled),
        )
        for part in parts
    ]
