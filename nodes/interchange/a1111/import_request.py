"""Converts a request to A1111's API, `/sdapi/v1/txt2img` or `/img2img`, to a graph.

The file is the body of the request under the name of its address, such as `{"txt2img": {"prompt": "a mug"}}`.
In a picture, an unsupported field gives a warning; in a request it is an error, since the client waits for
exactly what it asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, get_args

from engine.document.random_seeds import RANDOM
from engine.errors import GraphError, NodeError, Problem, short
from engine.files import Files
from engine.problem_list import Problems
from engine.sources.foreign import Foreign, Imported
from engine.widgets import SEED_MAX
from nodes.files import picture_files
from nodes.files.picture_files import read_alpha, read_size
from nodes.interchange.a1111.import_parameters import settings_of
from nodes.interchange.a1111.parse_parameters import Parameters
from nodes.interchange.graph_from_settings import imported
from nodes.interchange.import_problems import ImportProblems
from nodes.interchange.local_files import LocalFiles
from nodes.interchange.picture_settings import SIDE_STEP, Content, InpaintMask

_FITS: tuple[Literal["stretch", "crop", "fill", "latent"], ...] = ("stretch", "crop", "fill", "latent")
"""How a picture is brought to the size, by A1111's `resize_mode`."""
_CONTENTS = get_args(Content)
"""The initial content of the masked part, by A1111's `inpainting_fill`."""
MAX_BATCH = 64
"""The most pictures that one step computes together."""

DEFAULT_BLUR, MAX_BLUR = 4, 64
"""The blur of a mask's edges, in pixels."""

_NUMBERS: Mapping[str, tuple[str, Any]] = {
    "steps": ("Steps", 50),
    "cfg_scale": ("CFG scale", 7.0),
    "eta": ("Eta", None),
    "s_churn": ("Sigma churn", None),
    "s_tmin": ("Sigma tmin", None),
    "s_noise": ("Sigma noise", None),
    "clip_skip": ("Clip skip", None),
}
"""The field of A1111's parameters for each number of a request, and A1111's default."""
_HIRES: Mapping[str, tuple[str, Any]] = {
    "hr_scale": ("Hires upscale", 2.0),
    "hr_second_pass_steps": ("Hires steps", 0),
    "hr_upscaler": ("Hires upscaler", "Latent"),
    "hr_sampler_name": ("Hires sampler", None),
    "hr_scheduler": ("Hires schedule type", None),
    "hr_cfg": ("Hires CFG Scale", None),
}
_WITHOUT_EFFECT = frozenset(
    {
        "batch_size",
        "comments",
        "do_not_save_grid",
        "do_not_save_samples",
        "force_task_id",
        "image_cfg_scale",  # for models that edit pictures by instructions
        "include_init_images",
        "n_iter",
        "override_settings_restore_afterwards",
        "refiner_switch_at",
        "sampler_index",
        "save_images",
        "script_args",
        "send_images",
        # Settings of a mask, which have no effect without one
        "inpaint_full_res",
        "inpaint_full_res_padding",
        "inpainting_fill",
        "inpainting_mask_invert",
        "mask_blur",
        "mask_blur_x",
        "mask_blur_y",
        "mask_round",
    }
)
"""Fields that do not change the picture, or that the server applies."""
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "disable_extra_networks": (False,),
    "firstphase_height": (0,),
    "firstphase_width": (0,),
    "hr_checkpoint_name": ("", "Use same checkpoint"),
    "hr_additional_modules": ([], ["Use same choices"]),
    "infotext": ("",),
    "initial_noise_multiplier": (1,),
    "mask": (),
    "refiner_checkpoint": ("", "None"),
    "restore_faces": (False,),
    "s_min_uncond": (0,),
    "script_name": ("", "None"),
    "seed_resize_from_h": (0, -1),
    "seed_resize_from_w": (0, -1),
    "styles": ([],),
    "tiling": (False,),
}
"""Fields without a counterpart, and the values besides null that change nothing."""


