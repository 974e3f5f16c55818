"""Makes the LoRAs of the example graphs, such as one that draws red things blue.

`python -m tests.nodes.sd.tiny.swap red blue FILE` makes that one.

This needs no pictures and no training. It fits, by least squares, a linear map that takes the text encoder's
output for captions with one word to the output for the same captions with the other word, and leaves other
captions as they are. The map, reduced to a low rank, is placed before the keys and values of each cross
attention as a LoRA.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from nodes.sd.models.folder import describe_folder
from nodes.sd.models.text_encoder import encode, tokenize
from nodes.sd.models.tokenizer import load_tokenizer
from nodes.sd.models.weights import load_text_encoder, load_unet
from tests.nodes.sd.tiny.parts import WEIGHTS
from tests.nodes.sd.tiny.scenes import COLOURS, POSITIONS, SHAPES

RANK = 8
CAPTIONS = 160
FOLLOWING = 24
"""The number of rows that are used; further ones are padding."""


def main(word: str, other: str, path: Path) -> None:
    """Write a LoRA that draws one colour or shape as another.

    Raises:
        ValueError: the words are not two colours or two shapes.
    """
    kind = next((words for words in (tuple(COLOURS), SHAPES) if {word, other} <= set(words)), None)
    if kind is None:
        raise ValueError(f"{word} and {other} are not two colours, nor two shapes")
    torch.manual_seed(0)
    folder = describe_folder(WEIGHTS)
    encoder, tokenizer = load_text_encoder(folder), load_tokenizer(folder)

    def rows(captions: list[str]) -> Tensor:
        ids = torch.cat([tokenize(tokenizer, caption).ids for caption in captions])
        with torch.no_grad():
            return encode(encoder, ids)[:, :FOLLOWING].flatten(0, 1).double()

    drawn = random.Random(0)
    rest = [other_word for other_word in kind if other_word != word]
    frames = [_caption(drawn, kind is not SHAPES, word) for _ in range(CAPTIONS)]
    source = rows([frame.format(word) for frame in frames])
    target = rows([frame.format(other) for frame in frames])
    still = rows([frame.format(drawn.choice(rest)) for frame in frames])
    change = _fit(torch.cat([source, still]), torch.cat([target - source, torch.zeros_like(still)]))
    left, sizes, right = torch.linalg.svd(change)
    left, right = left[:, :RANK] * sizes[:RANK], right[:RANK]

    tensors: dict[str, Tensor] = {}
    for name, parameter in load_unet(folder).named_parameters():
        if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight")):
            key = "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
            up = parameter.double() @ left
            tensors[f"{key}.lora_up.weight"] = up.to(torch.float16).contiguous()
            tensors[f"{key}.lora_down.weight"] = right.to(torch.float16).contiguous()
            tensors[f"{key}.alpha"] = torch.tensor(float(RANK), dtype=torch.float16)
    metadata = {
        "ss_output_name": f"{word}-to-{other}",
        "ss_base_model_version": "sd_v1",
        "ss_network_dim": str(RANK),
        "ss_network_alpha": str(RANK),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": f"{word} to {other}, for safelight-tiny",
        "modelspec.license": "Apache-2.0",
        "modelspec.trigger_phrase": word,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata)


def _caption(drawn: random.Random, coloured: bool, word: str) -> str:
    """A caption with a gap for a colour or for a shape; the word does not occur elsewhere in it."""
    colours = [colour for colour in COLOURS if colour != word]
    first = f"a {{}} {drawn.choice(SHAPES)}" if coloured else f"a {drawn.choice(colours)} {{}}"
    place = drawn.choice(("", f" at the {drawn.choice(list(POSITIONS))}"))
    return f"{first}{place} on a {drawn.choice(colours)} background"


def _fit(inputs: Tensor, outputs: Tensor) -> Tensor:
    """The matrix M with M·input ≈ output by ridge regression."""
    ridge = 1e-3 * inputs.square().sum(0).mean() * torch.eye(inputs.shape[1], dtype=inputs.dtype)
    solved: Tensor = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ outputs)
    return solved.T


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
