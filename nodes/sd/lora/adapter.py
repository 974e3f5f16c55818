"""An adapter: the tensors of a LoRA for one module, from which the change of its weight is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from nodes.sd.lora import algorithms

_ADDED = frozenset({"lora", "loha", "lokr", "full", "norm"})
"""The kinds whose change does not depend on the weight, so that their order does not matter."""

_INNER = {"lora": "down", "loha": "w1_b"}
"""The tensor whose first dimension is the rank, by kind."""


class Misfit(ValueError):
    """Raised if the tensors of an adapter do not match each other or the module."""


@dataclass(frozen=True)
class Adapter:
    """The tensors of a LoRA for one module."""

    kind: str
    """`lora`, `loha`, `lokr`, `full`, `norm`, `ia3`, `glora` or `oft`."""
    tensors: Mapping[str, Tensor]
    """The tensors by part (see `grouped`), in the file's dtype."""
    alpha: float | None = None
    scale: float | None = None
    """Alpha / rank, if the file stores it directly."""
    on_input: bool = False
    rows: tuple[int, tuple[int, ...]] = (1, (0,))
    """For `lokr`, the part of the tensors' product that is the change, if the product is for a larger layer:
    the number of equal parts of its rows, and the parts in their order."""

    @property
    def is_added(self) -> bool:
        """Whether the change is independent of the weight, so that the order of LoRAs has no effect."""
        return self.kind in _ADDED and not self._has_length

    @property
    def has_weight(self) -> bool:
        """Whether the adapter changes the weight, and not only the bias."""
        return self.kind not in ("full", "norm") or bool(self.tensors.keys() & {"diff", "w_norm"})

    @property
    def rank(self) -> int | None:
        """The rank of the adapter; None for kinds without a rank."""
        if self.kind == "glora":
            return min(self.tensors["a1"].shape[:2])  # in the older order, it is the first of the two
        part = _INNER.get(self.kind) or next((p for p in ("kw2_b", "kw1_b") if p in self.tensors), None)
        return self.tensors[part].shape[0] if part else None

    @property
    def factor(self) -> float:
        """The factor of the change: alpha / rank, or 1 if the kind or the file has none."""
        if self.scale is not None:
            return self.scale
        whole = self.kind == "lokr" and {"kw1", "kw2"} <= self.tensors.keys()
        if self.alpha is None or not self.rank or whole or self.kind == "oft":
            return 1.0
        return self.alpha / self.rank

    def to(self, device: torch.device | str) -> Self:
        """Copy the adapter to a device."""
        return replace(self, tensors={name: tensor.to(device) for name, tensor in self.tensors.items()})

    def cut(self, ranks: int | None) -> Self:
        """Reduce a plain LoRA to its first `ranks` ranks; other kinds are returned unchanged.

        The factor stays the same. None keeps all ranks.
        """
        if ranks is None or self.kind != "lora" or ranks >= (self.rank or 0) or "mid" in self.tensors:
            return self
        up, down = self.tensors["up"][:, :ranks], self.tensors["down"][:ranks]
        return replace(self, tensors={**self.tensors, "up": up, "down": down}, scale=self.factor)

    def check(self, shape: tuple[int, ...], biased: bool) -> None:
        """Check that the adapter fits a module, without computing the change.

        Raises:
            Misfit: the adapter does not fit.
        """
        ghost = self.to("meta")
        try:
            if self._is_plain:
                self._product_fits(shape)
            elif self.has_weight:
                ghost.delta(torch.empty(shape, device="meta"))
            change = ghost.bias_delta()
        except RuntimeError as error:
            raise Misfit(str(error).splitlines()[0]) from None
        if change is not None and not (biased and change.numel() == shape[0]):
            has = f"a bias of {shape[0]:,}" if biased else "no bias"
            raise Misfit(f"it changes a bias of {change.numel():,} numbers, but the module has {has}")

    def added(self, W: Tensor, strength: float, out: Tensor) -> Tensor:
        """Compute W plus `strength` times the change of the weight, into `out`, which may be W itself."""
        if self._is_plain:
            up, down = (self._of(part, W).flatten(1) for part in ("up", "down"))
            torch.addmm(W.flatten(1), up, down, alpha=strength * self.factor, out=out.view(len(W), -1))
            return out
        return torch.add(W, self.delta(W), alpha=strength, out=out)

    def delta(self, W: Tensor) -> Tensor:
        """Compute the change of the weight W at strength 1, in the dtype and shape of W.

        Raises:
            Misfit: the tensors are for a module of another shape.
        """
        if self.kind == "ia3":
            kept = 1 if self.on_input else 0
            _same(self.tensors["weight"].numel(), W.shape[kept], "inputs" if self.on_input else "outputs")
            return algorithms.ia3(W, self._of("weight", W), self.on_input) * self.factor
        if self.kind == "oft":
            return self._turned(W) - W
        change = self._plain(W)
        if change.numel() != W.numel() or (change.ndim > 1 and change.shape[0] != W.shape[0]):
            raise Misfit(f"its change has the shape {list(change.shape)}, but the weight {list(W.shape)}")
        change = change.reshape(W.shape) * self.factor
        if not self._has_length:
            return change
        magnitude, per_column = self._length(W)
        return algorithms.dora(W, change, magnitude, per_column)

    def bias_delta(self) -> Tensor | None:
        """Return the change of the bias at strength 1, in float32; None if the bias is not changed."""
        for part in ("diff_b", "b_norm"):
            if part in self.tensors:
                return self.tensors[part].float().flatten()
        bias = self.tensors.get("up_bias")
        return None if bias is None else bias.float().flatten() * self.factor

    @property
    def _is_plain(self) -> bool:
        return self.kind == "lora" and not self._has_length and "mid" not in self.tensors

    def _product_fits(self, shape: tuple[int, ...]) -> None:
        up, down = self.tensors["up"].shape, self.tensors["down"].shape
        if (rank := math.prod(up[1:])) != down[0]:
            raise Misfit(f"its matrices up and down have the ranks {rank:,} and {down[0]:,}, not the same")
        _same(up[0], shape[0], "outputs")
        _same(math.prod(down[1:]), math.prod(shape[1:]), "inputs")

    @property
    def _has_length(self) -> bool:
        return bool(self.tensors.keys() & {"dora_scale", "magnitude"})

    def _of(self, part: str, like: Tensor) -> Tensor:
        return self.tensors[part].to(like)

    def _plain(self, W: Tensor) -> Tensor:
        have = {name: tensor.to(W) for name, tensor in self.tensors.items()}
        match self.kind:
            case "lora" if "mid" in have:
                return algorithms.tucker(have["up"], have["mid"], have["down"].flatten(1))
            case "lora":
                return algorithms.lora(have["up"], have["down"])
            case "loha":
                first, second = (self._hadamard(have, number) for number in (1, 2))
                if first.shape != second.shape:
                    shapes = f"{list(first.shape)} and {list(second.shape)}"
                    raise Misfit(f"its two factors have the shapes {shapes}, not the same")
                return algorithms.loha(first, second)
            case "lokr":
                count, chosen = self.rows
                if count == 1:
                    return self._kronecker(have, W)
                larger = W.new_empty(W.shape[0] * count // len(chosen), *W.shape[1:])  # for its shape
                parts = self._kronecker(have, larger).chunk(count)
                return torch.cat([parts[number] for number in chosen])
            case "glora":
                return self._generalised(have, W)
            case "full":
                return have["diff"]
        return have["w_norm"]

    @staticmethod
    def _hadamard(have: Mapping[str, Tensor], number: int) -> Tensor:
        a, b, core = have[f"w{number}_a"], have[f"w{number}_b"], have.get(f"t{number}")
        return a.flatten(1) @ b.flatten(1) if core is None else algorithms.loha_core(core, a, b)

    @staticmethod
    def _kronecker(have: Mapping[str, Tensor], W: Tensor) -> Tensor:
        first = have["kw1"] if "kw1" in have else have["kw1_a"] @ have["kw1_b"]
        if "kw2" in have:
            second = have["kw2"]
        elif "kt2" in have:
            second = algorithms.lokr_core(have["kt2"], have["kw2_a"], have["kw2_b"])
        else:
            second = have["kw2_a"] @ have["kw2_b"].flatten(1)
        if first.ndim != 2:
            raise Misfit(f"its first factor has the shape {list(first.shape)}, not two dimensions")
        _same(first.numel() * second.numel(), W.numel(), "weights")  # before the product is computed
        if second.ndim == 2 and W.ndim == 4:
            if W[0].numel() % first.shape[1]:
                columns = f"{first.shape[1]:,} columns of its first factor"
                raise Misfit(f"the {columns} do not divide the {W[0].numel():,} inputs of the module")
            second = second.reshape(second.shape[0], -1, *W.shape[2:])
        return algorithms.lokr(first, second)

    @staticmethod
    def _generalised(have: Mapping[str, Tensor], W: Tensor) -> Tensor:
        a1, a2, b1, b2 = (have[part].flatten(1) for part in ("a1", "a2", "b1", "b2"))
        inputs = W[0].numel()
        if not (a1.shape[0] == inputs and b2.shape[1] == inputs):  # the older order
            a1, a2, b1, b2 = a2, a1, b2, b1
        _same(a1.shape[0], inputs, "inputs")
        return algorithms.glora(W, a1, a2, b1, b2)

    def _length(self, W: Tensor) -> tuple[Tensor, bool]:
        if "magnitude" in self.tensors:  # peft's: a number for each output
            magnitude, per_column = self._of("magnitude", W), False
        else:
            magnitude = self._of("dora_scale", W)
            per_column = magnitude.ndim > 1 and magnitude.shape[0] == 1 and W.shape[0] != 1
        _same(magnitude.numel(), W.shape[1 if per_column else 0], "inputs" if per_column else "outputs")
        return magnitude, per_column

    def _turned(self, W: Tensor) -> Tensor:
        blocks = self._of("oft_blocks", W)
        if blocks.ndim not in (3, 4) or blocks.shape[-1] != blocks.shape[-2]:
            raise Misfit(
                f"oft_blocks has the shape {list(blocks.shape)}, not 3 or 4 dimensions of square blocks"
            )
        _same(blocks.shape[-3] * blocks.shape[-1], W.shape[0], "outputs")
        turned = algorithms.rotations(blocks, self.alpha * W.shape[0] if self.alpha else None)
        if blocks.ndim == 3:
            changed = algorithms.oft(W, turned)
        else:
            widest = 2 ** (blocks.shape[0] - 1) * blocks.shape[-1]
            if W.shape[0] % widest:
                rows = f"its widest blocks, of {widest:,} rows,"
                raise Misfit(f"{rows} do not divide the {W.shape[0]:,} outputs of the module")
            changed = algorithms.boft(W, turned)
        if "rescale" not in self.tensors:
            return changed
        rescale = self._of("rescale", W).flatten()
        _same(rescale.numel(), W.shape[0], "outputs")
        return changed * rescale.reshape(-1, *[1] * (W.ndim - 1))


def _same(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        raise Misfit(f"it is for {found:,} {what}, but the module has {wanted:,}")
