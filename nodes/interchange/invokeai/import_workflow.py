"""Converts InvokeAI's workflows to graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.document.graph import Binding, Entry, From, Literal
from engine.files import Files
from engine.sources.foreign import Imported
from nodes.image.size import ResizeImage
from nodes.interchange.graph_builder import GraphBuilder
from nodes.interchange.graph_from_settings import entry
from nodes.interchange.import_problems import ImportProblems, one_line, title_of
from nodes.interchange.invokeai.workflow_format import Invocation, model_name_and_hash, read_workflow
from nodes.interchange.local_files import LocalFiles, bare_name
from nodes.interchange.sampler_names import INVOKE_SCHEDULERS, KEEP_PENULTIMATE
from nodes.latent.decode import Decode, Encode
from nodes.latent.latents import EmptyLatent
from nodes.model.lora import ApplyLoRA
from nodes.prompt.encode_prompt import EncodePrompt
from nodes.sampling.denoise import Denoise

_CONSTANTS = ("integer", "float", "string", "boolean")
_NOT_KEPT = ("core_metadata", "metadata", "clip_skip", "rand_int", "save_image", *_CONSTANTS)
"""Types that are not converted to nodes: metadata, settings of other nodes, constants, and graph outputs."""
_GUIDES = ("control", "ip_adapter", "t2i_adapter", "denoise_mask")


def imported(tree: Mapping[str, Any], name: str, origin: str, files: Files) -> Imported:
    """Convert a workflow to a graph.

    Args:
        tree: the workflow.
        name: the graph's title, if the workflow has no name.
        origin: the source of the workflow, such as `InvokeAI's workflow`.
        files: the user's files.

    Raises:
        GraphError: there are too many nodes.
    """
    problems = ImportProblems()
    made = _InvokeConversion(read_workflow(tree), LocalFiles(files, problems), problems)
    made.build()
    made.graph.title = title_of(tree.get("name")) or one_line(name)
    made.graph.doc = title_of(tree.get("description"))
    return Imported(made.graph, origin, tuple(problems.problems))


class _InvokeConversion(GraphBuilder):
    """A Safelight graph under construction from InvokeAI's nodes."""

    def __init__(self, nodes: dict[str, Invocation], files: LocalFiles, problems: ImportProblems) -> None:
        super().__init__(files, problems, "invokeai")
        self._nodes = nodes
        self._ids: dict[str, str] = {}

    def build(self) -> None:
        """Convert every node, then declare the graph's inputs and outputs."""
        kept = [node for node in self._nodes.values() if node.type not in _NOT_KEPT]
        for number, node in enumerate(kept, 1):
            # InvokeAI's own ids are 36 random characters, too long to read.
            known = _NODE_TYPES.get(node.type)
            id = self._ids[node.id] = self.new_id(node.type if known is None else known.name, str(number))
            self.graph.nodes[id] = Entry("")
        for node in kept:
            id, known = self._ids[node.id], self._counterpart(node)
            if known is None:
                names = [*node.values, *(name for name in node.wires if name not in node.values)]
                made = self.placeholder(node.type, {name: self.bind(node, name) for name in names}, id)
            else:
                made = known.convert(self, node)
            made.title = made.title or node.title
            self.graph.nodes[id] = made
            if node.position is not None:
                self.graph.layout[id] = node.position
        for node in self._nodes.values():
            link = self.bind(node, "image") if node.type == "save_image" else None
            if node.type == "l2i" and node.in_gallery:
                link = From(self._ids[node.id], "out")
            if isinstance(link, From):
                self.output("image", link)
        if not self.graph.outputs:
            message, hint = "the workflow does not save a picture", "declare an output of the graph"
            self.problems.warn("no_output", message, hint)
        self.declare_inputs()

    def bind(self, node: Invocation, name: str) -> Binding | None:
        """Return the binding of an input: an output of our graph, or the value that InvokeAI would use."""
        source = node.wires.get(name)
        visited: set[tuple[str, str]] = set()
        while source is not None and source not in visited:
            visited.add(source)
            before = self._nodes[source[0]]
            if before.type == "clip_skip":
                source = before.wires.get("clip")
            elif before.type in _CONSTANTS:
                return self.spread(before.values.get("value"))
            elif before.type == "rand_int":
                self.problems.warn("random", f"{name} is set to 0; InvokeAI draws it at random in each run")
                return Literal(0)
            elif before.id in self._ids:
                known = self._counterpart(before)
                default = source[1] if known is None else "out"
                outputs = {} if known is None else known.outputs
                return From(self._ids[before.id], outputs.get(source[1], default).replace(".", "_"))
            else:
                return None
        value = node.values.get(name)
        return None if value is None else Literal(value)

    def before(self, node: Invocation, name: str) -> Invocation | None:
        """Return the node wired into an input; None if there is none."""
        source = node.wires.get(name)
        return None if source is None else self._nodes[source[0]]

    def chain(self, node: Invocation, name: str) -> Iterator[Invocation]:
        """Yield the nodes upstream of an input, through the same input of each; each node once."""
        visited: set[str] = set()
        before = self.before(node, name)
        while before is not None and before.id not in visited:
            visited.add(before.id)
            yield before
            before = self.before(before, name)

    def _counterpart(self, node: Invocation) -> _NodeType | None:
        known = _NODE_TYPES.get(node.type)
        return known if known is not None and known.fits(node) else None


