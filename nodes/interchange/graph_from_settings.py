"""Builds a graph from the settings of a picture."""

from __future__ import annotations

from typing import Any

from engine.document.graph import Binding, Entry, From, Graph, GraphInput, Literal, Param
from engine.node import Node
from engine.sources.foreign import Imported
from nodes.files.checkpoints import EMBEDDED
from nodes.image.effects import Composite
from nodes.image.load_image import LoadImage, LoadMask
from nodes.image.mask import (
    CombineMasks,
    GrowMask,
    ImageToMask,
    InvertMask,
    MaskToImage,
    ResizeMask,
    ThresholdMask,
)
from nodes.image.size import ResizeImage
from nodes.image.upscale import LoadUpscaler, UpscaleImage
from nodes.interchange.import_problems import ImportProblems, one_line
from nodes.interchange.local_files import LocalFiles, bare_name
from nodes.interchange.picture_settings import HiresPass, InpaintMask, PictureSettings, RequestedLora
from nodes.latent.decode import Decode, Encode
from nodes.latent.inpaint import CropAroundMask, EncodeForInpainting
from nodes.latent.latents import EmptyLatent, MaskLatent, ResizeLatent
from nodes.model.embeddings import LoadEmbeddings
from nodes.model.hypernetwork import ApplyHypernetwork
from nodes.model.load import LoadModel
from nodes.model.lora import ApplyLoRA
from nodes.prompt.distilled_guidance import SetDistilledGuidance
from nodes.prompt.encode_prompt import EncodePrompt
from nodes.sampling.denoise import Denoise

LATENT_UPSCALERS = {
    "latent": ("bilinear", False),
    "latent (antialiased)": ("bilinear", True),
    "latent (bicubic)": ("bicubic", False),
    "latent (bicubic antialiased)": ("bicubic", True),
    "latent (nearest)": ("nearest", False),
    "latent (nearest-exact)": ("nearest", False),
}
"""Our method, and whether it is smoothed, for each of A1111's upscalers of latents."""
PIXEL_UPSCALERS = {"none": "lanczos", "lanczos": "lanczos", "nearest": "nearest"}
"""Our method for each of A1111's upscalers of pictures that need no model."""
OPAQUE = round(128 / 255, 6)
"""A1111 takes a transparent mask as on where its alpha, from 0 to 255, is above 128."""
CELL = 8
"""The pixels of a latent cell, along each side."""
COLUMN_WIDTH, ROW_HEIGHT = 320, 180
"""Distances between the cards of the graph."""
INPUT_HELP = {
    "prompt": "What the picture should show",
    "negative": "What the picture should not show",
    "seed": "The seed of the noise; another seed gives another picture",
    "steps": "More steps give finer detail and take longer",
    "guidance": "How closely to follow the prompt (CFG scale)",
    "width": "The width in pixels, a multiple of 8",
    "height": "The height in pixels, a multiple of 8",
    "strength": "Denoising strength: 0 changes almost nothing, 1 everything",
}


def imported(
    settings: PictureSettings, files: LocalFiles, problems: ImportProblems, origin: str, title: str
) -> Imported:
    """Build the graph of a picture's settings.

    Args:
        settings: the settings.
        files: finds the files that the settings name.
        problems: the warnings of the import so far.
        origin: the source of the settings, such as `A1111's parameters`.
        title: the graph's title.
    """
    graph = _SettingsGraph(settings, files).graph
    warn_of_clip_skip(graph, problems)
    graph.title = one_line(title)
    return Imported(graph, origin, tuple(problems.problems))


def entry(node_type: type[Node], **inputs: Any) -> Entry:
    """Make a node. Inputs that are None keep their default."""
    bindings = {name: binding(value) for name, value in inputs.items() if value is not None}
    return Entry(node_type.node_type.id, bindings)


def binding(value: Any) -> Binding:
    """Return a wire or graph input unchanged, and any other value as a literal."""
    return value if isinstance(value, From | Param | Literal) else Literal(value)


def warn_of_clip_skip(graph: Graph, problems: ImportProblems) -> None:
    """Warn if a graph uses clip skip with the embedded model, which was not trained for it."""
    embedded = any(item.default == EMBEDDED for item in graph.inputs.values())
    skips = [
        node.inputs.get("clip_skip")
        for node in graph.nodes.values()
        if node.type == EncodePrompt.node_type.id
    ]
    if embedded and any(isinstance(skip, Literal) and skip.value != 1 for skip in skips):
        problems.warn(
            "clip_skip",
            f"{EMBEDDED} was trained with clip skip 1; with any other value, its backgrounds turn brown",
            "set clip_skip to 1 in EncodePrompt, or choose another model",
        )