def import_request(foreign: Foreign, tree: Any, files: Files) -> Imported | None:
    """Convert a request to a graph; None if the file is not a request.

    A random seed (-1) becomes `random`. The picture of img2img, and its mask, are inputs of the graph; their
    defaults are the files that `init_images` and `mask` name (`sha256:HASH` for an uploaded one), never the
    bytes that they may contain.

    Args:
        foreign: the file.
        tree: the file's JSON.
        files: the user's files.

    Raises:
        GraphError: some fields have wrong types or are not supported; the exception lists all of them.
    """
    if not isinstance(tree, dict) or len(tree) != 1:
        return None
    ((kind, body),) = tree.items()
    if kind not in ("txt2img", "img2img") or not isinstance(body, dict):
        return None
    request = _Request(body)
    parameters = request.parameters(is_img2img=kind == "img2img")
    mask = request.mask(files) if kind == "img2img" else None
    batch = request.whole("batch_size", 1, MAX_BATCH, 1)
    seed = request.whole("seed", -1, SEED_MAX, -1)
    fit = _FITS[request.whole("resize_mode", 0, len(_FITS) - 1, 0)]
    if kind == "img2img" and fit == "latent":
        request.check_latent_resize(files, mask)
    request.check_the_rest()
    if request.problems:
        raise GraphError(request.problems)
    problems = ImportProblems()
    settings = settings_of(parameters, problems)
    if kind == "txt2img":
        settings.batch = batch if batch > 1 else None
    else:
        settings.picture, settings.fit, settings.mask = request.picture, fit, mask
    made = imported(settings, LocalFiles(files, problems), problems, "a request to A1111's API", foreign.name)
    inputs = made.graph.inputs
    inputs["seed"] = replace(inputs["seed"], default=RANDOM if seed < 0 else seed)
    return made


