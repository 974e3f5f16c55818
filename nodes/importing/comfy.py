"""ComfyUI: pictures with a `workflow` or `prompt`, and both as JSON files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from engine import foreign as foreigners
from engine.errors import GraphError
from engine.files import Files
from engine.foreign import Foreign, Imported
from engine.graph import Binding, Entry, From, Literal
from engine.widgets import SEED_MAX
from nodes.decode import Decode, Encode
from nodes.denoise import Denoise
from nodes.embeddings import LoadEmbeddings
from nodes.image import ResizeImage
from nodes.importing import comfy_items
from nodes.importing.comfy_items import BYPASSED, Given, Item, Items, Slot
from nodes.importing.names import COMFY_SAMPLERS, COMFY_SCHEDULES
from nodes.importing.notes import Notes, told
from nodes.importing.placed import HOPS, Placed, output_name
from nodes.importing.recipe import entry
from nodes.importing.shelf import Shelf, bare
from nodes.latent import EmptyLatent
from nodes.lora import ApplyLoRA
from nodes.prompt import EncodePrompt

CHUNKS = ("workflow", "prompt")
SPREAD = 8 << 20
"""Characters of values that wires spread over nodes, in all."""

_EMBEDDING = re.compile(r"embedding:([^\s,()]{1,200})")

NAMES = {
    "CheckpointLoaderSimple": "model",
    "CheckpointLoader": "model",
    "CLIPTextEncode": "prompt",
    "EmptyLatentImage": "canvas",
    "ImageScale": "resize",
    "KSampler": "denoise",
    "KSamplerAdvanced": "denoise",
    "LoadImage": "picture",
    "LoraLoader": "lora",
    "LoraLoaderModelOnly": "lora",
    "VAEDecode": "decode",
    "VAEDecodeTiled": "decode",
    "VAEEncode": "encode",
    "VAEEncodeTiled": "encode",
}
"""What the nodes that are mapped are called here."""
_OUTPUTS = {
    "CheckpointLoaderSimple": ("model", "encoder", "vae"),
    "CheckpointLoader": ("model", "encoder", "vae"),
    "KSampler": ("latent",),
    "KSamplerAdvanced": ("latent",),
    "LoraLoader": ("model", "encoder"),
    "LoraLoaderModelOnly": ("model",),
}
_LOADERS = ("CheckpointLoaderSimple", "CheckpointLoader")
_LORAS = ("LoraLoader", "LoraLoaderModelOnly")
_PRIMITIVES = (
    "PrimitiveNode",
    "PrimitiveInt",
    "PrimitiveFloat",
    "PrimitiveString",
    "PrimitiveStringMultiline",
    "PrimitiveBoolean",
)
_SAVERS = {"SaveImage": "image", "PreviewImage": "preview"}
_NOTHING = ("Note", "MarkdownNote", "Reroute", "CLIPSetLastLayer", *_PRIMITIVES, *_SAVERS)
"""What is no node here: notes, bends of wires, values that wires bring, and what outputs of the graph do."""


def read(foreign: Foreign, tree: Any, files: Files) -> Imported | None:
    """The graph of a workflow; None if there is none.

    Args:
        foreign: the file.
        tree: its JSON, if it is JSON.
        files: where names are looked up.

    Raises:
        GraphError: there is one, and it is damaged or too large.
    """
    found = _found(foreign, tree)
    if found is None:
        return None
    items, origin = found
    notes = Notes()
    placed = _Comfy(items, Shelf(files, notes), notes)
    placed.build()
    placed.graph.title = told(foreign.name)
    return Imported(placed.graph, origin, tuple(notes.problems))


def _found(foreign: Foreign, tree: Any) -> tuple[Items, str] | None:
    if comfy_items.is_workflow(tree):
        return comfy_items.from_workflow(tree), "ComfyUI's workflow"
    for api in (tree, tree.get("prompt") if isinstance(tree, dict) else None):
        if comfy_items.is_api(api):
            return comfy_items.from_api(api), "ComfyUI's workflow in the API format"
    trees: dict[str, Any] = {}
    damage: GraphError | None = None
    for chunk in CHUNKS:
        if foreign.chunks.get(chunk, "").lstrip()[:1] == "{":
            try:
                trees[chunk] = foreigners.parse(foreign.chunks[chunk])
            except GraphError as error:
                damage = error
    workflow, api = trees.get("workflow"), trees.get("prompt")
    if comfy_items.is_workflow(workflow):
        items = comfy_items.from_workflow(workflow)
        if comfy_items.is_api(api):
            comfy_items.named(items, comfy_items.from_api(api))
        return items, "the workflow that ComfyUI wrote"
    if comfy_items.is_api(api):
        return comfy_items.from_api(api), "the prompt that ComfyUI wrote"
    if damage is not None:
        raise damage
    return None


class _Comfy(Placed):
    """A graph out of ComfyUI's nodes."""

    def __init__(self, items: Items, shelf: Shelf, notes: Notes) -> None:
        super().__init__(shelf, notes, "comfy")
        self._items, self._stands = items.items, items.stands
        self._ids: dict[str, str] = {}
        self._left = SPREAD
        self._embedded: dict[From, From] = {}

    def build(self) -> None:
        """Bring over every node, then the graph's own inputs and outputs."""
        for item in self._items.values():
            if item.type not in _NOTHING:
                kept = self._ids[item.id] = self.id(NAMES.get(item.type, item.type), item.id)
                self.graph.nodes[kept] = Entry("")  # in the order of the file, before others come between
        for item in self._items.values():
            if item.type in _NOTHING:
                continue
            node = self._ids[item.id]
            if self._is_placeholder(item):
                made = self.placeholder(item.type, self._held(item), node, off=bool(item.mode))
            else:
                made = _MAPPED[item.type](self, item)
            made.off = bool(item.mode)
            made.title = made.title or (item.title if item.title != item.type else "")
            self.graph.nodes[node] = made
            if item.place is not None:
                self.graph.layout[node] = item.place
        for item in self._items.values():
            if item.type in _SAVERS and not item.mode:
                link = self.bind(item, "images")
                if isinstance(link, From):
                    self.output(_SAVERS[item.type], link)
        if not self.graph.outputs:
            self.notes.say(
                "no_output", "no picture is saved or shown in it", "declare an output of the graph"
            )
        self.declare()

    def bind(self, item: Item, name: str) -> Binding | None:
        """What an input of a node is bound to, wires followed to where they really come from."""
        if name in item.links:
            source = self.behind(item.links[name])
            if isinstance(source, Given):
                return self._spread(source.value)
            if source is not None:
                return From(self._ids[source.item], self._output(source))
        value = item.values.get(name)
        return None if value is None else Literal(value)

    def behind(self, source: Slot | Given | None) -> Slot | Given | None:
        """Where a wire really comes from: past bends, subgraphs' ends and nodes that are bypassed."""
        for _ in range(HOPS):
            if not isinstance(source, Slot):
                return source
            if source in self._stands:
                source = self._stands[source]
                continue
            item = self._items.get(source.item)
            if item is None:
                return None
            if item.type == "Reroute":
                source = next(iter(item.links.values()), None)
            elif item.type == "CLIPSetLastLayer":
                source = item.links.get("clip")
            elif item.type in _PRIMITIVES:
                given = item.values.get("value", next(iter(item.values.values()), None))
                first = given[0] if isinstance(given, list) and given else given
                source = item.links.get("value") or Given(first)
            elif item.mode == BYPASSED and item.type not in _LORAS:
                source = comfy_items.passed(item, source.slot)
            elif source.item in self._ids:
                return source
            else:
                return None
        return None

    def layer(self, item: Item) -> int | None:
        """The layer of the text encoder that a prompt is read from: the nearest CLIPSetLastLayer says."""
        source = item.links.get("clip")
        for _ in range(HOPS):
            if not isinstance(source, Slot):
                return None
            if source in self._stands:
                source = self._stands[source]
                continue
            behind = self._items.get(source.item)
            if behind is None:
                return None
            if behind.type == "CLIPSetLastLayer" and not behind.mode:
                said = self.bind(behind, "stop_at_clip_layer")
                value = said.value if isinstance(said, Literal) else None
                skip = -value if type(value) is int else value
                return self.notes.whole("stop_at_clip_layer", skip, 1, 12)
            bend = behind.type == "Reroute"
            source = next(iter(behind.links.values()), None) if bend else behind.links.get("clip")
        return None

    def encoder_of(self, item: Item) -> From | None:
        """The text encoder that belongs to a node's model, for nodes that take the model alone."""
        source = self.behind(item.links.get("model"))
        for _ in range(HOPS):
            if not isinstance(source, Slot):
                return None
            behind = self._items[source.item]
            if behind.type in _LOADERS:
                return From(self._ids[behind.id], "encoder")
            source = self.behind(behind.links.get("model"))
        return None

    def embedded(self, encoder: Binding | None, text: str) -> Binding | None:
        """The encoder of a prompt, with the user's embeddings if the prompt names any."""
        names = _EMBEDDING.findall(text)
        if not isinstance(encoder, From) or not names:
            return encoder
        self.shelf.embeddings("", {bare(name).partition(".")[0]: "" for name in names})
        if encoder not in self._embedded:
            node = self.id("embeddings", encoder.node)
            self.graph.nodes[node] = entry(LoadEmbeddings, encoder=encoder)
            self._embedded[encoder] = From(node, "out")
        return self._embedded[encoder]

    def _output(self, source: Slot) -> str:
        item = self._items[source.item]
        outputs: tuple[str, ...] = ()
        if not self._is_placeholder(item):
            outputs = _OUTPUTS.get(item.type, ("out",))
        if source.slot < len(outputs):
            return outputs[source.slot] if source.slot >= 0 else "0"
        return output_name([name for name, _ in item.outputs], source.slot)

    def _is_placeholder(self, item: Item) -> bool:
        fits = _FITS.get(item.type)
        return item.type not in _MAPPED or (fits is not None and not fits(item))

    def _held(self, item: Item) -> dict[str, Any]:
        names = [*item.values, *(name for name in item.links if name not in item.values)]
        return {name: self.bind(item, name) for name in names}

    def _spread(self, value: Any) -> Literal | None:
        if not isinstance(value, str | int | float | bool):
            return None
        self._left -= len(value) if isinstance(value, str) else 8
        if self._left < 0:
            if self._left + len(str(value)) >= 0:
                self.notes.say(
                    "too_large", "its values are too many to be spread along wires; some are left out"
                )
            return None
        return Literal(value)


