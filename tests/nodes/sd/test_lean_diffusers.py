"""Networks of diffusers are imported without transformers, peft and torch._dynamo, which stay usable."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAD = """
import sys
import nodes.sd
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.loaders import lora_base
from diffusers.hooks import layerwise_casting
import torch

def absent(*names):
    found = [name for name in names if any(f"{one}.".startswith(f"{name}.") for one in sys.modules)]
    assert not found, found

unet = UNet2DConditionModel(block_out_channels=(4, 4), norm_num_groups=2, layers_per_block=1,
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), cross_attention_dim=8, attention_head_dim=2,
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
"""
LEAN = """
assert not isinstance(unet, lora_base.PreTrainedModel)
absent("transformers", "torch._dynamo", "sympy")
"""
USED = """
from diffusers import StableDiffusionPipeline
from transformers import CLIPTextConfig, CLIPTextModel
text = CLIPTextModel(CLIPTextConfig(hidden_size=8, num_hidden_layers=1, intermediate_size=8, vocab_size=9))
assert isinstance(text, lora_base.PreTrainedModel) and not isinstance(unet, lora_base.PreTrainedModel)
assert issubclass(CLIPTextModel, (int, lora_base.PreTrainedModel))
class New(lora_base.PreTrainedModel):
    pass
assert issubclass(New, type(text).__mro__[2])
assert lora_base.PreTrainedModel.from_pretrained
import torch._dynamo
assert torch._dynamo.config.cache_size_limit > 0 and torch._dynamo.disable(len)([1]) == 1
"""
PEFT = """
import peft
from peft.tuners.tuners_utils import BaseTunerLayer
unet.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q"]))
layers = [one for one in unet.modules() if isinstance(one, BaseTunerLayer)]
assert layers and all(isinstance(one, layerwise_casting.BaseTunerLayer) for one in layers)

from nodes.sd import lean_diffusers
def again(library):
    raise AssertionError("searched for the library again")
lean_diffusers._remove = again
assert not isinstance(unet, layerwise_casting.BaseTunerLayer)
"""


def run(code: str) -> None:
    found = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_networks_import_no_library_that_they_do_not_need() -> None:
    run(HEAD + LEAN + USED)


def test_peft_adapts_a_network_as_always() -> None:
    pytest.importorskip("peft")
    run(HEAD + PEFT)


def test_a_library_that_is_imported_already_is_used() -> None:
    run("import transformers.modeling_utils" + HEAD + "assert isinstance(lora_base.PreTrainedModel, type)")
