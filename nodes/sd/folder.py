"""What a model's folder holds, told from its configs alone: planning a run needs no weights and no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from nodes.sd.json_file import ModelError, read_object, regular_size
from nodes.sd.names import Prediction

Component = Literal["text_encoder", "tokenizer", "unet", "vae"]

CLASSES: dict[Component, tuple[str, ...]] = {
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
}
"""The only classes that are ever built. A folder's own word decides between them and nothing else."""

_PIPELINES = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")
_WITHOUT_WEIGHT = ("scheduler", "safety_checker", "feature_extractor", "image_encoder")
"""Parts a folder may name that Safelight replaces or does not use; only the noise is read of them."""

_WEIGHTS = (
    "model.safetensors",
    "diffusion_pytorch_model.safetensors",
    "model.fp16.safetensors",
    "diffusion_pytorch_model.fp16.safetensors",
)
_PICKLES = ("pytorch_model.bin", "diffusion_pytorch_model.bin")

_OTHER_FAMILIES = {
    "class_embed_type": "a UNet with class labels",
    "addition_embed_type": "an SDXL model",
    "encoder_hid_dim": "a UNet with an image encoder",
    "time_cond_proj_dim": "a distilled model with guidance built in",
}


class Betas(NamedTuple):
    """The noise a model was trained with: how much each of its training steps adds."""

    schedule: Literal["scaled_linear", "linear"] = "scaled_linear"
    start: float = 0.00085
    end: float = 0.012
    steps: int = 1000
    zero_snr: bool = False
    """Rescaled so that the last step is noise alone (arXiv:2305.08891)."""


class ModelFolder(NamedTuple):
    """A folder in the diffusers layout that holds a model of the SD 1 family."""

    path: Path
    family: Literal["sd1"]
    prediction: Prediction
    betas: Betas
    latent_channels: int
    vae_scale: int
    """Pixels to one latent, along each side."""
    size: tuple[int, int]
    """Width and height in pixels of the pictures the model was trained on."""
    text_width: int
    """Numbers in one row of a text embedding."""
    weights: Mapping[Component, str]
    """The safetensors file of each part, relative to `path`; the tokenizer has none."""
    files: tuple[str, ...]
    """All that a result depends on, relative to `path`, with `/`, sorted: what a digest must cover."""


def describe_folder(path: str | Path) -> ModelFolder:
    """Say what model lies in a folder, reading a few kilobytes.

    Raises:
        ModelError: a file is missing or malformed, weights are pickles, or the model is of another family.
    """
    root = Path(path)
    if not root.is_dir():
        raise ModelError(f"{root} is not a folder. Point to a model's folder, the one with model_index.json.")
    _check_index(root)
    text, unet, vae = (_config(root, part) for part in ("text_encoder", "unet", "vae"))
    _check_family(root, text, unet, vae)
    scheduler = root / "scheduler" / "scheduler_config.json"
    prediction, betas = _noise(scheduler)

    weights: dict[Component, str] = {
        part: _weights_file(root, part) for part in ("text_encoder", "unet", "vae")
    }
    files = [
        "model_index.json",
        "scheduler/scheduler_config.json",
        *(f"{part}/config.json" for part in weights),
        *weights.values(),
        *tokenizer_files(root),
    ]
    scale = 2 ** (len(vae["block_out_channels"]) - 1)
    side = unet.get("sample_size") or 64
    height, width = side if isinstance(side, list) else (side, side)
    return ModelFolder(
        path=root,
        family="sd1",
        prediction=prediction,
        betas=betas,
        latent_channels=vae["latent_channels"],
        vae_scale=scale,
        size=(width * scale, height * scale),
        text_width=text["hidden_size"],
        weights=weights,
        files=tuple(sorted(files)),
    )