def _plain(item: Item, name: str) -> Any:
    """The value of an input that no wire fills."""
    return None if name in item.links else item.values.get(name)


def _text(item: Item, name: str) -> str:
    value = item.values.get(name)
    return value if isinstance(value, str) else ""


def _model(made: _Comfy, item: Item) -> Entry:
    return made.model(_text(item, "ckpt_name"))


def _prompt(made: _Comfy, item: Item) -> Entry:
    text = made.bind(item, "text")
    said = text.value if isinstance(text, Literal) else ""
    encoder = made.embedded(made.bind(item, "clip"), said if isinstance(said, str) else "")
    return entry(EncodePrompt, encoder=encoder, prompt=text, dialect="comfy", clip_skip=made.layer(item))


def _canvas(made: _Comfy, item: Item) -> Entry:
    width, height, batch = (made.bind(item, name) for name in ("width", "height", "batch_size"))
    return entry(EmptyLatent, width=width, height=height, batch=batch)


def _lora(made: _Comfy, item: Item) -> Entry:
    alone = item.type == "LoraLoaderModelOnly"
    encoder = made.encoder_of(item) if alone else made.bind(item, "clip")
    asked = _text(item, "lora_name")
    found = made.shelf.lora(asked)
    return entry(
        ApplyLoRA,
        model=made.bind(item, "model"),
        encoder=encoder,
        lora=bare(asked) if found is None else found,
        weight=made.bind(item, "strength_model"),
        encoder_weight=0.0 if alone else made.bind(item, "strength_clip"),
        on=False if found is None else None,
    )


