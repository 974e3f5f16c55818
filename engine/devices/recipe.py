"""Recipes: small values that describe a model, and load it onto a device."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

from engine.devices.compute import ComputeSettings
from engine.files import Files

T_co = TypeVar("T_co", covariant=True)


class Recipe(Generic[T_co]):
    """The base class of what `ctx.use` loads: describes a model, such as the text encoder of a checkpoint.

    A recipe is a small frozen value. Wires and the store carry recipes, while the loaded models stay on the
    device.
    """

    on_host: ClassVar[bool] = False
    """True for a recipe that is always loaded into the host's memory; `load` then receives `compute.HOST`."""

    @property
    def identity(self) -> Hashable:
        """Identifies the loaded model: recipes with equal identities must load equal models. Made of digests
        of files, not of their names."""
        raise NotImplementedError

    def size(self, compute: ComputeSettings, files: Files) -> int:
        """Estimate the bytes that the loaded model will take, from the headers of its files; 0 if unknown.

        Before loading, other models are evicted until this many bytes are free.
        """
        return 0

    def load(self, compute: ComputeSettings, files: Files) -> tuple[T_co, int]:
        """Load the model onto `compute.device`. Returns the model and its size there in bytes."""
        raise NotImplementedError

    def label(self) -> str:
        """Describe the model for people, in lists of loaded models."""
        return type(self).__name__

    def staging(self, compute: ComputeSettings) -> ComputeSettings | None:
        """Return the settings with which to load a master copy on the host, which `place` then places.

        Patches are applied to the master copy, and `place` does not change it. None if the model is loaded
        directly onto the device.
        """
        return None

    def place(self, master: Any, compute: ComputeSettings) -> tuple[T_co, int]:
        """Make a copy of the master that computes on the device. Returns the copy and its added bytes."""
        raise NotImplementedError

    def resides_on(self, compute: ComputeSettings) -> str:
        """Return the device whose memory the loaded model takes: `compute.device` unless it is offloaded."""
        return compute.device

    @property
    def base(self) -> Recipe[Any] | None:
        """The recipe that this one patches, such as the model without its LoRAs; None if it patches none.

        A recipe with a base is not loaded with `load`: `compose` makes it from its base and its layers.
        """
        return None

    @property
    def layers(self) -> Sequence[Recipe[Any]]:
        """The recipes of the patches, in the order in which they are applied."""
        return ()

    def composed_size(self, base: Any, layers: Sequence[Any], compute: ComputeSettings) -> int:
        """Estimate the bytes that `compose` will take in addition to the base; 0 if unknown."""
        return 0

    def compose(self, base: Any, layers: Sequence[Any], compute: ComputeSettings) -> tuple[T_co, int]:
        """Create a patched copy of the loaded base. The base is not changed.

        Returns:
            the patched model, which may share tensors with the base, and the size of those not shared.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class InFloat32(Recipe[T_co]):
    """A recipe that loads another recipe's model in float32, whatever the settings say."""

    inner: Recipe[T_co]

    def label(self) -> str:
        """Describe the model for people."""
        return f"{self.inner.label()} in float32"

    @property
    def identity(self) -> Hashable:
        """Identifies the model in float32; differs from the identity of the inner recipe."""
        return "float32", self.inner.identity

    @property
    def base(self) -> InFloat32[T_co] | None:
        """The base of the inner recipe, in float32; None if there is none."""
        return None if self.inner.base is None else InFloat32(self.inner.base)

    @property
    def layers(self) -> Sequence[Recipe[Any]]:
        """The patches of the inner recipe."""
        return self.inner.layers

    def size(self, compute: ComputeSettings, files: Files) -> int:
        """Estimate the bytes that the model takes in float32."""
        return self.inner.size(_in_float32(compute), files)

    def load(self, compute: ComputeSettings, files: Files) -> tuple[T_co, int]:
        """Load the model in float32."""
        return self.inner.load(_in_float32(compute), files)

    def composed_size(self, base: Any, layers: Sequence[Any], compute: ComputeSettings) -> int:
        """Estimate the bytes that the patches take in float32."""
        return self.inner.composed_size(base, layers, _in_float32(compute))

    def compose(self, base: Any, layers: Sequence[Any], compute: ComputeSettings) -> tuple[T_co, int]:
        """Patch the base in float32."""
        return self.inner.compose(base, layers, _in_float32(compute))


def _in_float32(compute: ComputeSettings) -> ComputeSettings:
    return replace(compute, dtype="float32", vae_dtype="float32")