def model_input(files: LocalFiles, name: str, hash: str | None = None) -> GraphInput:
    """Make the graph input for a model. If the model is missing, the input has no default and is required."""
    file = files.model(name, hash)
    made_with = f"; the picture was made with {one_line(name)}" if file is None and name else ""
    return GraphInput("file", file, file is None, f"The model that draws the picture{made_with}")


class _SettingsGraph:
    """Builds the graph of one picture's settings node by node."""

    def __init__(self, settings: PictureSettings, files: LocalFiles) -> None:
        self.graph = Graph(outputs={"image": From("decode", "out")})
        self._settings, self._files = settings, files
        self._column = 0
        self._positive = From("positive", "out")
        inputs = self.graph.inputs
        inputs["prompt"] = GraphInput("text", settings.prompt, False, INPUT_HELP["prompt"])
        inputs["negative"] = GraphInput("text", settings.negative, False, INPUT_HELP["negative"])
        model, encoder = self._add_models()
        self._add_prompts(encoder)
        latent = self._add_canvas() if settings.strength is None else self._add_picture()
        self._add_denoise(model, latent)

    def _add(self, name: str, node: Entry, row: int = 0) -> None:
        self.graph.nodes[name] = node
        self.graph.layout[name] = [self._column * COLUMN_WIDTH, row * ROW_HEIGHT]

    def _add_models(self) -> tuple[From, From]:
        settings = self._settings
        self.graph.inputs["model"] = model_input(self._files, settings.model, settings.model_hash)
        self._add("model", entry(LoadModel, model=Param("model")))
        model, encoder = From("model", "model"), From("model", "encoder")
        for number, requested in enumerate(settings.loras, 1):
            self._column += 1
            name = "lora" if number == 1 else f"lora-{number}"
            self._add(name, self._lora(requested, model, encoder))
            model, encoder = From(name, "model"), From(name, "encoder")
        for number, (name_in_file, strength) in enumerate(settings.hypernetworks, 1):
            self._column += 1
            name = "hypernetwork" if number == 1 else f"hypernetwork-{number}"
            file = self._files.hypernetwork(name_in_file)
            node = entry(ApplyHypernetwork, model=model, hypernetwork=file, strength=strength)
            node.off = file is None
            self._add(name, node, 1)
            model = From(name, "out")
        if self._files.embeddings(f"{settings.prompt}\n{settings.negative}", settings.embeddings):
            self._column += 1
            self._add("embeddings", entry(LoadEmbeddings, encoder=encoder))
            encoder = From("embeddings", "out")
        return model, encoder

    def _lora(self, requested: RequestedLora, model: From, encoder: From) -> Entry:
        """Make an ApplyLoRA node. A missing LoRA is switched off, so that the graph runs without it."""
        file = self._files.lora(requested.name, requested.hash)
        same = requested.encoder_weight in (None, requested.weight)
        row = {
            "lora": bare_name(requested.name) if file is None else file,
            "weight": requested.weight,
            "encoder_weight": None if same else requested.encoder_weight,
            "blocks": requested.blocks or None,
            "on": False if file is None else None,
        }
        if requested.ranks is None:
            return entry(ApplyLoRA, model=model, encoder=encoder, **row)
        listed = {name: value for name, value in row.items() if value is not None}
        return entry(ApplyLoRA, model=model, encoder=encoder, more=[{**listed, "ranks": requested.ranks}])

    def _add_prompts(self, encoder: From) -> None:
        settings = self._settings
        self._column += 1
        shared = {
            "encoder": encoder,
            "dialect": settings.dialect,
            "emphasis": settings.emphasis,
            "clip_skip": settings.clip_skip,
        }
        self._add("positive", entry(EncodePrompt, prompt=Param("prompt"), **shared))
        self._add("negative", entry(EncodePrompt, prompt=Param("negative"), **shared, negative=True), 1)
        if settings.distilled_guidance is not None:
            self._column += 1
            guided = entry(SetDistilledGuidance, prompt=self._positive, guidance=settings.distilled_guidance)
            self._add("guided", guided)
            self._positive = From("guided", "out")

    def _size(self) -> dict[str, Any]:
        for side, pixels in (("width", self._settings.width), ("height", self._settings.height)):
            self.graph.inputs[side] = GraphInput("int", pixels or 512, False, INPUT_HELP[side])
        return {"width": Param("width"), "height": Param("height")}

    def _add_canvas(self) -> From:
        self._add("canvas", entry(EmptyLatent, **self._size(), batch=self._settings.batch), 2)
        return From("canvas", "out")

    def _add_picture(self) -> From:
        """Add the input picture of image to image, encoded to a latent; returns the latent's output.

        The imported file does not contain the picture, so it becomes an input of the graph.
        """
        settings = self._settings
        file = self._files.picture(settings.picture)
        self.graph.inputs["image"] = GraphInput("file", file, file is None, "The picture to start from")
        strength = GraphInput("float", settings.strength, False, INPUT_HELP["strength"])
        self.graph.inputs["strength"] = strength
        self._add("picture", entry(LoadImage, image=Param("image")), 2)
        if settings.mask is None and settings.fit == "latent":
            return self._add_resized_latent()
        if settings.mask is None or settings.mask.padding is None:
            resize = entry(ResizeImage, image=From("picture", "out"), **self._size(), fit=settings.fit)
            self._add("resize", resize, 3)
        if settings.mask is not None:
            return self._add_masked(settings.mask)
        self._add("encode", entry(Encode, vae=From("model", "vae"), image=From("resize", "out")), 4)
        return From("encode", "out")

    def _add_resized_latent(self) -> From:
        """Encode the picture in its own size, and stretch its latent, as A1111's latent upscale does."""
        self._add("encode", entry(Encode, vae=From("model", "vae"), image=From("picture", "out")), 3)
        resize = entry(ResizeLatent, latent=From("encode", "out"), **self._size(), method="bilinear")
        self._add("resize", resize, 4)
        return From("resize", "out")

    def _add_masked(self, mask: InpaintMask) -> From:
        """Add the mask, and a latent that changes where the mask is on, as A1111's img2img does."""
        levels = self._add_mask(mask)
        if mask.padding is None:
            picture, levels = From("resize", "out"), self._add_resized(levels)
            # Where the mask is at least half on, nothing of the old picture remains.
            self._add("cover", entry(CombineMasks, base=levels, other=levels, operation="add"), 8)
        else:
            part = entry(
                CropAroundMask,
                image=From("picture", "out"),
                mask=levels,
                padding=mask.padding,
                **self._size(),
            )
            self._add("part", part, 7)
            picture, levels = From("part", "image"), From("part", "mask")
        encode = entry(
            EncodeForInpainting,
            vae=From("model", "vae"),
            image=picture,
            mask=levels,
            content=mask.content,
            grow=0,
            for_inpainting_model=self._is_for_inpainting or None,
            seed=Param("seed") if mask.content == "noise" else None,
        )
        self._column += 1
        self._add("encode", encode, 4)
        if not mask.rounded:
            return From("encode", "out")
        sides = {
            "width": max(1, (self._settings.width or 512) // CELL),
            "height": max(1, (self._settings.height or 512) // CELL),
        }
        self._add("cells", entry(ResizeMask, mask=levels, **sides, method="bicubic"), 5)
        self._add("changed", entry(ThresholdMask, mask=From("cells", "out")), 6)
        self._add("masked", entry(MaskLatent, latent=From("encode", "out"), mask=From("changed", "out")), 7)
        return From("masked", "out")

    @property
    def _is_for_inpainting(self) -> bool:
        model = self.graph.inputs["model"].default
        return isinstance(model, str) and self._files.is_for_inpainting(model)

    def _add_mask(self, mask: InpaintMask) -> From:
        """Add the mask in the size of its file: on where the picture changes, with soft edges."""
        file = self._files.picture(mask.picture, "the mask", "--mask")
        self.graph.inputs["mask"] = GraphInput(
            "file", file, file is None, "The mask, white where the picture changes"
        )
        channel = None if mask.channel == "luminance" else mask.channel
        self._add("mask", entry(LoadMask, image=Param("mask"), channel=channel), 4)
        levels = From("mask", "out")
        if channel and mask.rounded:
            self._add("hard", entry(ThresholdMask, mask=levels, level=OPAQUE), 5)
            levels = From("hard", "out")
        if mask.inverted:
            self._add("inverted", entry(InvertMask, mask=levels), 6)
            levels = From("inverted", "out")
        if mask.blur:
            self._column += 1
            self._add("soft", entry(GrowMask, mask=levels, pixels=0, feather=float(mask.blur)), 5)
            levels = From("soft", "out")
        return levels

    def _add_resized(self, levels: From) -> From:
        """Add nodes that resize the mask to the size of the picture, and crop it in the same way."""
        if self._settings.fit == "stretch":
            self._add("resize-mask", entry(ResizeMask, mask=levels, **self._size(), method="lanczos"), 6)
            return From("resize-mask", "out")
        self._add("mask-picture", entry(MaskToImage, mask=levels), 6)
        resize = entry(ResizeImage, image=From("mask-picture", "out"), **self._size(), fit=self._settings.fit)
        self._add("mask-resize", resize, 7)
        self._add("resize-mask", entry(ImageToMask, image=From("mask-resize", "out")), 8)
        return From("resize-mask", "out")

    def _add_over(self, mask: InpaintMask) -> None:
        """Add nodes that place the generated picture over the old one where the mask is on."""
        self._column += 1
        drawn = From("decode", "out")
        if mask.padding is None:
            placed = {"base": From("resize", "out"), "top": drawn, "mask": From("cover", "out")}
        else:
            sides = {"width": From("part", "width"), "height": From("part", "height")}
            self._add("fitted", entry(ResizeImage, image=drawn, **sides, fit="stretch"), 1)
            place = {name: From("part", name) for name in ("x", "y")}
            placed = {
                "base": From("picture", "out"),
                "top": From("fitted", "out"),
                "mask": From("part", "cover"),
                **place,
            }
        self._add("result", entry(Composite, **placed))
        self.graph.outputs["image"] = From("result", "out")

    def _add_denoise(self, model: From, latent: From) -> None:
        settings = self._settings
        inputs = self.graph.inputs
        guidance = 7.0 if settings.guidance is None else settings.guidance
        inputs["seed"] = GraphInput("seed", settings.seed or 0, False, INPUT_HELP["seed"])
        inputs["steps"] = GraphInput("int", settings.steps or 20, False, INPUT_HELP["steps"])
        inputs["guidance"] = GraphInput("float", guidance, False, INPUT_HELP["guidance"])
        denoise = entry(
            Denoise,
            model=model,
            positive=self._positive,
            negative=From("negative", "out"),
            latent=latent,
            seed=Param("seed"),
            steps=Param("steps"),
            guidance=Param("guidance"),
            sampler=settings.sampler,
            schedule=settings.schedule,
            rescale=settings.rescale,
            strength=None if settings.strength is None else Param("strength"),
            **settings.denoise,
        )
        self._column += 1
        self._add("denoise", denoise)
        self._column += 1
        result = From("denoise", "latent")
        if settings.hires is not None:
            result = self._add_hires(settings.hires, denoise, result)
        self._add("decode", entry(Decode, vae=From("model", "vae"), latent=result))
        if settings.mask is not None:
            self._add_over(settings.mask)

    def _add_hires(self, hires: HiresPass, first: Entry, latent: From) -> From:
        """Add the second pass of a Hires fix: nodes that enlarge the latent and refine it."""
        size = {"width": hires.width, "height": hires.height}
        name = hires.upscaler.strip().casefold()
        if name in LATENT_UPSCALERS:
            method, antialias = LATENT_UPSCALERS[name]
            larger = entry(ResizeLatent, latent=latent, **size, method=method, antialias=antialias or None)
            self._add("larger", larger, 1)
        else:
            larger_picture = self._add_larger_picture(hires, latent, size, name)
            self._add("larger", entry(Encode, vae=From("model", "vae"), image=larger_picture), 4)
        changed = {
            "latent": From("larger", "out"),
            "steps": hires.planned,
            "strength": round((hires.steps - 0.5) / hires.planned, 6),
            "guidance": hires.guidance,
            "sampler": hires.sampler,
            "schedule": hires.schedule,
        }
        inputs = {
            **first.inputs,
            **{key: binding(value) for key, value in changed.items() if value is not None},
        }
        self._column += 1
        self._add("refine", Entry(first.type, inputs))
        self._column += 1
        return From("refine", "latent")

    def _add_larger_picture(self, hires: HiresPass, latent: From, size: dict[str, int], name: str) -> From:
        """Add nodes that enlarge the picture of the first pass, with an upscale model if the user has it."""
        self._add("first-decode", entry(Decode, vae=From("model", "vae"), latent=latent), 1)
        picture = From("first-decode", "out")
        file = None if name in PIXEL_UPSCALERS else self._files.upscaler(hires.upscaler, "Lanczos")
        if file is not None:
            self._add("upscaler", entry(LoadUpscaler, upscaler=file), 2)
            self._add("upscale", entry(UpscaleImage, upscaler=From("upscaler", "out"), image=picture), 2)
            picture = From("upscale", "out")
        method = PIXEL_UPSCALERS.get(name, "lanczos")
        self._add("enlarge", entry(ResizeImage, image=picture, **size, fit="stretch", method=method), 3)
        return From("enlarge", "out")