def _sampler(made: _Comfy, item: Item) -> Entry:
    steps, strength = made.bind(item, "steps"), made.bind(item, "denoise")
    if isinstance(strength, Literal) and isinstance(steps, Literal):
        steps, strength = _share(made, item, steps.value, strength.value)
    return _denoise(made, item, "seed", steps, strength)


def _advanced(made: _Comfy, item: Item) -> Entry:
    steps = item.values["steps"]
    begin = item.values.get("start_at_step", 0)
    assert isinstance(steps, int)
    assert isinstance(begin, int)
    strength = None if begin == 0 else Literal(_strength(steps, steps - begin))
    return _denoise(made, item, "noise_seed", Literal(steps), strength)


def _whole_run(item: Item) -> bool:
    """Whether a KSamplerAdvanced adds noise and goes to the end, which is what our sampler does."""
    steps, begin = _plain(item, "steps"), _plain(item, "start_at_step")
    end = _plain(item, "end_at_step")
    return (
        _plain(item, "add_noise") == "enable"
        and _plain(item, "return_with_leftover_noise") == "disable"
        and type(steps) is int
        and type(begin) is int
        and type(end) is int
        and 0 <= begin < steps <= end
    )


def _strength(steps: int, kept: int) -> float:
    """The strength at which our sampler runs the last `kept` of some steps; see `Schedule.for_strength`."""
    return round((kept - 0.5) / steps, 6)


