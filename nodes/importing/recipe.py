"""A picture in a dozen facts, as the tools without nodes write them, and the graph that draws it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.foreign import Imported
from engine.graph import Binding, Entry, From, Graph, GraphInput, Literal, Param
from engine.node import Node
from nodes.decode import Decode, Encode
from nodes.denoise import Denoise
from nodes.embeddings import LoadEmbeddings
from nodes.hypernetwork import ApplyHypernetwork
from nodes.image import LoadImage, ResizeImage
from nodes.importing.notes import Notes, told
from nodes.importing.shelf import Shelf, bare
from nodes.latent import EmptyLatent
from nodes.load import LoadModel
from nodes.lora import ApplyLoRA
from nodes.prompt import EncodePrompt

COLUMN, ROW = 320, 180
"""How far apart cards are drawn."""
LEAST, MOST, STEP = 64, 8192, 8
"""Sides of pictures, in pixels."""
DOCS = {
    "prompt": "What to picture",
    "negative": "What to keep out of the picture",
    "seed": "Another seed, another picture",
    "steps": "More settle finer detail",
    "guidance": "How strictly to follow the prompt",
    "width": "Pixels across, a multiple of 8",
    "height": "Pixels down, a multiple of 8",
    "strength": "How much to change: 0 nearly nothing, 1 everything",
}


@dataclass
class AskedLora:
    """A LoRA as another tool names it."""

    name: str
    weight: float
    encoder_weight: float | None = None
    ranks: int | None = None
    hash: str | None = None


@dataclass
class Recipe:
    """What made a picture; None and empty for what is not known."""

    prompt: str = ""
    negative: str = ""
    dialect: str = "a1111"
    emphasis: str | None = None
    steps: int | None = None
    sampler: str | None = None
    schedule: str | None = None
    guidance: float | None = None
    rescale: float | None = None
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    batch: int | None = None
    clip_skip: int | None = None
    model: str = ""
    model_hash: str | None = None
    loras: list[AskedLora] = field(default_factory=list)
    hypernetworks: list[tuple[str, float]] = field(default_factory=list)
    embeddings: dict[str, str] = field(default_factory=dict)
    """Those that it names for certain, with the first digits of their sha256."""
    strength: float | None = None
    """How much of a given picture was changed; None if there was none."""
    picture: str = ""
    """What that picture was called."""

    def imported(self, shelf: Shelf, notes: Notes, origin: str, title: str) -> Imported:
        """The graph that draws it."""
        graph = _Built(self, shelf, notes).graph
        graph.title = told(title)
        return Imported(graph, origin, tuple(notes.problems))


def entry(kind: type[Node], **inputs: Any) -> Entry:
    """A node of a graph; what is None is left to its default."""
    return Entry(
        kind.node_type.id, {name: bound(value) for name, value in inputs.items() if value is not None}
    )


def bound(value: Any) -> Binding:
    """What an input is bound to: a wire, an input of the graph, or a plain value."""
    return value if isinstance(value, From | Param | Literal) else Literal(value)


class _Built:
    """The graph of a recipe, node by node."""

    def __init__(self, recipe: Recipe, shelf: Shelf, notes: Notes) -> None:
        self.graph = Graph(outputs={"image": From("decode", "out")})
        self._recipe, self._shelf, self._notes = recipe, shelf, notes
        self._column = 0
        inputs = self.graph.inputs
        inputs["prompt"] = GraphInput("text", recipe.prompt, False, DOCS["prompt"])
        inputs["negative"] = GraphInput("text", recipe.negative, False, DOCS["negative"])
        model, encoder = self._models()
        self._prompts(encoder)
        latent = self._canvas() if recipe.strength is None else self._picture()
        self._denoised(model, latent)

    def _add(self, name: str, node: Entry, row: int = 0) -> None:
        self.graph.nodes[name] = node
        self.graph.layout[name] = [self._column * COLUMN, row * ROW]

    def _models(self) -> tuple[From, From]:
        recipe = self._recipe
        self.graph.inputs["model"] = model_input(self._shelf, recipe.model, recipe.model_hash)
        self._add("model", entry(LoadModel, model=Param("model")))
        model, encoder = From("model", "model"), From("model", "encoder")
        for number, asked in enumerate(recipe.loras, 1):
            self._column += 1
            name = "lora" if number == 1 else f"lora-{number}"
            self._add(name, applied_lora(self._shelf, asked, model, encoder))
            model, encoder = From(name, "model"), From(name, "encoder")
        for number, (file, strength) in enumerate(recipe.hypernetworks, 1):
            self._column += 1
            name = "hypernetwork" if number == 1 else f"hypernetwork-{number}"
            found = self._shelf.hypernetwork(file)
            node = entry(ApplyHypernetwork, model=model, hypernetwork=found, strength=strength)
            node.off = found is None
            self._add(name, node, 1)
            model = From(name, "out")
        if self._shelf.embeddings(f"{recipe.prompt}\n{recipe.negative}", recipe.embeddings):
            self._column += 1
            self._add("embeddings", entry(LoadEmbeddings, encoder=encoder))
            encoder = From("embeddings", "out")
        return model, encoder

    def _prompts(self, encoder: From) -> None:
        recipe = self._recipe
        self._column += 1
        same = {"dialect": recipe.dialect, "emphasis": recipe.emphasis, "clip_skip": recipe.clip_skip}
        self._add("positive", entry(EncodePrompt, encoder=encoder, prompt=Param("prompt"), **same))
        negative = entry(EncodePrompt, encoder=encoder, prompt=Param("negative"), **same, negative=True)
        self._add("negative", negative, 1)

    def _sized(self) -> dict[str, Any]:
        for side, pixels in (("width", self._recipe.width), ("height", self._recipe.height)):
            self.graph.inputs[side] = GraphInput("int", pixels or 512, False, DOCS[side])
        return {"width": Param("width"), "height": Param("height")}

    def _canvas(self) -> From:
        self._add("canvas", entry(EmptyLatent, **self._sized(), batch=self._recipe.batch), 2)
        return From("canvas", "out")

    def _picture(self) -> From:
        """A picture to begin with: no text of a picture holds one, so it is named with the run."""
        recipe = self._recipe
        found = self._shelf.picture(recipe.picture)
        self.graph.inputs["image"] = GraphInput("file", found, found is None, "The picture to begin with")
        self.graph.inputs["strength"] = GraphInput("float", recipe.strength, False, DOCS["strength"])
        self._add("picture", entry(LoadImage, image=Param("image")), 2)
        self._add("resize", entry(ResizeImage, image=From("picture", "out"), **self._sized()), 3)
        self._add("encode", entry(Encode, vae=From("model", "vae"), image=From("resize", "out")), 4)
        return From("encode", "out")

    def _denoised(self, model: From, latent: From) -> None:
        recipe = self._recipe
        inputs = self.graph.inputs
        inputs["seed"] = GraphInput("seed", recipe.seed or 0, False, DOCS["seed"])
        inputs["steps"] = GraphInput("int", recipe.steps or 20, False, DOCS["steps"])
        guidance = 7.0 if recipe.guidance is None else recipe.guidance
        inputs["guidance"] = GraphInput("float", guidance, False, DOCS["guidance"])
        denoise = entry(
            Denoise,
            model=model,
            positive=From("positive", "out"),
            negative=From("negative", "out"),
            latent=latent,
            seed=Param("seed"),
            steps=Param("steps"),
            guidance=Param("guidance"),
            sampler=recipe.sampler,
            schedule=recipe.schedule,
            rescale=recipe.rescale,
            strength=None if recipe.strength is None else Param("strength"),
        )
        self._column += 1
        self._add("denoise", denoise)
        self._column += 1
        self._add("decode", entry(Decode, vae=From("model", "vae"), latent=From("denoise", "latent")))


def side(notes: Notes, field: str, said: Any) -> int | None:
    """The side of a picture, brought to a multiple of 8; None, noted, for what is none."""
    found = notes.whole(field, said, LEAST, MOST)
    if found is None or found % STEP == 0:
        return found
    notes.say("rounded", f"{field}: {found} becomes {found // STEP * STEP}, a multiple of {STEP}")
    return found // STEP * STEP


def model_input(shelf: Shelf, name: str, hash: str | None = None) -> GraphInput:
    """The graph's input for a model; one without a default, that a run has to fill, if it is not there."""
    found = shelf.model(name, hash)
    doc = "Which model draws it" + (f"; it was made with {told(name)}" if found is None and name else "")
    return GraphInput("file", found, found is None, doc)


def applied_lora(shelf: Shelf, asked: AskedLora, model: From, encoder: From) -> Entry:
    """The node of a LoRA; one that is not there is left off, so that nothing is drawn with another."""
    found = shelf.lora(asked.name, asked.hash)
    name = bare(asked.name) if found is None else found
    own = None if asked.encoder_weight in (None, asked.weight) else asked.encoder_weight
    row = {"lora": name, "weight": asked.weight, "encoder_weight": own}
    off = {} if found is not None else {"on": False}
    if asked.ranks is None:
        return entry(ApplyLoRA, model=model, encoder=encoder, **row, **off)
    return entry(ApplyLoRA, model=model, encoder=encoder, more=[{**row, "ranks": asked.ranks, **off}])
