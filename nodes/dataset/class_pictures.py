"""DrawClassPictures: draws the pictures for prior preservation."""

from __future__ import annotations

from typing import Annotated

from engine.context import Context
from engine.document.graph import Entry, From, Graph, Literal, Param
from engine.node import Node
from engine.widgets import Advanced, Range, Seed, Text
from nodes.latent.latents import Side
from nodes.values import Image, Model, TextEncoder, Vae


class DrawClassPictures(Node, category="dataset", returns_graph=True):
    """Draw pictures of a class with the model itself, for prior preservation (Dreambooth).

    Connect it to `class_images` of TrainLoRA or TrainModel, with the same prompt as `class_prompt`. Each
    picture is cached: with a larger `count`, only the additional ones are drawn.
    """

    model: Model
    encoder: TextEncoder
    vae: Vae
    prompt: Text
    """The class, such as `a dog`, without the subject's trigger."""
    count: Annotated[int, Range(1, 1000)] = 50
    """How many pictures; 50 to 200 are usual."""
    width: Side = 512
    """The width in pixels; usually the size to train at."""
    height: Side = 512
    """The height in pixels."""
    steps: Annotated[int, Range(1, 200)] = 25
    """The sampling steps of each picture."""
    guidance: Annotated[float, Range(0, 30, step=0.5)] = 7.0
    """How closely to follow the prompt (CFG scale)."""
    negative: Annotated[Text, Advanced] = ""
    """The negative prompt."""
    seed: Seed = 0
    """The seed of the first picture; each further one is greater by 1."""

    def run(self, ctx: Context) -> list[Image]:
        graph = Graph()

        def encoded(prompt: str, *, negative: bool) -> Entry:
            return Entry(
                "EncodePrompt",
                {"encoder": Param("encoder"), "prompt": Param(prompt), "negative": Literal(negative)},
            )

        graph.nodes["seeds"] = Entry("Seeds", {"first": Param("seed"), "count": Param("count")})
        graph.nodes["positive"] = encoded("prompt", negative=False)
        graph.nodes["negative"] = encoded("negative", negative=True)
        graph.nodes["canvas"] = Entry("EmptyLatent", {"width": Param("width"), "height": Param("height")})
        graph.nodes["denoise"] = Entry(
            "Denoise",
            {
                "model": Param("model"),
                "positive": From("positive", "out"),
                "negative": From("negative", "out"),
                "latent": From("canvas", "out"),
                "seed": From("seeds", "out"),
                "steps": Param("steps"),
                "guidance": Param("guidance"),
            },
        )
        graph.nodes["decode"] = Entry("Decode", {"vae": Param("vae"), "latent": From("denoise", "latent")})
        graph.outputs["out"] = From("decode", "out")
        return ctx.expand(graph)  # type: ignore[no-any-return]
