"""SaveLoRA: writes a LoRA that was made in a graph to a file."""

from __future__ import annotations

from typing import Literal

from engine.context import Context
from engine.node import Node
from nodes.files.new_file import NAME_IT, require_file_name, write_new
from nodes.node_problem import node_problem
from nodes.sd.lora.lora_value import LoRA


class SaveLoRA(Node, category="model", pure=False, libraries=("torch", "safetensors"), aliases=("LoraSave",)):
    """Save a LoRA to a file that Safelight and other tools read.

    The file is written to the `outputs` folder; move it to `models/loras` to use it.
    """

    lora: LoRA
    path: str = ""
    """The file to write, inside the `outputs` folder. Empty: the LoRA's name, in `loras/`."""
    format: Literal["kohya", "peft"] = "kohya"
    """`kohya` is for A1111, ComfyUI, InvokeAI and most other tools; `peft` is that of diffusers, for LoRA and
    DoRA only. The layers of SD 3 have OneTrainer's names in `kohya`, which ComfyUI reads."""
    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    """The precision of the numbers in the file. `float16` halves its size, at hardly any loss."""
    overwrite: bool = False
    """Replace an existing file. Off: the new file gets the next free number."""

    def run(self, ctx: Context) -> str:
        import torch

        from nodes.sd.lora.written import as_kohya, as_peft

        own = self.lora.name
        name = self.path or f"loras/{require_file_name(own, input='lora', hint=NAME_IT)}"
        place = ctx.files.target(name.removesuffix(".safetensors") + ".safetensors")
        write = {"kohya": as_kohya, "peft": as_peft}[self.format]
        with node_problem(input="format"):
            data = write(self.lora, getattr(torch, self.precision))
        return str(write_new(place, data, overwrite=self.overwrite))