class _Request:
    """Reads the fields of a request and collects problems."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._left = {name: value for name, value in body.items() if value is not None}
        self.problems = Problems()
        self.picture = ""
        """The picture of img2img: the name of an uploaded file, or bytes in base64, which are not read."""

    def parameters(self, *, is_img2img: bool) -> Parameters:
        """Convert the request to the fields of A1111's `parameters` text."""
        fields: dict[str, Any] = {
            field: self._number(name, default) for name, (field, default) in _NUMBERS.items()
        }
        otherwise = self._text("sampler_index", "Euler", keep=True)
        fields["Sampler"] = self._text("sampler_name", "") or otherwise
        fields["Schedule type"] = self._text("scheduler", "") or "Automatic"
        fields["Size"] = f"{self.whole('width', 64, 8192, 512)}x{self.whole('height', 64, 8192, 512)}"
        fields["Sigma tmax"] = self._number("s_tmax", None) or None  # 0 means no limit
        if strength := self._number("subseed_strength", 0):
            fields["Variation seed strength"] = strength
            fields["Variation seed"] = self.whole("subseed", -1, SEED_MAX, -1)
            if fields["Variation seed"] < 0:
                self._refuse("subseed", "a random subseed is not supported", "send a number from 0 on")
        self._left.pop("subseed", None)
        self._settings(fields)
        denoising = self._number("denoising_strength", 0.75 if is_img2img else 0.7)
        if is_img2img:
            fields["Denoising strength"] = denoising
            pictures = self._left.pop("init_images", [])
            if isinstance(pictures, list) and len(pictures) == 1 and isinstance(pictures[0], str):
                self.picture = pictures[0]
            else:
                self._refuse("init_images", "img2img needs exactly one picture")
        elif self._flag("enable_hr"):
            fields["Denoising strength"] = denoising
            self._hires(fields)
        for name in [name for name in self._left if name.startswith("hr_")]:
            if name not in _NEUTRAL:
                del self._left[name]  # without effect if enable_hr is false
        prompt, negative = self._text("prompt", ""), self._text("negative_prompt", "")
        return Parameters(prompt, negative, {name: str(x) for name, x in fields.items() if x is not None})

    def whole(self, name: str, low: int, high: int, default: int) -> int:
        """Remove a whole number from the request and return it; collects a problem if it is not valid."""
        value = self._left.pop(name, default)
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            self._refuse(name, f"it must be a whole number from {low} to {high}, not {short(value)}")
            return default
        return value

    def mask(self, files: Files) -> InpaintMask | None:
        """Remove the mask and its settings from the request; returns them, or None if there is no mask."""
        picture = self._left.pop("mask", None)
        if picture is None:
            return None
        if not isinstance(picture, str):
            self._refuse("mask", "it must be one picture")
            return None
        blur = self.whole("mask_blur", 0, MAX_BLUR, DEFAULT_BLUR)
        blurs = {self.whole(name, 0, MAX_BLUR, blur) for name in ("mask_blur_x", "mask_blur_y")}
        if len(blurs) > 1:
            self._refuse("mask_blur_x", "the blur must be the same in both directions", "send mask_blur")
        padding = self.whole("inpaint_full_res_padding", 0, 1024, 0)
        return InpaintMask(
            picture=picture,
            channel=_mask_channel(files, picture),
            inverted=self._flag("inpainting_mask_invert"),
            blur=max(blurs),
            rounded=self._flag("mask_round", default=True),
            content=_CONTENTS[self.whole("inpainting_fill", 0, len(_CONTENTS) - 1, 0)],
            padding=padding if self._flag("inpaint_full_res", default=True) else None,
        )

    def check_latent_resize(self, files: Files, mask: InpaintMask | None) -> None:
        """Collect a problem for a request whose latent cannot be resized in place of its picture."""
        if mask is not None:
            if mask.padding is None:
                hint = "send resize_mode 0, or inpaint_full_res"
                self._refuse("resize_mode", "3 cannot have a mask of the whole picture, in A1111 too", hint)
            return  # the part around a mask has the size already
        try:
            sides = read_size(files.find(picture_files.KIND, self.picture), input="image")
        except NodeError:
            return  # the import warns of a missing file, and the run of one that is no picture
        if any(side % SIDE_STEP for side in sides):
            message = f"3 needs sides that are multiples of {SIDE_STEP}, not {sides[0]} x {sides[1]}"
            self._refuse("resize_mode", message, "send resize_mode 0, or a picture of another size")

    def check_the_rest(self) -> None:
        """Collect a problem for each remaining field that would change the picture."""
        for name, script in self._scripts().items():
            arguments = script.get("args", []) if isinstance(script, dict) else script
            if arguments not in ([], {}, [False], None):
                self._refuse("alwayson_scripts", f"the script {short(name)} is not supported")
        if "latent_mask" in self._left:
            # A1111 leaves the text undecoded: it fails with a mask, and ignores the field without one.
            del self._left["latent_mask"]
            self._refuse("latent_mask", "A1111's own API cannot read it", "send mask")
        for name, value in self._left.items():
            if name in _WITHOUT_EFFECT or value in _NEUTRAL.get(name, ()):
                continue
            if name in _NEUTRAL:
                self._refuse(name, f"Safelight does not support {name}", "leave it out")
            else:
                self._refuse(name, f"there is no field {short(name)}")

    def _settings(self, fields: dict[str, Any]) -> None:
        """Add the options in `override_settings`, which hold for this request only, to the fields."""
        options = self._left.pop("override_settings", {})
        if not isinstance(options, dict):
            self._refuse("override_settings", "it must be an object")
            return
        for name, value in options.items():
            place = f"override_settings.{name}"
            if name == "sd_model_checkpoint" and isinstance(value, str):
                fields["Model"], _, hash = value.partition(" [")
                fields["Model hash"] = hash.removesuffix("]") or None
            elif name == "CLIP_stop_at_last_layers" and type(value) is int:
                fields["Clip skip"] = value
            elif name == "sd_vae" and value in ("Automatic", "None"):
                continue
            elif name in ("samples_format", "save_images_before_color_correction"):
                continue
            else:
                self._refuse(place, f"Safelight does not support {short(name)}: {short(value)}")

    def _hires(self, fields: dict[str, Any]) -> None:
        """Add the settings of the Hires fix to the fields."""
        for name, (field, default) in _HIRES.items():
            value = self._left.pop(name, default)
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                fields[field] = value or None
            elif value is not None:
                self._refuse(name, f"it must be a number or a name, not {short(value)}")
        if fields.get("Hires sampler") == "Use same sampler":
            del fields["Hires sampler"]
        if fields.get("Hires schedule type") in ("Use same scheduler", "Automatic") and not fields.get(
            "Hires sampler"
        ):
            del fields["Hires schedule type"]
        sides = [self.whole(name, 0, 8192, 0) for name in ("hr_resize_x", "hr_resize_y")]
        if all(sides):
            fields["Hires resize"] = f"{sides[0]}x{sides[1]}"
        elif any(sides):
            self._refuse("hr_resize_x", "one side alone is not supported", "send both, or hr_scale")
        for name in ("hr_prompt", "hr_negative_prompt"):
            if self._text(name, ""):
                self._refuse(name, "the second pass has the prompt of the first", "leave it out")

    def _scripts(self) -> Mapping[str, Any]:
        scripts = self._left.pop("alwayson_scripts", {})
        if isinstance(scripts, dict):
            return scripts
        self._refuse("alwayson_scripts", "it must be an object")
        return {}

    def _number(self, name: str, default: float | None) -> float | None:
        value = self._left.pop(name, default)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        self._refuse(name, f"it must be a number, not {short(value)}")
        return default

    def _text(self, name: str, default: str, *, keep: bool = False) -> str:
        value = self._left.get(name, default) if keep else self._left.pop(name, default)
        if isinstance(value, str):
            return value
        self._refuse(name, f"it must be text, not {short(value)}")
        return default

    def _flag(self, name: str, *, default: bool = False) -> bool:
        value = self._left.pop(name, default)
        if type(value) not in (bool, int) or value not in (0, 1):
            self._refuse(name, f"it must be true or false, not {short(value)}")
        return bool(value)

    def _refuse(self, name: str, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem("bad_request", f"{name}: {message}", input=name, hint=hint))


def _mask_channel(files: Files, name: str) -> Literal["luminance", "alpha"]:
    """Return the channel that A1111 reads a mask from: `alpha` if any part of the file is transparent."""
    try:
        alpha = read_alpha(files.find(picture_files.KIND, name), input="mask")
    except NodeError:
        return "luminance"  # the import warns of a missing file, and the run of one that is no picture
    return "luminance" if alpha is None or alpha.getextrema()[0] == 255 else "alpha"
