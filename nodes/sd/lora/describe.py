"""Describes a LoRA file: base model, kind, rank, trigger words and training tags."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from nodes.sd.lora.grouped import grouped, kind_of

_TAGS = 20
"""How many of the most frequent training tags are listed."""
_LONGEST = 200
_JSON_LIMIT = 4 << 20

_BASES = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
"""The base model by the width of the text embeddings that the cross attention reads."""
_BASES_IN_METADATA = {
    "sdxl": "sdxl",
    "xl-v1": "sdxl",
    "sd_v2": "sd2",
    "diffusion-v2": "sd2",
    "sd_v1": "sd1",
    "diffusion-v1": "sd1",
    "sd3": "sd3",
    "diffusion-3": "sd3",
    "flux": "flux",
}
"""The base model by a part of its name in the metadata."""
_BASES_BY_BLOCK = {
    "sd3": re.compile(r"joint_blocks"),
    "flux": re.compile(r"(double|single)_blocks[._]\d|single_transformer_blocks"),
}
"""The base model by the blocks of transformers that only it has."""
_CONTEXT = re.compile(r"attn2[._](?:processor[._])?to_[kv]$")
_INPUTS = {"lora": "down", "loha": "w1_b", "full": "diff"}


def describe(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> dict[str, Any]:
    """Describe a LoRA file by its keys, shapes and metadata.

    Args:
        shapes: the shape of each tensor, by its key.
        metadata: the metadata of a safetensors file. Malformed entries are ignored.

    Returns:
        `name`: the name from the metadata, or ""; `base`: `sd1`, `sd2`, `sdxl`, `sd3`, `flux` or "", by the
        shapes or else by the metadata; `kinds`: such as ["lora", "loha"]; `modules`: the number of modules;
        `ranks`: such as [8, 16]; `parts`: the networks that are changed, `unet` or `text_encoder` or both;
        `triggers`: the trigger words; `tags`: the most frequent training tags with their counts;
        `embeddings`: the names of embeddings in the file; `unknown`: the number of unknown keys.
    """
    found = grouped(shapes)
    kinds = {prefix: kind_of(parts) or "" for prefix, parts in found.modules.items()}
    ranks = {
        shapes[parts[part]][0]
        for prefix, parts in found.modules.items()
        for part in ("down", "w1_b", "kw2_b", "kw1_b", "b2")
        if part in parts and shapes[parts[part]]
    }
    text = [
        prefix
        for prefix in kinds
        if re.match(r"lora_te|text_encoder|text_encoders\.|clip_[lg]\.|t5xxl\.", prefix)
    ]
    parts = [
        name for name, present in (("unet", len(text) < len(kinds)), ("text_encoder", bool(text))) if present
    ]
    return {
        "name": one_line(metadata.get("ss_output_name") or metadata.get("modelspec.title")),
        "base": _base(found.modules, kinds, shapes) or _metadata_base(metadata),
        "kinds": sorted(set(kinds.values())),
        "modules": len(kinds),
        "ranks": sorted(ranks),
        "parts": parts,
        "triggers": _triggers(metadata),
        "tags": _tags(metadata),
        "embeddings": sorted(found.bundled),
        "unknown": len(found.unknown),
    }


def _base(
    modules: Mapping[str, Mapping[str, str]], kinds: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]
) -> str:
    for base, sign in _BASES_BY_BLOCK.items():
        if any(sign.search(prefix) for prefix in kinds):
            return base
    for prefix, kind in kinds.items():
        if _CONTEXT.search(prefix) and kind in _INPUTS:
            shape = shapes[modules[prefix][_INPUTS[kind]]]
            if len(shape) > 1 and shape[1] in _BASES:
                return _BASES[shape[1]]
    return ""


def base_of_width(width: int | None) -> str:
    """Return the base model by the width of the text embeddings that it reads; "" if it is unknown."""
    return "" if width is None else _BASES.get(width, "")


def _metadata_base(metadata: Mapping[str, str]) -> str:
    text = metadata.get("ss_base_model_version", "") + " " + metadata.get("modelspec.architecture", "")
    return next((base for sign, base in _BASES_IN_METADATA.items() if sign in text.lower()), "")


def _triggers(metadata: Mapping[str, str]) -> list[str]:
    phrase = metadata.get("modelspec.trigger_phrase") or metadata.get("ss_trigger_words") or ""
    words = (word.strip() for word in phrase[: 1 << 14].split(","))
    return list(dict.fromkeys(one_line(word) for word in words if word))


def _tags(metadata: Mapping[str, str]) -> dict[str, int]:
    """Sum the counts of the tags in `ss_tag_frequency` over its folders, the most frequent tags first."""
    folders = _object(metadata.get("ss_tag_frequency", ""))
    counts: dict[str, int] = {}
    for words in folders.values():
        for word, count in words.items() if isinstance(words, dict) else ():
            if type(count) is int and count > 0 and word.strip():
                counts[one_line(word)] = counts.get(one_line(word), 0) + count
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dict(most[:_TAGS])


def _object(text: str) -> dict[str, Any]:
    if len(text) > _JSON_LIMIT:
        return {}
    try:
        read = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def one_line(text: str | None) -> str:
    """Shorten a text from a file to one line without control characters."""
    line = "".join(char if char.isprintable() else " " for char in (text or "").strip())
    return line[:_LONGEST]


def alias_of(metadata: Mapping[str, str]) -> str:
    """Return the name by which prompts may refer to a LoRA (`ss_output_name`, as in A1111), or ""."""
    name = one_line(metadata.get("ss_output_name"))
    return "" if name.lower() == "none" else name


def shapes_of(tensors: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of tensors, or of `Entry` objects, for `describe`."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def names_of(prefixes: Iterable[str], most: int = 3) -> str:
    """List the first few names for a message, such as `a, b, c, …`."""
    names = list(prefixes)
    shown = ", ".join(one_line(name) for name in names[:most])
    return shown + (", …" if len(names) > most else "")
