"""Recipes: small values that describe which model to load onto a device."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

from engine.devices.compute import ComputeSettings
from engine.files import Files

T_co = TypeVar("T_co", covariant=True)


class Recipe(Generic[T_co]):
    """The base class of everything that `ctx.use` loads, such as the text encoder of a model.

    A recipe is a small frozen value. It is passed along wires and stored, while the loaded model stays on the
    device.
    """

    on_host: ClassVar[bool] = False
    """True for a recipe that is always loaded into the host's memory; `load` then receives `compute.HOST`."""

    @property
    def identity(self) -> Hashable:
        """The identity of the loaded model: equal identities, equal models. Use digests of files, not
        names."""
        raise NotImplementedError

    def size(self, compute: ComputeSettings, files: Files) -> int:
        """The bytes that `load` will take, according to file headers; 0 if unknown.

        Other models are evicted to free this many bytes before loading.
        """
        return 0

    def load(self, compute: ComputeSettings, files: Files) -> tuple[T_co, int]:
        """Load the model on `compute.device`; returns it and the bytes that it takes there."""
        raise NotImplementedError

    def label(self) -> str:
        """The model in words, for lists of loaded models."""
        return type(self).__name__

    def staging(self, compute: ComputeSettings) -> ComputeSettings | None:
        """The settings to load the model with on the host before `place`; None to load it onto the device.

        The copy on the host is the master: patches are applied there, and `place` does not change it.
        """
        return None

    def place(self, master: Any, compute: ComputeSettings) -> tuple[T_co, int]:
        """Make a copy of the master that computes on the device; returns it and the bytes that it adds."""
        raise NotImplementedError

    def resides_on(self, compute: ComputeSettings) -> str:
        """The device whose memory the loaded model takes: that of `compute`, unless it is offloaded."""
        return compute.device

    @property
    def base(self) -> Recipe[Any] | None:
        """The recipe that this one patches, such as the model without its LoRAs; None for a plain recipe.

        A recipe with a base is not loaded: it is composed of its base and its layers.
        """
        return None

    @property
    def layers(self) -> Sequence[Recipe[Any]]:
        """The recipes of the patches, in order of application."""
        return ()

    def composed_size(self, base: Any, layers: Sequence[Any], compute: ComputeSettings) -> int:
        """The bytes that `compose` will take in addition to the base; 0 if unknown."""
        return 0

    def compose(self, base: Any, layers: Sequence[Any], compute: ComputeSettings) -> tuple[T_co, int]:
        """Create a patched copy of the base, which is not changed.

        Returns:
            the patched model, which may share memory with the base, and the bytes that it does not share.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class InFloat32(Recipe[T_co]):
    """A recipe loaded onto the device in float32, whatever precision the settings say."""

    inner: Recipe[T_co]

    def label(self) -> str:
        """The recipe in words."""
        return f"{self.inner.label()} in float32"

    @property
    def identity(self) -> Hashable:
        """The identity of the recipe in float32."""
        return "float32", self.inner.identity

    @property
    def base(self) -> InFloat32[T_co] | None:
        """The base of the recipe in float32; None if it has none."""
        return None if self.inner.base is None else InFloat32(self.inner.base)

    @property
    def layers(self) -> Sequence[Recipe[Any]]:
        """The patches of the recipe."""
        return self.inner.layers

    def size(self, compute: ComputeSettings, files: Files) -> int:
        """The bytes that it takes in float32."""
        return self.inner.size(_in_float32(compute), files)

    def load(self, compute: ComputeSettings, files: Files) -> tuple[T_co, int]:
        """Load it in float32."""
        return self.inner.load(_in_float32(compute), files)

    def composed_size(self, base: Any, layers: Sequence[Any], compute: ComputeSettings) -> int:
        """The bytes that the patches take in float32."""
        return self.inner.composed_size(base, layers, _in_float32(compute))

    def compose(self, base: Any, layers: Sequence[Any], compute: ComputeSettings) -> tuple[T_co, int]:
        """Patch the base in float32."""
        return self.inner.compose(base, layers, _in_float32(compute))


def _in_float32(compute: ComputeSettings) -> ComputeSettings:
    return replace(compute, dtype="float32", vae_dtype="float32")
