"""Checks the configs of networks: their classes, their sizes, and whether they fit together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from nodes.sd.families.family import (
    LARGE,
    SMALL,
    Betas,
    Component,
    Configs,
    Family,
    Flow,
    NoiseSchedule,
)
from nodes.sd.families.known import families
from nodes.sd.formats.json_file import ModelError
from nodes.sd.sampling.names import Prediction

_CLIP_LIMITS = {
    "hidden_size": 8192,
    "intermediate_size": 32768,
    "num_hidden_layers": 64,
    "num_attention_heads": 128,
    "vocab_size": 1 << 20,
    "max_position_embeddings": 77,
}
_T5_LIMITS = {
    "d_model": 8192,
    "d_kv": 1024,
    "d_ff": 32768,
    "num_layers": 64,
    "num_heads": 128,
    "vocab_size": 1 << 20,
    "relative_attention_num_buckets": 1024,
}
_LIMITS: dict[str, dict[str, int]] = {
    "CLIPTextModel": _CLIP_LIMITS,
    "CLIPTextModelWithProjection": _CLIP_LIMITS,
    "T5EncoderModel": _T5_LIMITS,
    "AutoencoderKL": {"block_out_channels": 8192, "layers_per_block": 8, "latent_channels": 64},
}
"""The largest allowed values of a config by its class, so that no config can cause hours of work."""


def network_class(family: Family, component: Component) -> str:
    """Return the only class, of diffusers or transformers, that a network of a family may have."""
    classes: dict[Component, str] = {role.component: role.network for role in family.roles}
    classes |= {family.network.component: family.network.kind, "vae": "AutoencoderKL"}
    return classes[component]


def text_width(config: Mapping[str, Any]) -> int:
    """Return the width of the token vectors of a text encoder, CLIP or T5, from its config."""
    width: int = config["d_model"] if "d_model" in config else config["hidden_size"]
    return width


def check_config(family: Family, component: Component, config: Mapping[str, Any], place: str) -> None:
    """Check that a config does not request code or implausible sizes.

    Raises:
        ModelError: the config is rejected. The message begins with `place`.
    """
    if "auto_map" in config:
        raise ModelError(
            f"{place} asks to run its own code (auto_map), which Safelight does not do. Remove the key."
        )
    is_network = component == family.network.component
    limits = family.network.limits if is_network else _LIMITS[network_class(family, component)]
    for key, most in limits.items():
        check_count(place, key, config.get(key), most)
    if is_network:
        side = config.get("sample_size") or 64
        for count in side if isinstance(side, list) and len(side) == 2 else [side]:
            check_count(place, "sample_size", count, 4096)


def check_class(family: Family, component: Component, config: Mapping[str, Any], place: str) -> None:
    """Check that a config is for the class that the family has.

    Raises:
        ModelError: the config is for another class.
    """
    allowed = network_class(family, component)
    named = config.get("_class_name", config.get("architectures"))
    if named not in (allowed, [allowed]):
        raise ModelError(f"{place} is for {shown(named)} where {allowed} is expected.")


def check_match(family: Family, configs: Configs, place: str) -> None:
    """Check that the networks match each other.

    Raises:
        ModelError: the networks do not match, or the UNet or transformer is of an unknown kind. The message
            begins with `place`, the path of its config.
    """
    roles = tuple(role for role in family.roles if role.component in configs)
    if (problem := family.network.mismatch(configs, roles)) is not None:
        raise ModelError(f"{place}: {problem}.")


def check_count(place: object, key: str, value: object, most: int) -> None:
    """Check that a value of a config is a whole number from 1 to `most`, or a short list of such numbers.

    Raises:
        ModelError: the value is something else.
    """
    several = key == "block_out_channels"
    counts = value if isinstance(value, list) and several and 1 <= len(value) <= 8 else [value]
    if not all(type(count) is int and 1 <= count <= most for count in counts):
        raise ModelError(f"{place}: {key} is {shown(value)}; use whole numbers from 1 to {most:,}.")


def noise_of(config: Mapping[str, Any], place: str) -> tuple[Prediction, NoiseSchedule]:
    """Read the prediction type and the noise schedule from the config of a scheduler.

    Raises:
        ModelError: the prediction type or the noise schedule is unknown.
    """
    if str(config.get("_class_name")).startswith("FlowMatch"):
        return "flow", _flow_of(config, place)
    default = Betas()
    prediction = config.get("prediction_type", "epsilon")
    schedule = config.get("beta_schedule", default.schedule)
    if prediction not in get_args(Prediction):
        raise ModelError(f"{place}: prediction_type {shown(prediction)} is unknown.")
    if schedule not in ("scaled_linear", "linear"):
        raise ModelError(f"{place}: beta_schedule {shown(schedule)} is unknown; usual is scaled_linear.")
    zero_snr = config.get("rescale_betas_zero_snr", False)
    if config.get("trained_betas") is not None or type(zero_snr) is not bool:
        raise ModelError(f"{place}: trained_betas must be null, rescale_betas_zero_snr true or false.")
    start, end = config.get("beta_start", default.start), config.get("beta_end", default.end)
    if not (type(start) is float and type(end) is float and 0 < start < end < 1):
        raise ModelError(f"{place}: beta_start and beta_end must be numbers with 0 < start < end < 1.")
    steps = config.get("num_train_timesteps", default.steps)
    check_count(place, "num_train_timesteps", steps, 10_000)
    return prediction, Betas(schedule, start, end, steps, zero_snr)


def _flow_of(config: Mapping[str, Any], place: str) -> Flow:
    """Read the noise schedule from the config of a flow-matching scheduler of diffusers."""
    shift, steps = config.get("shift", 1.0), config.get("num_train_timesteps", 1000)
    unknown = [key for key in _OTHER_LEVELS if config.get(key)]
    if config.get("time_shift_type", "exponential") != "exponential":
        unknown.append("time_shift_type")
    if unknown:
        raise ModelError(f"{place}: {', '.join(unknown)} is not supported; remove it.")
    check_count(place, "num_train_timesteps", steps, 10_000)
    if config.get("use_dynamic_shifting"):
        return Flow(1.0, steps, _by_size(config, place), 10 * steps)
    if type(shift) not in (int, float) or not 0 < shift <= 100:
        raise ModelError(f"{place}: shift is {shown(shift)}; use a number above 0, up to 100.")
    return Flow(float(shift), steps, levels=steps)


_OTHER_LEVELS = (
    "shift_terminal",
    "invert_sigmas",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
)
"""Settings of a flow-matching scheduler that change its noise levels."""


def _by_size(config: Mapping[str, Any], place: str) -> tuple[float, float]:
    """Read the logarithms of the shift for `SMALL` and `LARGE` tokens."""
    defaults: dict[str, float] = {"base_shift": 0.5, "max_shift": 1.15}
    defaults |= {"base_image_seq_len": SMALL, "max_image_seq_len": LARGE}
    numbers = [config.get(key, default) for key, default in defaults.items()]
    if any(type(number) not in (int, float) or not 0 <= number <= 1 << 20 for number in numbers):
        raise ModelError(f"{place}: {', '.join(defaults)} must be numbers of 0 or above.")
    low, high, first, last = numbers
    if (first, last) == (SMALL, LARGE):
        return float(low), float(high)
    if not first < last:
        raise ModelError(f"{place}: base_image_seq_len must be smaller than max_image_seq_len.")
    slope = (high - low) / (last - first)
    return low + slope * (SMALL - first), low + slope * (LARGE - first)


def training_side(family: Family, prediction: Prediction, place: str) -> int:
    """Return the training resolution in pixels of a family's models with a prediction type.

    Raises:
        ModelError: the family has no models with this prediction type.
    """
    side = family.sizes.get(prediction)
    if side is None and prediction != "flow":
        side = family.sizes.get("epsilon")
    if side is None:
        known = " or ".join(family.sizes)
        raise ModelError(f"{place}: {family.title} models predict {known}, not {prediction}.")
    return side


def titles(among: Iterable[Family] | None = None) -> str:
    """List the titles of families for a message; those of all families if none are given."""
    names = list(dict.fromkeys(family.title for family in among or families()))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def shown(value: object) -> str:
    """Format a value from a file as one short line, for a message."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
