"""InvokeAI's workflows, as its editor saves them and as it runs them (`invokeai_graph`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from engine.errors import GraphError, Problem
from engine.files import Files
from engine.foreign import Imported
from engine.graph import Binding, Entry, From, Literal
from nodes.decode import Decode, Encode
from nodes.denoise import Denoise
from nodes.image import ResizeImage
from nodes.importing.names import INVOKE_SCHEDULERS
from nodes.importing.notes import Notes, label, told
from nodes.importing.placed import HOPS, Placed
from nodes.importing.recipe import entry
from nodes.importing.shelf import Shelf, bare
from nodes.latent import EmptyLatent
from nodes.lora import ApplyLoRA
from nodes.prompt import EncodePrompt

MOST = 10_000
FARTHEST = 10_000_000
SPREAD = 8 << 20
"""Characters of values that wires spread over nodes, in all."""


@dataclass
class Invocation:
    """A node as InvokeAI has it."""

    id: str
    type: str
    title: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    links: dict[str, tuple[str, str]] = field(default_factory=dict)
    place: list[int] | None = None
    shown: bool = False
    """Whether its picture goes into the gallery."""


def is_one(tree: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether JSON is a workflow of InvokeAI."""
    return (
        isinstance(tree, dict)
        and isinstance(tree.get("nodes"), list | dict)
        and isinstance(tree.get("edges"), list)
    )


def imported(tree: Mapping[str, Any], name: str, origin: str, files: Files) -> Imported:
    """The graph of a workflow.

    Raises:
        GraphError: it has too many nodes.
    """
    notes = Notes()
    placed = _Invoke(_read(tree), Shelf(files, notes), notes)
    placed.build()
    placed.graph.title = label(tree.get("name")) or told(name)
    placed.graph.doc = label(tree.get("description"))
    return Imported(placed.graph, origin, tuple(notes.problems))


def _read(tree: Mapping[str, Any]) -> dict[str, Invocation]:
    nodes = tree["nodes"]
    listed = nodes if isinstance(nodes, list) else list(nodes.values())
    if len(listed) > MOST:
        raise GraphError([Problem("too_large", f"it has more than {MOST:,} nodes")])
    found = {}
    for node in listed:
        if isinstance(node, dict) and (item := _invocation(node)) is not None:
            found[item.id] = item
    for edge in tree["edges"]:
        if not isinstance(edge, dict):
            continue
        ends = _ends(edge)
        if ends[0] in found and ends[2] in found:
            found[ends[2]].links[ends[3]] = ends[0], ends[1]
    return found


def _invocation(node: dict[str, Any]) -> Invocation | None:
    """A node in the editor's form, which keeps it under `data`, or in that of a graph."""
    data = node.get("data")
    if not isinstance(data, dict):
        kind = node.get("type")
        values = {name: value for name, value in node.items() if name not in _OWN and value is not None}
        shown = node.get("is_intermediate") is False
        return Invocation(str(node.get("id")), kind, values=values, shown=shown) if _is(kind) else None
    kind, inputs = data.get("type"), data.get("inputs")
    if not _is(kind) or node.get("type") == "notes":
        return None
    values = {
        name: item["value"]
        for name, item in (inputs.items() if isinstance(inputs, dict) else ())
        if isinstance(item, dict) and item.get("value") is not None
    }
    place = node.get("position")
    sides: list[Any] = [place.get("x"), place.get("y")] if isinstance(place, dict) else []
    item = Invocation(str(node.get("id")), kind, label(data.get("label")), values)
    item.shown = data.get("isIntermediate") is False
    if sides and all(type(at) in (int, float) and math.isfinite(at) and abs(at) < FARTHEST for at in sides):
        item.place = [round(at) for at in sides]
    return item


_OWN = ("id", "type", "is_intermediate", "use_cache", "workflow")


def _is(kind: Any) -> TypeGuard[str]:
    return isinstance(kind, str) and bool(kind)


def _ends(edge: dict[str, Any]) -> tuple[str, str, str, str]:
    """The node and the field that an edge leaves, and those that it goes to."""
    source, target = edge.get("source"), edge.get("destination")
    if isinstance(source, dict) and isinstance(target, dict):
        return tuple(str(end.get(key)) for end in (source, target) for key in ("node_id", "field"))  # type: ignore[return-value]
    return tuple(str(edge.get(key)) for key in ("source", "sourceHandle", "target", "targetHandle"))  # type: ignore[return-value]


