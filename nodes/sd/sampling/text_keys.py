"""Keys and values of the prompt in a UNet's cross-attention, computed once for each prompt.

They depend on the text alone, which is the same in all steps. In SD 1.5 at 256 x 256, they are 1.5 % of the
operations of a step.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TypeVar

from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from nodes.sd.lora.patched import shared_copy

N = TypeVar("N", bound=nn.Module)


def with_text_keys(network: N) -> N:
    """Copy a UNet or ControlNet so that it computes the keys and values of each text tensor only once.

    The copy shares all tensors. It keeps the keys and values for as long as the text tensor exists; see
    `PromptInputs`, which decides that. A text tensor must not be changed in place.
    """
    attentions = [name for name, _ in network.named_modules() if name.rpartition(".")[2] == "attn2"]
    result = shared_copy(network, attentions)
    for name in attentions:
        attention = result.get_submodule(name)
        for side in ("to_k", "to_v"):
            setattr(attention, side, _OncePerText(attention.get_submodule(side)))
    return result


class _OncePerText(nn.Module):
    """A layer that caches its output for each input tensor."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self._answers: MutableMapping[Tensor, Tensor] = WeakTensorKeyDictionary()

    def forward(self, text: Tensor) -> Tensor:
        """Return the output of the layer, computed or cached."""
        answer = self._answers.get(text)
        if answer is None:
            answer = self._answers[text] = self.layer(text)
        return answer
