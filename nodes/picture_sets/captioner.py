"""Captioner: the base class of recipes for models that describe pictures, also for other node packs."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from engine.devices.recipe import Recipe
from engine.values import Value

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


class Captioner(Value, Recipe[Any], family="models"):
    """A recipe for a model that describes pictures.

    Derive a frozen dataclass with a wire type of its own, such as
    `class Tagger(Captioner, wire="my_pack/Tagger")`, and define `load`, `identity`, `pack`, `unpack` and
    `describe`; a node that returns it fits the input `captioner` of Caption.
    """

    @abstractmethod
    def describe(self, loaded: Any, picture: Picture) -> str:
        """Describe a picture in one line.

        Args:
            loaded: what `load` returned, on its device.
            picture: the picture in mode RGB.
        """
