"""A ControlNet that acts together with a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

from engine.values import Json
from nodes.sd.prompts.regions import Span

if TYPE_CHECKING:
    from torch import Tensor


class Control(NamedTuple):
    """A ControlNet, the picture that it reads, and when and how strongly it acts."""

    digest: str
    """The sha256 of the ControlNet's weights."""
    config: str
    """Its config, as JSON."""
    name: str
    """The name of its file."""
    hint: Tensor
    """float32 [pictures, 3, height, width] from 0 to 1, of any size: the picture to follow."""
    strength: float = 1.0
    span: Span = Span()
    blocks: tuple[float, ...] = ()
    """Factors of the strength, from the first block to the middle; empty if all are 1."""
    acts_on_negative: bool = False
    """Whether it also acts on a negative prompt that has no ControlNet itself."""

    def as_json(self) -> Json:
        """Convert the control to JSON, without its picture."""
        return {
            "digest": self.digest,
            "config": self.config,
            "name": self.name,
            "strength": self.strength,
            "span": list(self.span),
            "blocks": list(self.blocks),
            "acts_on_negative": self.acts_on_negative,
        }

    @classmethod
    def from_json(cls, plain: Any, hint: Tensor) -> Self:
        """Restore a control from the JSON of `as_json` and from its picture."""
        return cls(**{**plain, "hint": hint, "span": Span(*plain["span"]), "blocks": tuple(plain["blocks"])})
