"""The CLIP text encoder computes the same bits as that of transformers, and has the same names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from nodes.sd.families.known import families
from nodes.sd.formats.json_file import read_object
from nodes.sd.models.clip import ClipConfig, ClipOutput, ClipTextModel, ClipTextModelWithProjection

KINDS: dict[str, tuple[Any, Any]] = {
    "CLIPTextModel": (ClipTextModel, CLIPTextModel),
    "CLIPTextModelWithProjection": (ClipTextModelWithProjection, CLIPTextModelWithProjection),
}
SHIPPED: dict[str, tuple[str, dict[str, Any]]] = {
    f"{role.name} {role.network}": (role.network, read_object(family.configs / f"{role.component}.json"))
    for family in families()
    for role in family.roles
    if role.network in KINDS
}
"""The kinds of encoders, with a config of each."""
END = 999
ENDS = torch.tensor([[998, 5, 7, 320, END, *[END] * 72], [998, *range(1, 76), END], [998, END, *[0] * 75]])
MASK = torch.ones_like(ENDS)
MASK[0, 5:] = 0
MASK[2, 2:] = 0


def pair(kind: str, config: dict[str, Any], **more: Any) -> tuple[Any, Any]:
    """Our encoder and that of transformers, of true width with two layers, a few words, and equal weights."""
    small = config | {"num_hidden_layers": 2, "vocab_size": END + 1, "eos_token_id": END} | more
    small["intermediate_size"] = 128
    known = {key: value for key, value in small.items() if key in ClipConfig.__dataclass_fields__}
    own, other = KINDS[kind]
    torch.manual_seed(0)
    theirs = other(CLIPTextConfig(**known)).eval()
    with torch.device("meta"):
        ours = own(ClipConfig.of(small)).eval()
    ours.load_state_dict({name: tensor.clone() for name, tensor in theirs.state_dict().items()}, assign=True)
    return ours, theirs


def require_equal(ours: ClipOutput, theirs: Any) -> None:
    assert torch.equal(ours.last_hidden_state, theirs.last_hidden_state)
    if ours.text_embeds is None:
        assert torch.equal(ours.pooler_output, theirs.pooler_output)
    else:
        assert torch.equal(ours.text_embeds, theirs.text_embeds)
    assert ours.hidden_states is not None
    assert len(ours.hidden_states) == len(theirs.hidden_states)
    assert all(map(torch.equal, ours.hidden_states, theirs.hidden_states))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_output_is_that_of_transformers(name: str, dtype: torch.dtype) -> None:
    ours, theirs = (one.to(dtype) for one in pair(*SHIPPED[name]))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert (ours.dtype, ours.device) == (theirs.dtype, theirs.device)
    with torch.no_grad():
        for mask in (None, torch.ones_like(MASK), MASK):
            given = {"attention_mask": mask, "output_hidden_states": True}
            require_equal(ours(ENDS, **given), theirs(ENDS, **given))


def test_an_old_config_names_another_end_token() -> None:
    ours, theirs = pair(*SHIPPED["clip_l CLIPTextModel"], eos_token_id=2)
    with torch.no_grad():
        require_equal(ours(ENDS, output_hidden_states=True), theirs(ENDS, output_hidden_states=True))


def test_training_gives_the_same_gradients() -> None:
    grads: list[list[Tensor]] = []
    for one in pair(*SHIPPED["clip_l CLIPTextModel"], attention_dropout=0.1):
        one.train()
        torch.manual_seed(3)  # of the dropout
        one(ENDS).last_hidden_state.square().mean().backward()
        grads.append([parameter.grad for parameter in one.encoder.parameters()])
    assert all(map(torch.equal, *grads))


@pytest.mark.parametrize(
    "change", [{"hidden_act": "os.system"}, {"num_attention_heads": 7}, {"eos_token_id": [1, 2]}]
)
def test_a_config_of_another_network_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        ClipConfig.of(change)
