"""Groups the keys of a LoRA file by module, and by the role of each tensor in its adapter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

_PEFT = ("", ".default")
_SUFFIXES = {
    **{f".lora_{side}.weight": side for side in ("up", "down", "mid")},
    **{f".lora_{old}{adapter}.weight": new for adapter in _PEFT for old, new in (("A", "down"), ("B", "up"))},
    **{f".lora_B{adapter}.bias": "up_bias" for adapter in _PEFT},
    **{f".lora_magnitude_vector{adapter}{end}": "magnitude" for adapter in _PEFT for end in ("", ".weight")},
    **{f".lora.{side}.weight": side for side in ("up", "down")},
    **{f".lora_linear_layer.{side}.weight": side for side in ("up", "down")},
    **{f"_lora{number}.{side}.weight": side for number in ("", "1", "2") for side in ("up", "down")},
    **{f".hada_{part}": part for part in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    **{f".lokr_{part}": f"k{part}" for part in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
    **{f".{part}.weight": part for part in ("a1", "a2", "b1", "b2")},
    **{f".{part}": part for part in ("alpha", "scale", "dora_scale", "diff", "diff_b", "w_norm", "b_norm")},
    **{f".{part}": part for part in ("on_input", "oft_blocks", "rescale", "weight")},
    ".lora.alpha": "alpha",
    ".lora_linear_layer.alpha": "alpha",
    "_lora.alpha": "alpha",
}
_BY_LENGTH = sorted(_SUFFIXES, key=len, reverse=True)
_XLABS = {"_lora1.": ".img_attn.", "_lora2.": ".txt_attn."}
"""The attention of a double block of FLUX.1 that the number in XLabs' names stands for."""
_BUNDLE = "bundle_emb."
_BUNDLED = (".string_to_param.*", ".emb_params", ".clip_l", ".clip_g", ".t5")
_OUTPUT = "_out"
"""OneTrainer's suffix for vectors that replace the text encoder's output instead of its input."""


@dataclass
class Grouped:
    """A LoRA file's keys, grouped by the module they change."""

    modules: dict[str, dict[str, str]] = field(default_factory=dict)
    """By the prefix in the key map: the key of each part, such as `up`, `down`, `alpha`."""
    bundled: dict[str, dict[str, str]] = field(default_factory=dict)
    """Embeddings in the file, by name: the key of each tensor, such as `clip_l`."""
    unknown: list[str] = field(default_factory=list)
    """Unknown and repeated keys."""


def grouped(keys: Iterable[str]) -> Grouped:
    """Group the keys of a LoRA file by their names."""
    found = Grouped()
    for key in keys:
        if key.startswith(_BUNDLE):
            name, part = _bundled(key)
            place = found.bundled.setdefault(name, {}) if part else None
        else:
            prefix, part = _split(key)
            place = found.modules.setdefault(prefix, {}) if part else None
        if place is None or part in place:
            found.unknown.append(key)
        else:
            place[part] = key
    for prefix, parts in list(found.modules.items()):
        if kind_of(parts) is None:
            found.unknown += found.modules.pop(prefix).values()
    return found


def kind_of(parts: Iterable[str]) -> str | None:
    """Return the kind of adapter that has these parts; None if parts are missing. BOFT counts as `oft`."""
    have = set(parts)
    if have >= {"up", "down"}:
        return "lora"
    if have >= {"w1_a", "w1_b", "w2_a", "w2_b"}:
        return "loha"
    first = "kw1" in have or have >= {"kw1_a", "kw1_b"}
    if first and ("kw2" in have or have >= {"kw2_a", "kw2_b"}):
        return "lokr"
    if have >= {"weight", "on_input"}:
        return "ia3"
    if have >= {"a1", "a2", "b1", "b2"}:
        return "glora"
    if "oft_blocks" in have:
        return "oft"
    if have & {"w_norm", "b_norm"}:
        return "norm"
    return "full" if have & {"diff", "diff_b"} else None


def _split(key: str) -> tuple[str, str]:
    suffix = next((end for end in _BY_LENGTH if key.endswith(end)), None)
    if suffix is None or suffix == key:
        return key, ""
    prefix = key.removesuffix(suffix)
    if suffix.startswith(tuple(_XLABS)):  # XLabs: double_blocks.0.processor.qkv_lora1.down.weight
        prefix = prefix.replace(".processor.", _XLABS[suffix[:7]])
    elif suffix.startswith("_lora."):  # old diffusers: attn1.processor.to_out_lora.down.weight
        prefix = prefix.replace(".processor.", ".")
        prefix += ".0" if prefix.endswith(".to_out") else ""
    return prefix, _SUFFIXES[suffix]


def _bundled(key: str) -> tuple[str, str]:
    inner = key.removeprefix(_BUNDLE)
    for end in _BUNDLED:
        for suffix in (end, end + _OUTPUT):
            if inner.endswith(suffix) and inner != suffix:
                return inner.removesuffix(suffix), suffix[1:]
    return inner, ""
