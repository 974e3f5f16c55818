"""Describes a model in a single file by the names and shapes of its tensors, without torch."""

from __future__ import annotations

import math
import struct
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from nodes.sd.families.family import (
    Betas,
    Component,
    EncoderRole,
    Family,
    ModelClues,
    NoiseSchedule,
    Shapes,
)
from nodes.sd.families.known import families
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.json_file import MissingVocabulary, ModelError, parsed_object, read_object
from nodes.sd.formats.read import read_tensors
from nodes.sd.formats.tensors import Tensors
from nodes.sd.models.configs import (
    check_class,
    check_config,
    check_match,
    noise_of,
    shown,
    titles,
    training_side,
)
from nodes.sd.models.files import ModelFiles, StoredNetwork, vae_scale
from nodes.sd.sampling.names import Prediction

CONFIGS = "safelight.configs"
"""The metadata key under which SaveModel writes the configs of the networks and the scheduler, as JSON."""

VOCABULARY = Path(__file__).parents[1] / "tiny" / "weights" / "tokenizer"
"""The vocabulary of CLIP, which all families share; it comes with the embedded model."""

_PREDICTIONS: Mapping[str, Prediction] = {
    "epsilon": "epsilon",
    "eps": "epsilon",
    "v": "v_prediction",
    "v_prediction": "v_prediction",
    "sample": "sample",
}
_FORMATS = {"F16": "e", "F32": "f", "F64": "d"}


