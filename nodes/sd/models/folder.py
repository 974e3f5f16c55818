"""Describes a model folder by its config files; reads no weights and needs no torch, so planning is fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nodes.sd.families.family import Component, Configs, EncoderRole, Family
from nodes.sd.families.key_tables import (
    KeyTable,
    clip_in_transformers,
    own_names,
    t5_in_transformers,
    vae_in_diffusers,
)
from nodes.sd.families.known import families
from nodes.sd.formats.json_file import ModelError, read_object, regular_size
from nodes.sd.models.configs import (
    check_class,
    check_config,
    check_match,
    network_class,
    noise_of,
    shown,
    titles,
    training_side,
)
from nodes.sd.models.files import ModelFiles, StoredNetwork, vae_scale

_WITHOUT_WEIGHT = ("scheduler", "safety_checker", "feature_extractor", "image_encoder")
"""Parts that Safelight replaces or does not use; only the noise schedule of the scheduler is read."""

_WEIGHTS = (
    "model.safetensors",
    "diffusion_pytorch_model.safetensors",
    "model.fp16.safetensors",
    "diffusion_pytorch_model.fp16.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.bin",
    "pytorch_model.fp16.bin",
    "diffusion_pytorch_model.fp16.bin",
)
"""The names of weights, the preferred ones first."""
_SUFFIXES = (".safetensors", ".bin")
_MOST_SHARDS = 64
_NAMES: dict[str, KeyTable] = {
    "AutoencoderKL": vae_in_diffusers,
    "CLIPTextModel": clip_in_transformers,
    "CLIPTextModelWithProjection": clip_in_transformers,
    "T5EncoderModel": t5_in_transformers,
}
"""The names of tensors in the files of the VAE and the text encoders, by their classes."""


def names_in_folder(family: Family, part: Component) -> KeyTable:
    """Return the table of the names of tensors in the files of a network in the diffusers layout."""
    return _NAMES.get(network_class(family, part), own_names)


def describe_folder(path: str | Path) -> ModelFiles:
    """Describe the model in a folder. Only a few kilobytes are read.

    Raises:
        ModelError: a file is missing or malformed, or the model is of no known family.
    """
    root = Path(path)
    if not root.is_dir():
        raise ModelError(
            f"{root} is not a folder. Choose the folder of a model, which contains model_index.json."
        )
    candidates, present = _candidates(root)
    components = [part for part in candidates[0].components if part in present]
    configs: dict[Component, dict[str, Any]] = {
        part: _config(root, candidates[0], part) for part in components
    }
    family, reason = _recognised(root, candidates, configs)
    for part in components:
        check_class(family, part, configs[part], str(root / part / "config.json"))
    network = family.network.component
    check_match(family, configs, str(root / network / "config.json"))
    schedule = root / "scheduler" / "scheduler_config.json"
    prediction, noise = noise_of(read_object(schedule), str(schedule))
    trained = training_side(family, prediction, str(schedule))
    weights = {part: _weights_files(root, part) for part in components}
    tokenizers = {role.tokenizer: role for role in family.roles if role.component in components}
    files = [
        "model_index.json",
        "scheduler/scheduler_config.json",
        *(f"{part}/config.json" for part in components),
        *(name for names in weights.values() for name in names),
        *(
            f"{folder}/{name}"
            for folder, role in tokenizers.items()
            for name in tokenizer_files(root / folder, role)
        ),
    ]
    scale = vae_scale(configs)
    side = configs[network].get("sample_size") or trained // scale
    height, width = side if isinstance(side, list) else (side, side)
    return ModelFiles(
        path=root,
        family=family,
        reason=reason,
        prediction=prediction,
        noise=noise,
        size=(width * scale, height * scale),
        configs=configs,
        networks={
            part: StoredNetwork(
                tuple(root / name for name in names if name.endswith(_SUFFIXES)),
                "",
                names_in_folder(family, part),
                str(root / part / "config.json"),
            )
            for part, names in weights.items()
        },
        tokenizers={folder: root / folder for folder in tokenizers},
        files=tuple(sorted(files)),
        zeros_for_empty_negative=_zeros_for_empty_negative(root),
    )


def _zeros_for_empty_negative(root: Path) -> bool | None:
    value = read_object(root / "model_index.json").get("force_zeros_for_empty_prompt")
    return value if isinstance(value, bool) else None


def tokenizer_files(folder: Path, role: EncoderRole) -> tuple[str, ...]:
    """List the files of a text encoder's tokenizer, relative to the tokenizer's folder.

    Raises:
        ModelError: there is neither tokenizer.json nor, for CLIP, the pair vocab.json and merges.txt.
    """
    if (folder / "tokenizer.json").exists():
        names = ["tokenizer.json"]
    elif role.name == "t5":
        raise ModelError(f"{folder} has no tokenizer.json. Add it; spiece.model alone cannot be read.")
    elif (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
        names = ["vocab.json", "merges.txt"]
        if (folder / "added_tokens.json").exists():
            names.append("added_tokens.json")
    else:
        raise ModelError(
            f"{folder} has neither tokenizer.json nor vocab.json with merges.txt. Add one of them."
        )
    for name in names:
        regular_size(folder / name)
    return tuple(names)


def _candidates(root: Path) -> tuple[list[Family], set[str]]:
    """Read the index of a folder: return the families that match it, and the names of its parts.

    Raises:
        ModelError: the pipeline, or a part, is not one that Safelight runs.
    """
    place = root / "model_index.json"
    index = read_object(place)
    pipeline = index.get("_class_name")
    known = [family for family in families() if pipeline in family.pipelines]
    if not known:
        raise ModelError(f"{place} asks for {shown(pipeline)}. Safelight runs {titles()} models.")
    entries = {
        name: entry
        for name, entry in index.items()
        if not name.startswith("_") and name not in _WITHOUT_WEIGHT and isinstance(entry, list)
    }
    parts = {name for family in known for name in _parts(family)}
    for name in entries:
        if name not in parts:
            raise ModelError(f"{place} names a part {shown(name)} that {titles(known)} models do not have.")
    present = {name for name, entry in entries.items() if entry != [None, None]}
    alike = [family for family in known if _needed(family) <= present <= set(_parts(family))]
    family = (alike or known)[0]
    for part, allowed in _parts(family).items():
        if alike and part not in present:
            continue
        entry = index.get(part)
        wanted = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
        if wanted not in allowed:
            raise ModelError(f"{place}: {part} must be a {allowed[0]}, not {shown(wanted)}.")
    return alike, present


def _parts(family: Family) -> dict[str, tuple[str, ...]]:
    """Return the allowed classes of each part that the index of a model may name."""
    parts: dict[str, tuple[str, ...]] = {part: (network_class(family, part),) for part in family.components}
    return parts | {role.tokenizer: _tokenizer_classes(role) for role in family.roles}


def _tokenizer_classes(role: EncoderRole) -> tuple[str, str]:
    kind = "T5Tokenizer" if role.name == "t5" else "CLIPTokenizer"
    return kind, f"{kind}Fast"


def _needed(family: Family) -> set[str]:
    """Return the parts that every model of a family has."""
    return {*family.needed, *(role.tokenizer for role in family.roles if not role.optional)}


def _recognised(root: Path, candidates: list[Family], configs: Configs) -> tuple[Family, str]:
    for family in candidates:
        if (reason := family.recognise(configs)) is not None:
            return family, reason
    raise ModelError(
        f"{root} is a model of an unknown family: its configs are not those of {titles(candidates)} models."
    )


def _config(root: Path, family: Family, part: Component) -> dict[str, Any]:
    place = root / part / "config.json"
    config = read_object(place)
    check_config(family, part, config, str(place))
    return config


def _weights_files(root: Path, part: Component) -> tuple[str, ...]:
    """List the files of a network's weights, with the index if the weights are in several files."""
    folder = root / part
    for name in _WEIGHTS:
        if (folder / name).exists():
            regular_size(folder / name)
            return (f"{part}/{name}",)
        index = folder / _index(name)
        if index.exists():
            return tuple(f"{part}/{file}" for file in (index.name, *_shards(index)))
    raise ModelError(f"{folder} has no weights. Expected {_WEIGHTS[0]} or {_WEIGHTS[1]}.")


def _index(name: str) -> str:
    """Return the name of the index of split weights, such as `model.safetensors.index.fp16.json`."""
    full = name.replace(".fp16.", ".")
    return f"{full}.index.json" if name == full else f"{full}.index.fp16.json"


def _shards(index: Path) -> list[str]:
    """Read the names of the files from the index of split weights.

    Raises:
        ModelError: the index names no files, too many files, or files outside of its folder.
    """
    table = read_object(index, 1 << 24).get("weight_map")
    names = sorted({str(name) for name in table.values()}) if isinstance(table, dict) else []
    if not 1 <= len(names) <= _MOST_SHARDS:
        raise ModelError(f"{index} names {len(names)} files of weights; 1 to {_MOST_SHARDS} are expected.")
    for name in names:
        if Path(name).name != name or not name.endswith(_SUFFIXES):
            raise ModelError(f"{index} names {shown(name)}, which is not a file of weights in its folder.")
        regular_size(index.parent / name)
    return names
