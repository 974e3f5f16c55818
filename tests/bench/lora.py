"""What putting a LoRA on and off costs, against diffusers with peft: the same file, model and process."""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.bench.bench import ROOT, Row, bench, stopwatch

ROUNDS, RANK, WEIGHT = 7, 16, 0.75
SIZES = {
    "safelight-tiny": {},
    "a UNet of SD 1.5's size": {"cross_attention_dim": 768, "attention_head_dim": 8},
}


def unet_of(size: str) -> Any:
    """The embedded UNet, or one of random weights, of which only the attention is ever touched."""
    import torch
    from diffusers import UNet2DConditionModel

    from nodes.sd.models.folder import describe_folder
    from nodes.sd.models.weights import load_unet

    if not SIZES[size]:
        return load_unet(describe_folder(ROOT / "nodes" / "sd" / "tiny" / "weights"))
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SIZES[size])
    unet.to_empty(device="cpu").eval().requires_grad_(False)
    for name in attention(unet):
        unet.get_submodule(name).weight.normal_(std=0.02)
    return unet


def attention(unet: Any) -> list[str]:
    """The linear layers of all attention: 128 of them."""
    ends = (".to_q", ".to_k", ".to_v", ".to_out.0")
    return [name for name, _ in unet.named_modules() if ".attn" in name and name.endswith(ends)]


def write(unet: Any, path: Path) -> None:
    """A LoRA over all attention, as kohya writes it."""
    import torch
    from safetensors.torch import save_file

    tensors = {}
    for name in attention(unet):
        outputs, inputs = unet.get_submodule(name).weight.shape
        key = "lora_unet_" + name.replace(".", "_")
        tensors[f"{key}.lora_up.weight"] = torch.randn(outputs, RANK) * 0.02
        tensors[f"{key}.lora_down.weight"] = torch.randn(RANK, inputs) * 0.02
        tensors[f"{key}.alpha"] = torch.tensor(RANK / 2)
    save_file(tensors, path)


def pipeline_of(unet: Any) -> Any:
    """diffusers' pipeline around the UNet."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    from nodes.sd.models.folder import describe_folder
    from nodes.sd.models.weights import load_text_encoder, load_vae
    from tests.nodes.sd.in_transformers import encoder_of, tokenizer_of

    folder = describe_folder(ROOT / "nodes" / "sd" / "tiny" / "weights")
    return StableDiffusionPipeline(
        unet=unet,
        vae=load_vae(folder),
        text_encoder=encoder_of(load_text_encoder(folder)),
        tokenizer=tokenizer_of(folder.path / "tokenizer"),
        scheduler=DDIMScheduler(clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def weights(unet: Any) -> list[Any]:
    """The attention's weights, copied."""
    return [unet.get_submodule(name).weight.clone() for name in attention(unet)]


def digest(unet: Any) -> str:
    """Of the attention's weights."""
    hasher = hashlib.sha256()
    for name in attention(unet):
        hasher.update(unet.get_submodule(name).weight.numpy().tobytes())
    return hasher.hexdigest()


@bench
def lora() -> Iterator[Row]:
    """Put on and taken off in turn, A B B A, from the file each time."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="safelight-bench-") as folder:
        warnings.simplefilter("ignore")
        for size in SIZES:
            yield compared(size, Path(folder) / "lora.safetensors")
    torch.set_num_threads(threads)


def compared(size: str, path: Path) -> Row:
    """One model: outputs first, then times."""
    from nodes.sd.lora.file import read
    from nodes.sd.lora.stack import WeightedLora, apply

    unet = unet_of(size)
    write(unet, path)
    before = digest(unet)

    def ours() -> None:
        patched, _ = apply(unet, "unet", [WeightedLora(read(path), path.name, "ab" * 32, WEIGHT)])
        del patched

    mine = weights(apply(unet, "unet", [WeightedLora(read(path), path.name, "ab" * 32, WEIGHT)])[0])
    ours()
    exact = digest(unet) == before
    took: dict[str, list[float]] = {"ours": [], "peft": []}
    agree, drift = "", ""
    if find_spec("peft") is None:
        for _ in range(ROUNDS):
            with stopwatch() as one:
                ours()
            took["ours"].append(one.cpu)
    else:
        pipeline = pipeline_of(unet)

        def load_and_fuse() -> None:
            pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
            pipeline.fuse_lora(lora_scale=WEIGHT)

        def unfuse_and_unload() -> None:
            pipeline.unfuse_lora()
            pipeline.unload_lora_weights()

        def layer(name: str) -> Any:
            module = unet.get_submodule(name)
            return getattr(module, "base_layer", module).weight

        kept = weights(unet)
        load_and_fuse()
        pairs = zip(mine, (layer(name) for name in attention(unet)), strict=True)
        apart = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
        unfuse_and_unload()
        assert apart < 1e-5, f"the two make other weights: {apart}"
        agree = f"; the same weights to {apart:.0e}"
        changed = sum(not bool((a == b).all()) for a, b in zip(kept, weights(unet), strict=True))
        drift = f"; peft leaves {changed} of {len(kept)} weights other than they were, ours none"
        both = {"ours": (ours,), "peft": (load_and_fuse, unfuse_and_unload)}
        for _ in range(ROUNDS):
            for side in ("ours", "peft", "peft", "ours"):
                with stopwatch() as one:
                    for work in both[side]:
                        work()
                took[side].append(one.cpu)
    mine_ms = 1000 * statistics.median(took["ours"])
    theirs_ms = 1000 * statistics.median(took["peft"]) if took["peft"] else None
    peft = f"peft {version('peft')}: load, fuse, unfuse, unload" if theirs_ms else "peft is not installed"
    return Row(
        f"LoRA on and off, {size}",
        round(mine_ms, 2),
        "ms CPU",
        "ratio >= 4, and the base the same to the bit",
        exact and (theirs_ms is None or theirs_ms / mine_ms >= 4),
        f"rank {RANK} over {len(attention(unet))} layers, float32, 1 thread, from the file each time, ABBA,"
        f" medians; {peft}{agree}{drift}",
        peer=None if theirs_ms is None else round(theirs_ms, 2),
        ratio=None if theirs_ms is None else round(theirs_ms / mine_ms, 2),
    )