def describe_file(path: Path, t5: Path | None = None) -> ModelFiles:
    """Describe the model in a file: a safetensors file, or a pickle, whose code is not executed.

    Args:
        path: the file.
        t5: the folder of T5's vocabulary, which model files do not contain. Without it, an optional T5 is
            left out.

    Raises:
        ModelError: the file is damaged, or is not a whole model of a known family.
        MissingVocabulary: `t5` is None, and no model of the family may lack T5.
    """
    tensors = read_tensors(path)
    shapes = {name: entry.shape for name, entry in tensors.entries.items()}
    family, reason = recognised(path, shapes)
    parts = _present(path, family, shapes, has_vocabulary=t5 is not None)
    own = _own_configs(path, parts, tensors.metadata)
    network = family.network.component
    bare = without_prefix(shapes, family.layout.prefixes[network])
    configs = {part: own.get(part) or usual_config(family, part, bare) for part in parts}
    place = f"the configs in {path}" if own else f"the architecture of {family.title}"
    for part, config in configs.items():
        check_config(family, part, config, place)
        check_class(family, part, config, place)
    check_match(family, configs, place)
    if "scheduler" in own:
        prediction, noise = noise_of(own["scheduler"], place)
        trained, scale = training_side(family, prediction, place), vae_scale(configs)
        side = (configs[network].get("sample_size") or trained // scale) * scale
    else:
        prediction, noise = predicted(family, tensors, shapes), usual_noise(family, shapes)
        side = training_side(family, prediction, str(path))
    layout = family.layout
    return ModelFiles(
        path=path,
        family=family,
        reason=reason,
        prediction=prediction,
        noise=noise,
        size=(side, side),
        configs=configs,
        networks={
            part: StoredNetwork((path,), layout.prefixes[part], layout.tables[part], place, layout.unused)
            for part in parts
        },
        tokenizers=vocabularies((role for role in family.roles if role.component in parts), t5),
        files=(),
    )


def vocabularies(roles: Iterable[EncoderRole], t5: Path | None) -> dict[str, Path]:
    """Return the folder of each tokenizer's vocabulary, by the tokenizer's name in the diffusers layout.

    Args:
        roles: the text encoders.
        t5: the folder of T5's vocabulary; without it, the result has no tokenizer for T5.
    """
    found = {role.tokenizer: t5 if role.name == "t5" else VOCABULARY for role in roles}
    return {name: folder for name, folder in found.items() if folder is not None}


def recognised(path: Path, shapes: Shapes) -> tuple[Family, str]:
    """Recognise the family of a model in a file; return it and the reason, to follow `it has`.

    Raises:
        ModelError: the model is of an unknown family.
    """
    for family in families():
        if (reason := family.layout.recognise(shapes)) is not None:
            return family, reason
    raise ModelError(f"{path} is a checkpoint of an unknown family. Safelight runs {titles()} models.")


def _present(path: Path, family: Family, shapes: Shapes, *, has_vocabulary: bool) -> list[Component]:
    """List the networks in the file, after checking that none is missing and the noise schedule is known.

    An optional T5 is left out if `has_vocabulary` is False.

    Raises:
        ModelError: a network that the family needs is missing, or the noise schedule is unknown.
        MissingVocabulary: the family needs T5, and `has_vocabulary` is False.
    """
    nouns = {family.network.component: family.network.noun, "vae": "VAE"}
    for part in family.needed:
        prefix = family.layout.prefixes[part]
        if not any(name.startswith(prefix) for name in shapes):
            raise ModelError(
                f"{path} is a checkpoint of {family.title} without its {nouns.get(part, 'text encoder')}"
                f" ({prefix}…). Load its parts with LoadUnet, LoadTextEncoder and LoadVae."
            )
    if edm := [name for name in shapes if name.startswith(("edm_mean", "edm_vpred"))]:
        raise ModelError(f"{path} was trained with a noise schedule of its own ({edm[0]}), which is unknown.")
    if not has_vocabulary and any(role.name == "t5" and not role.optional for role in family.roles):
        raise MissingVocabulary(
            f"{path} needs the vocabulary of T5, which model files do not contain. Put the tokenizer.json of"
            " T5 into models/tokenizers/t5."
        )
    prefixes = {part: family.layout.prefixes[part] for part in family.components}
    return [
        part
        for part in family.components
        if part in family.needed
        or (has_vocabulary and any(name.startswith(prefixes[part]) for name in shapes))
    ]


def _own_configs(
    path: Path, parts: Iterable[Component], metadata: Mapping[str, str]
) -> dict[Any, dict[str, Any]]:
    """Read the configs in the metadata of a file that Safelight wrote; empty for other files.

    Raises:
        ModelError: the metadata is malformed.
    """
    if CONFIGS not in metadata:
        return {}
    configs = parsed_object(metadata[CONFIGS], f"the metadata {CONFIGS} of {path}")
    wanted = {*parts, "scheduler"}
    if not wanted <= configs.keys() or not all(isinstance(config, dict) for config in configs.values()):
        raise ModelError(f"{path}: its metadata {CONFIGS} must be objects for {', '.join(sorted(wanted))}.")
    return configs


def usual_config(family: Family, part: Component, shapes: Shapes) -> dict[str, Any]:
    """Return the usual config of a network, for a UNet or transformer adapted to the shapes of its tensors.

    Args:
        family: the model family.
        part: which network of the family.
        shapes: the shapes of the tensors of the UNet or transformer, by their names without prefix; empty if
            unknown.
    """
    config = read_object(family.configs / f"{part}.json")
    return config | dict(family.network.sized(shapes)) if part == family.network.component else config


def usual_noise(family: Family, names: Container[str]) -> NoiseSchedule:
    """Return the noise schedule of a family; it ends at zero signal if ComfyUI's mark is among the names."""
    noise = family.noise
    return noise._replace(zero_snr=True) if isinstance(noise, Betas) and "ztsnr" in names else noise


def without_prefix(shapes: Shapes, prefix: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors whose names begin with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}


def predicted(family: Family, tensors: Tensors, shapes: Shapes) -> Prediction:
    """Determine the prediction type of a model by its metadata, by the marks of trainers, or by its weights.

    If the family has only one prediction type, that is the answer.

    Raises:
        ModelError: the metadata names an unknown prediction type.
    """
    if len(family.sizes) == 1:
        return next(iter(family.sizes))
    said = tensors.metadata.get("modelspec.prediction_type")
    if said is not None:
        if said not in _PREDICTIONS:
            raise ModelError(f"{tensors.path}: the prediction type {shown(said)} in its metadata is unknown.")
        return _PREDICTIONS[said]
    if (parameterized := tensors.metadata.get("ss_v_parameterization")) is not None:
        return "v_prediction" if parameterized == "True" else "epsilon"
    if "v_pred" in shapes:
        return "v_prediction"
    return family.prediction(ModelClues(shapes, lambda name: _deviation(tensors, name)))


def _deviation(tensors: Tensors, name: str) -> float:
    """Compute the standard deviation of a small tensor, without torch."""
    entry = tensors.entries[name]
    data = bytes(tensors.raw(name))
    if entry.dtype == "BF16":  # the upper half of a float32
        words = [half << 16 for half in struct.unpack(f"<{entry.count}H", data)]
        numbers = struct.unpack(f"<{entry.count}f", struct.pack(f"<{entry.count}I", *words))
    elif entry.dtype in _FORMATS:
        numbers = struct.unpack(f"<{entry.count}{_FORMATS[entry.dtype]}", data)
    else:
        raise BadFileError("bad_dtype", f"{tensors.path}: {name!r} has the unsupported type {entry.dtype}.")
    mean = math.fsum(numbers) / len(numbers)
    return math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / len(numbers))