def tokenizer_files(root: Path) -> tuple[str, ...]:
    """The files that make the tokenizer, relative to the model's folder.

    Raises:
        ModelError: neither tokenizer.json nor the pair vocab.json and merges.txt is there.
    """
    folder = root / "tokenizer"
    if (folder / "tokenizer.json").exists():
        names = ["tokenizer.json"]
    elif (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
        names = ["vocab.json", "merges.txt"]
        if (folder / "added_tokens.json").exists():
            names.append("added_tokens.json")
    else:
        raise ModelError(
            f"{folder} holds no tokenizer.json, nor vocab.json with merges.txt. Add one of them."
        )
    for name in names:
        regular_size(folder / name)
    return tuple(f"tokenizer/{name}" for name in names)


def _check_index(root: Path) -> None:
    place = root / "model_index.json"
    index = read_object(place)
    pipeline = index.get("_class_name")
    if "text_encoder_2" in index or "transformer" in index:
        raise ModelError(
            f"{place} describes {_shown(pipeline)}. Safelight runs SD 1 models; pick one of those."
        )
    if pipeline not in _PIPELINES:
        raise ModelError(f"{place} asks for {_shown(pipeline)}. Safelight runs {' and '.join(_PIPELINES)}.")
    for name, entry in index.items():
        if name.startswith("_") or name in _WITHOUT_WEIGHT or not isinstance(entry, list):
            continue
        if name not in CLASSES:
            raise ModelError(f"{place} names a part {_shown(name)} that SD 1 models do not have.")
    for part, allowed in CLASSES.items():
        entry = index.get(part)
        wanted = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
        if wanted not in allowed:
            raise ModelError(f"{place}: {part} must be a {allowed[0]}, not {_shown(wanted)}.")


def _config(root: Path, part: Component) -> dict[str, Any]:
    place = root / part / "config.json"
    config = read_object(place)
    if "auto_map" in config:
        raise ModelError(
            f"{place} asks to run code of its own (auto_map). Safelight never does; remove the key."
        )
    allowed = CLASSES[part]
    named = config.get("_class_name", config.get("architectures"))
    if named not in (allowed[0], [allowed[0]]):
        raise ModelError(f"{place} is for {_shown(named)} where {allowed[0]} is expected.")
    for key, most in _LIMITS[part].items():
        _check_count(place, key, config.get(key), most)
    return config


_LIMITS: dict[Component, dict[str, int]] = {
    "text_encoder": {
        "hidden_size": 8192,
        "intermediate_size": 32768,
        "num_hidden_layers": 64,
        "num_attention_heads": 128,
        "vocab_size": 1 << 20,
        "max_position_embeddings": 77,
    },
    "unet": {
        "block_out_channels": 8192,
        "cross_attention_dim": 8192,
        "layers_per_block": 8,
        "in_channels": 64,
        "out_channels": 64,
    },
    "vae": {"block_out_channels": 8192, "layers_per_block": 8, "latent_channels": 64},
}
"""The counts a model is built from, and the most that makes sense: no config may ask for hours of it."""


def _check_count(place: Path, key: str, value: object, most: int) -> None:
    several = key == "block_out_channels"
    counts = value if isinstance(value, list) and several and 1 <= len(value) <= 8 else [value]
    if not all(type(count) is int and 1 <= count <= most for count in counts):
        raise ModelError(f"{place}: {key} is {_shown(value)}; whole numbers from 1 to {most:,} make sense.")


def _check_family(root: Path, text: dict[str, Any], unet: dict[str, Any], vae: dict[str, Any]) -> None:
    place = root / "unet" / "config.json"
    for key, family in _OTHER_FAMILIES.items():
        if unet.get(key) is not None:
            raise ModelError(f"{place} describes {family} ({key} is set). Safelight runs SD 1 models.")
    layers = unet.get("transformer_layers_per_block", 1)
    if layers != 1:
        raise ModelError(
            f"{place}: transformer_layers_per_block is {_shown(layers)}; in SD 1 models it is 1."
        )
    if text.get("hidden_act") == "gelu":
        raise ModelError(f"{root / 'text_encoder'} is the one of SD 2 models. Safelight runs SD 1 models.")
    if unet["in_channels"] == 9:
        raise ModelError(f"{place} describes an inpainting model (9 channels in). Pick the one without.")
    if not unet["in_channels"] == unet["out_channels"] == vae["latent_channels"]:
        raise ModelError(f"{place}: the UNet's channels do not match the VAE's latent channels.")
    if unet["cross_attention_dim"] != text["hidden_size"]:
        raise ModelError(
            f"{place}: cross_attention_dim {unet['cross_attention_dim']} does not match the text encoder's"
            f" width {text['hidden_size']}. The two parts come from different models."
        )
    side = unet.get("sample_size") or 64
    for count in side if isinstance(side, list) and len(side) == 2 else [side]:
        _check_count(place, "sample_size", count, 4096)


def _noise(place: Path) -> tuple[Prediction, Betas]:
    config = read_object(place)
    default = Betas()
    prediction = config.get("prediction_type", "epsilon")
    schedule = config.get("beta_schedule", default.schedule)
    if prediction not in get_args(Prediction):
        raise ModelError(f"{place}: prediction_type {_shown(prediction)} is unknown.")
    if schedule not in ("scaled_linear", "linear"):
        raise ModelError(f"{place}: beta_schedule {_shown(schedule)} is unknown; SD 1 has scaled_linear.")
    zero_snr = config.get("rescale_betas_zero_snr", False)
    if config.get("trained_betas") is not None or type(zero_snr) is not bool:
        raise ModelError(f"{place}: trained_betas must be null, rescale_betas_zero_snr true or false.")
    start, end = config.get("beta_start", default.start), config.get("beta_end", default.end)
    if not (type(start) is float and type(end) is float and 0 < start < end < 1):
        raise ModelError(f"{place}: beta_start and beta_end must be numbers with 0 < start < end < 1.")
    steps = config.get("num_train_timesteps", default.steps)
    _check_count(place, "num_train_timesteps", steps, 10_000)
    return prediction, Betas(schedule, start, end, steps, zero_snr)


def _weights_file(root: Path, part: Component) -> str:
    folder = root / part
    for name in _WEIGHTS:
        if (folder / name).exists():
            regular_size(folder / name)
            return f"{part}/{name}"
    for name in _PICKLES:
        if (folder / name).exists():
            raise ModelError(
                f"{folder / name} is a pickle, which can run code when opened. Convert it to safetensors."
            )
    if any(folder.glob("*.safetensors.index.json")):
        raise ModelError(f"{folder} holds weights in several pieces. Join them into {_WEIGHTS[0]}.")
    raise ModelError(f"{folder} holds no weights. Expected {_WEIGHTS[0]} or {_WEIGHTS[1]}.")


def _shown(value: object) -> str:
    """A stranger's value for a message: one short line."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