def _share(made: _Comfy, item: Item, steps: Any, denoise: Any) -> tuple[Any, Any]:
    """Steps and strength that run the very steps that ComfyUI runs: it counts only those that it does."""
    share = made.notes.number("denoise", denoise, 0, 1)
    if share is None or share >= 1 or type(steps) is not int or steps < 1:
        return steps, None
    planned = int(steps / share) if share > 0.001 else 0
    if not 1 <= planned <= 999:
        made.notes.left_out("denoise", denoise, "the schedule would have more than 999 steps")
        return steps, share
    if planned > steps:
        message = f"{steps} steps at denoise {share:g} are the last {steps} of {planned}, and written so here"
        made.notes.say("other_steps", message)
    return planned, _strength(planned, steps)


def _denoise(made: _Comfy, item: Item, seed_name: str, steps: Any, strength: Any) -> Entry:
    seed = made.bind(item, seed_name)
    if isinstance(seed, Literal) and type(seed.value) is int and seed.value > SEED_MAX:
        made.notes.say("other_seed", f"the seed {seed.value} is larger than {SEED_MAX}: another picture")
        seed = Literal(seed.value % (SEED_MAX + 1))
    return entry(
        Denoise,
        model=made.bind(item, "model"),
        positive=made.bind(item, "positive"),
        negative=made.bind(item, "negative"),
        latent=made.bind(item, "latent_image"),
        seed=seed,
        steps=steps,
        guidance=made.bind(item, "cfg"),
        sampler=_known(made, item, "sampler_name", COMFY_SAMPLERS, "dpmpp_2m"),
        schedule=_known(made, item, "scheduler", COMFY_SCHEDULES, "karras"),
        strength=strength,
    )


def _known(made: _Comfy, item: Item, name: str, names: Mapping[str, str], usual: str) -> Any:
    binding = made.bind(item, name)
    if not isinstance(binding, Literal):
        return binding
    return made.notes.known(name, binding.value, names, usual)


def _decode(made: _Comfy, item: Item) -> Entry:
    tiled = True if item.type.endswith("Tiled") else None
    return entry(Decode, vae=made.bind(item, "vae"), latent=made.bind(item, "samples"), tiled=tiled)


def _encode(made: _Comfy, item: Item) -> Entry:
    tiled = True if item.type.endswith("Tiled") else None
    return entry(Encode, vae=made.bind(item, "vae"), image=made.bind(item, "pixels"), tiled=tiled)


def _picture(made: _Comfy, item: Item) -> Entry:
    return made.picture(_text(item, "image").removesuffix(" [input]"))


def _resize(made: _Comfy, item: Item) -> Entry:
    method = _plain(item, "upscale_method")
    if method not in (None, "lanczos"):
        made.notes.say(
            "other_method", f"ImageScale: {told(method)} becomes lanczos: slightly another picture"
        )
    fit = "crop" if item.values.get("crop") == "center" else "stretch"
    image, width, height = (made.bind(item, name) for name in ("image", "width", "height"))
    return entry(ResizeImage, image=image, width=width, height=height, fit=fit)


def _both_sides(item: Item) -> bool:
    """Whether an ImageScale says both sides: 0 would keep the proportions, which ours cannot."""
    return 0 not in (_plain(item, "width"), _plain(item, "height"))


_MAPPED: dict[str, Callable[[_Comfy, Item], Entry]] = {
    "CheckpointLoaderSimple": _model,
    "CheckpointLoader": _model,
    "CLIPTextEncode": _prompt,
    "EmptyLatentImage": _canvas,
    "ImageScale": _resize,
    "KSampler": _sampler,
    "KSamplerAdvanced": _advanced,
    "LoadImage": _picture,
    "LoraLoader": _lora,
    "LoraLoaderModelOnly": _lora,
    "VAEDecode": _decode,
    "VAEDecodeTiled": _decode,
    "VAEEncode": _encode,
    "VAEEncodeTiled": _encode,
}
_FITS: dict[str, Callable[[Item], bool]] = {"KSamplerAdvanced": _whole_run, "ImageScale": _both_sides}
"""Those that have a counterpart only with some values."""