_CONSTANTS = ("integer", "float", "string", "boolean")
_NOTHING = ("core_metadata", "metadata", "clip_skip", "rand_int", "save_image", *_CONSTANTS)
"""What is no node here: what is said of a picture, settings of other nodes, values that wires bring."""
_NAMES = {
    "main_model_loader": "model",
    "compel": "prompt",
    "noise": "canvas",
    "denoise_latents": "denoise",
    "t2l": "denoise",
    "l2l": "denoise",
    "l2i": "decode",
    "i2l": "encode",
    "lora_loader": "lora",
    "image": "picture",
    "img_resize": "resize",
}
_OUTPUTS = {
    "main_model_loader": {"unet": "model", "clip": "encoder", "vae": "vae"},
    "lora_loader": {"unet": "model", "clip": "encoder"},
    "denoise_latents": {"latents": "latent"},
    "t2l": {"latents": "latent"},
    "l2l": {"latents": "latent"},
}
_GUIDES = ("control", "ip_adapter", "t2i_adapter", "denoise_mask")


class _Invoke(Placed):
    """A graph out of InvokeAI's nodes."""

    def __init__(self, items: dict[str, Invocation], shelf: Shelf, notes: Notes) -> None:
        super().__init__(shelf, notes, "invokeai")
        self._items = items
        self._ids: dict[str, str] = {}
        self._left = SPREAD

    def build(self) -> None:
        """Bring over every node, then the graph's own inputs and outputs."""
        kept = [item for item in self._items.values() if item.type not in _NOTHING]
        for number, item in enumerate(kept, 1):
            # The ids of InvokeAI are 36 random signs, which nobody would want to read.
            self._ids[item.id] = self.id(_NAMES.get(item.type, item.type), str(number))
            self.graph.nodes[self._ids[item.id]] = Entry("")
        for item in kept:
            node = self._ids[item.id]
            if self._is_placeholder(item):
                names = [*item.values, *(name for name in item.links if name not in item.values)]
                held = {name: self.bind(item, name) for name in names}
                made = self.placeholder(item.type, held, node)
            else:
                made = _MAPPED[item.type](self, item)
            made.title = made.title or item.title
            self.graph.nodes[node] = made
            if item.place is not None:
                self.graph.layout[node] = item.place
        for item in self._items.values():
            link = self.bind(item, "image") if item.type == "save_image" else None
            if item.type == "l2i" and item.shown:
                link = From(self._ids[item.id], "out")
            if isinstance(link, From):
                self.output("image", link)
        if not self.graph.outputs:
            self.notes.say("no_output", "no picture is kept in it", "declare an output of the graph")
        self.declare()

    def bind(self, item: Invocation, name: str) -> Binding | None:
        """What an input of a node is bound to, wires followed to where they really come from."""
        source = item.links.get(name)
        for _ in range(HOPS):
            if source is None:
                break
            behind = self._items[source[0]]
            if behind.type == "clip_skip":
                source = behind.links.get("clip")
            elif behind.type in _CONSTANTS:
                return self._spread(behind.values.get("value"))
            elif behind.type == "rand_int":
                self.notes.say("random", f"{name} was drawn at random in each run; it is 0 here")
                return Literal(0)
            elif behind.id in self._ids:
                outputs = {} if self._is_placeholder(behind) else _OUTPUTS.get(behind.type, {})
                named = source[1] if self._is_placeholder(behind) else "out"
                return From(self._ids[behind.id], outputs.get(source[1], named).replace(".", "_"))
            else:
                return None
        value = item.values.get(name)
        return None if value is None else Literal(value)

    def behind(self, item: Invocation, name: str) -> Invocation | None:
        """The node that is wired into an input."""
        source = item.links.get(name)
        return None if source is None else self._items[source[0]]

    def _is_placeholder(self, item: Invocation) -> bool:
        if item.type in ("denoise_latents", "t2l", "l2l"):
            whole = item.values.get("denoising_end", 1) == 1 and "denoising_start" not in item.links
            return not whole or any(guide in item.links for guide in _GUIDES)
        return item.type not in _MAPPED

    def _spread(self, value: Any) -> Literal | None:
        if not isinstance(value, str | int | float | bool):
            return None
        self._left -= len(value) if isinstance(value, str) else 8
        return Literal(value) if self._left >= 0 else None


