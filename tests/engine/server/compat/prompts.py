"""Prompts in ComfyUI's API format."""

from __future__ import annotations

from typing import Any

from nodes.files.checkpoints import EMBEDDED


def node(type: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    """A node of a prompt."""
    return {"class_type": type, "inputs": inputs, "_meta": {"title": title or type}}


def plain(color: int, count: int = 1) -> dict[str, Any]:
    """Pictures of one colour, which need no model."""
    return {
        "3": node("EmptyImage", width=16, height=8, batch_size=count, color=color),
        "9": node("SaveImage", "Save Image", images=["3", 0], filename_prefix="ComfyUI"),
    }


def text_to_image(seed: int, text: str = "a red circle", steps: int = 2) -> dict[str, Any]:
    """The usual prompt, on the embedded model."""
    return {
        "4": node("CheckpointLoaderSimple", ckpt_name=EMBEDDED),
        "5": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "6": node("CLIPTextEncode", "Positive", text=text, clip=["4", 1]),
        "7": node("CLIPTextEncode", "Negative", text="", clip=["4", 1]),
        "3": node(
            "KSampler",
            model=["4", 0],
            positive=["6", 0],
            negative=["7", 0],
            latent_image=["5", 0],
            seed=seed,
            steps=steps,
            cfg=5.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        ),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", "Save Image", images=["8", 0], filename_prefix="ComfyUI"),
    }