def _model(made: _InvokeConversion, node: Invocation) -> Entry:
    return made.model(*model_name_and_hash(node.values.get("model")))


def _prompt(made: _InvokeConversion, node: Invocation) -> Entry:
    before = next((item for item in made.chain(node, "clip") if item.type != "lora_loader"), None)
    skip = None
    if before is not None and before.type == "clip_skip":
        skipped = made.problems.whole("skipped_layers", before.values.get("skipped_layers"), 0, 11)
        skip = skipped + 1 if skipped else None
    encoder, prompt = made.bind(node, "clip"), made.bind(node, "prompt")
    return entry(EncodePrompt, encoder=encoder, prompt=prompt, dialect="compel", clip_skip=skip)


def _canvas(made: _InvokeConversion, node: Invocation) -> Entry:
    return entry(EmptyLatent, width=made.bind(node, "width"), height=made.bind(node, "height"))


def _lora(made: _InvokeConversion, node: Invocation) -> Entry:
    name, hash = model_name_and_hash(node.values.get("lora"))
    file = made.files.lora(name, hash)
    return entry(
        ApplyLoRA,
        model=made.bind(node, "unet"),
        encoder=made.bind(node, "clip"),
        lora=bare_name(name) if file is None else file,
        weight=made.bind(node, "weight"),
        on=False if file is None else None,
    )


def _denoise(made: _InvokeConversion, node: Invocation) -> Entry:
    noise = made.before(node, "noise")
    latent = made.bind(node, "latents") if "latents" in node.wires else made.bind(node, "noise")
    begin = made.problems.number("denoising_start", node.values.get("denoising_start", 0), 0, 1)
    steps = node.values.get("steps")
    strength = None
    if "latents" in node.wires and begin and type(steps) is int and 1 <= steps <= 999:
        strength = round((max(int(steps * (1 - begin)), 1) - 0.5) / steps, 6)
    scheduler = made.problems.translated(
        "scheduler", node.values.get("scheduler"), INVOKE_SCHEDULERS, "dpmpp_2m"
    )
    rescale = made.bind(node, "cfg_rescale_multiplier")
    return entry(
        Denoise,
        model=made.bind(node, "unet"),
        positive=made.bind(node, "positive_conditioning"),
        negative=made.bind(node, "negative_conditioning"),
        latent=latent,
        seed=made.bind(noise, "seed") if noise is not None and noise.type == "noise" else None,
        steps=made.bind(node, "steps"),
        guidance=made.bind(node, "cfg_scale"),
        sampler=scheduler and scheduler[0],
        schedule=scheduler and scheduler[1],
        rescale=None if rescale == Literal(0) else rescale,
        strength=strength,
        discard_penultimate=False if scheduler and scheduler[0] in KEEP_PENULTIMATE else None,
    )


def _runs_to_the_end(node: Invocation) -> bool:
    """Return whether a denoising node can become a Denoise: it runs to the last step, without adapters."""
    whole = node.values.get("denoising_end", 1) == 1 and "denoising_start" not in node.wires
    return whole and not any(guide in node.wires for guide in _GUIDES)


def _decode(made: _InvokeConversion, node: Invocation) -> Entry:
    return entry(Decode, vae=made.bind(node, "vae"), latent=made.bind(node, "latents"), tiled=_is_tiled(node))


def _encode(made: _InvokeConversion, node: Invocation) -> Entry:
    return entry(Encode, vae=made.bind(node, "vae"), image=made.bind(node, "image"), tiled=_is_tiled(node))


def _is_tiled(node: Invocation) -> bool | None:
    return True if node.values.get("tiled") is True else None


def _picture(made: _InvokeConversion, node: Invocation) -> Entry:
    image = node.values.get("image")
    return made.picture(title_of(image.get("image_name")) if isinstance(image, dict) else "")


def _resize(made: _InvokeConversion, node: Invocation) -> Entry:
    image, width, height = (made.bind(node, name) for name in ("image", "width", "height"))
    return entry(ResizeImage, image=image, width=width, height=height, fit="stretch")


def _always(node: Invocation) -> bool:
    return True


@dataclass(frozen=True)
class _NodeType:
    """A node type of InvokeAI with a counterpart."""

    name: str
    """The prefix of the node's id in our graph."""
    convert: Callable[[_InvokeConversion, Invocation], Entry]
    outputs: Mapping[str, str]
    """Our name of each output, if it is not `out`."""
    fits: Callable[[Invocation], bool] = _always


_DENOISE = _NodeType("denoise", _denoise, {"latents": "latent"}, _runs_to_the_end)
_NODE_TYPES = {
    "main_model_loader": _NodeType("model", _model, {"unet": "model", "clip": "encoder", "vae": "vae"}),
    "compel": _NodeType("prompt", _prompt, {}),
    "noise": _NodeType("canvas", _canvas, {}),
    "denoise_latents": _DENOISE,
    "t2l": _DENOISE,
    "l2l": _DENOISE,
    "l2i": _NodeType("decode", _decode, {}),
    "i2l": _NodeType("encode", _encode, {}),
    "lora_loader": _NodeType("lora", _lora, {"unet": "model", "clip": "encoder"}),
    "image": _NodeType("picture", _picture, {}),
    "img_resize": _NodeType("resize", _resize, {}),
}
"""InvokeAI's node types with a counterpart. Other types become placeholders."""