def named(model: Any) -> tuple[str, str | None]:
    """The name of a model, and the digits of its hash if that is a sha256; of any version of InvokeAI."""
    if not isinstance(model, dict):
        return model if isinstance(model, str) else "", None
    name = model.get("name", model.get("model_name", model.get("key")))
    kind, _, digits = str(model.get("hash")).rpartition(":")
    known = kind in ("sha256", "sha256_single")
    return name if isinstance(name, str) else "", digits if known else None


def _model(made: _Invoke, item: Invocation) -> Entry:
    return made.model(*named(item.values.get("model")))


def _prompt(made: _Invoke, item: Invocation) -> Entry:
    behind = made.behind(item, "clip")
    for _ in range(HOPS):
        if behind is not None and behind.type == "lora_loader":
            behind = made.behind(behind, "clip")
    skip = None
    if behind is not None and behind.type == "clip_skip":
        skipped = made.notes.whole("skipped_layers", behind.values.get("skipped_layers"), 0, 11)
        skip = skipped + 1 if skipped else None
    encoder, prompt = made.bind(item, "clip"), made.bind(item, "prompt")
    return entry(EncodePrompt, encoder=encoder, prompt=prompt, dialect="compel", clip_skip=skip)


def _canvas(made: _Invoke, item: Invocation) -> Entry:
    return entry(EmptyLatent, width=made.bind(item, "width"), height=made.bind(item, "height"))


def _lora(made: _Invoke, item: Invocation) -> Entry:
    asked, hash = named(item.values.get("lora"))
    found = made.shelf.lora(asked, hash)
    return entry(
        ApplyLoRA,
        model=made.bind(item, "unet"),
        encoder=made.bind(item, "clip"),
        lora=bare(asked) if found is None else found,
        weight=made.bind(item, "weight"),
        on=False if found is None else None,
    )


def _denoise(made: _Invoke, item: Invocation) -> Entry:
    noise = made.behind(item, "noise")
    latent = made.bind(item, "latents") if "latents" in item.links else made.bind(item, "noise")
    begin = made.notes.number("denoising_start", item.values.get("denoising_start", 0), 0, 1)
    steps = item.values.get("steps")
    strength = None
    if "latents" in item.links and begin and type(steps) is int and 1 <= steps <= 999:
        strength = round((max(int(steps * (1 - begin)), 1) - 0.5) / steps, 6)
    scheduler = made.notes.known("scheduler", item.values.get("scheduler"), INVOKE_SCHEDULERS, "dpmpp_2m")
    rescale = made.bind(item, "cfg_rescale_multiplier")
    return entry(
        Denoise,
        model=made.bind(item, "unet"),
        positive=made.bind(item, "positive_conditioning"),
        negative=made.bind(item, "negative_conditioning"),
        latent=latent,
        seed=made.bind(noise, "seed") if noise is not None and noise.type == "noise" else None,
        steps=made.bind(item, "steps"),
        guidance=made.bind(item, "cfg_scale"),
        sampler=scheduler and scheduler[0],
        schedule=scheduler and scheduler[1],
        rescale=None if rescale == Literal(0) else rescale,
        strength=strength,
    )


def _decode(made: _Invoke, item: Invocation) -> Entry:
    return entry(Decode, vae=made.bind(item, "vae"), latent=made.bind(item, "latents"), tiled=_tiled(item))


def _encode(made: _Invoke, item: Invocation) -> Entry:
    return entry(Encode, vae=made.bind(item, "vae"), image=made.bind(item, "image"), tiled=_tiled(item))


def _tiled(item: Invocation) -> bool | None:
    return True if item.values.get("tiled") is True else None


def _picture(made: _Invoke, item: Invocation) -> Entry:
    image = item.values.get("image")
    return made.picture(label(image.get("image_name")) if isinstance(image, dict) else "")


def _resize(made: _Invoke, item: Invocation) -> Entry:
    image, width, height = (made.bind(item, name) for name in ("image", "width", "height"))
    return entry(ResizeImage, image=image, width=width, height=height, fit="stretch")


_MAPPED: dict[str, Callable[[_Invoke, Invocation], Entry]] = {
    "main_model_loader": _model,
    "compel": _prompt,
    "noise": _canvas,
    "denoise_latents": _denoise,
    "t2l": _denoise,
    "l2l": _denoise,
    "l2i": _decode,
    "i2l": _encode,
    "lora_loader": _lora,
    "image": _picture,
    "img_resize": _resize,
}
