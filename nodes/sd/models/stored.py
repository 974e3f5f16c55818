"""Reads the tensors of one network; every name and shape is checked before any number is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nodes.sd.families.family import Shapes
from nodes.sd.families.key_tables import Stored
from nodes.sd.formats.json_file import ModelError
from nodes.sd.formats.opened import Identity
from nodes.sd.formats.read import read_tensors
from nodes.sd.formats.tensors import Entry, Tensors
from nodes.sd.models.files import StoredNetwork

_FLOATS = frozenset({"F8_E4M3", "F8_E5M2", "F16", "BF16", "F32", "F64"})
"""The number formats of weights, by their safetensors names."""

_MOST_KNOWN = 64
_finite: dict[tuple[Identity, torch.dtype, tuple[str, ...]], None] = {}
"""The tensors that were finite when they were first read, by the identity of their file, so that a model that
is loaded again need not be looked at number by number."""


_SCALES = (".scale_weight", ".weight_scale")
"""The endings of the name of the number by which a layer's weights are multiplied, in files of 8 bits."""
_UNUSED_SCALES = (".scale_input", ".input_scale", ".comfy_quant", "scaled_fp8")
"""The endings of the names of other tensors in such files: they are for computing in 8 bits."""


class _Scale(NamedTuple):
    """Where the number is stored by which a tensor is multiplied."""

    file: Tensors
    name: str


class _Found(NamedTuple):
    """Where a tensor of the network is stored."""

    file: Tensors
    stored: Stored
    scale: _Scale | None = None


def read_network(
    network: StoredNetwork, shapes: Shapes, part: str, dtype: torch.dtype
) -> Iterator[tuple[str, Tensor]]:
    """Read the tensors of a network to the CPU; yields each name in the network with its tensor.

    Args:
        network: the files of the network, and the tensor names in them.
        shapes: the shapes that the tensors must have, by name.
        part: the name of the network in messages.
        dtype: the precision.

    Raises:
        ModelError: a file is damaged, a tensor is missing, unexpected, of another shape, or not finite.
    """
    files = [read_tensors(path) for path in network.files]
    places = _places(network, files, shapes, part)
    groups: dict[int, dict[str, _Found]] = defaultdict(dict)
    for name, found in places.items():
        groups[id(found.file)][name] = found
    for group in groups.values():
        yield from _read(group, shapes, dtype)


def _places(network: StoredNetwork, files: list[Tensors], shapes: Shapes, part: str) -> dict[str, _Found]:
    """Find the place of each tensor of the network, and check the names and shapes of all.

    Raises:
        ModelError: a tensor is missing, unexpected, or of another shape.
    """
    here = {name: file for file in files for name in file.entries if name.startswith(network.prefix)}
    places: dict[str, _Found] = {}
    used: set[str] = set()
    whole = ", ".join(str(path) for path in network.files)
    for name, ways in network.table(shapes).items():
        present = [way for way in ways if network.prefix + way.name in here]
        if len(present) > 1:
            raise ModelError(
                f"{whole} holds {name!r} twice, under an old and a new name. Save the model again."
            )
        if not present:
            continue
        stored = present[0]._replace(name=network.prefix + present[0].name)
        file = here[stored.name]
        _check(file.path, stored, file.entries[stored.name], shapes[name], network.config_place)
        places[name] = _Found(file, stored, _scale(stored.name, here))
        used.add(stored.name)
        if (scale := places[name].scale) is not None:
            used.add(scale.name)
    for stored_name, file in here.items():
        known = stored_name in used or network.ignored(stored_name) or stored_name.endswith(_UNUSED_SCALES)
        if not known:
            raise ModelError(
                f"{file.path} holds {stored_name[:200]!r}, which this {part} does not have: another model's"
                " file."
            )
    if missing := [name for name in shapes if name not in places]:
        raise ModelError(f"{whole} lacks {len(missing)} of {len(shapes)} tensors, {missing[0]!r} first.")
    return places


def _scale(name: str, here: Mapping[str, Tensors]) -> _Scale | None:
    """Find the number by which a stored tensor is multiplied; None if there is none.

    Raises:
        ModelError: there are several numbers.
    """
    layer = name.removesuffix(".weight")
    found = next((layer + end for end in _SCALES if layer + end in here), None) if layer != name else None
    if found is None:
        return None
    file = here[found]
    if file.entries[found].count != 1:
        raise ModelError(
            f"{file.path} scales the weights of a layer by several numbers ({found[:200]!r}), which Safelight"
            " does not read. Use a file with one scale for each layer, or with 16 bits."
        )
    return _Scale(file, found)


def _check(path: Path, stored: Stored, entry: Entry, wanted: tuple[int, ...], config_place: str) -> None:
    if entry.dtype not in _FLOATS:
        raise ModelError(f"{path}: {stored.name[:200]!r} holds {entry.dtype}, not floating-point weights.")
    if stored.shape_of(entry.shape) != wanted:
        raise ModelError(
            f"{path}: {stored.name!r} has shape {list(entry.shape)}, {config_place} asks for"
            f" {list(wanted)}. The file was made for another kind of model; choose one made for this kind."
        )


def _read(found: Mapping[str, _Found], shapes: Shapes, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Read the tensors of one file. Those of safetensors are memory-mapped, and copied only if converted."""
    file = next(iter(found.values())).file
    ways: dict[str, list[str]] = defaultdict(list)
    for name, place in found.items():
        ways[place.stored.name].append(name)
    checked = file.identity, dtype, tuple(ways)
    is_known = checked in _finite
    for stored_name, tensor in _numbers(file, list(ways)):
        scale = found[ways[stored_name][0]].scale
        scaled = tensor if scale is None else tensor.float() * scale.file[scale.name].float().reshape(())
        numbers = scaled.to(dtype)
        if not is_known and not is_finite(numbers):
            raise ModelError(
                f"{file.path}: {stored_name!r} holds NaN or infinity in {dtype}. Download it again."
            )
        for name in ways[stored_name]:
            yield name, found[name].stored.taken_from(numbers)
    _finite[checked] = None
    while len(_finite) > _MOST_KNOWN:
        _finite.pop(next(iter(_finite)), None)


def is_finite(numbers: Tensor) -> bool:
    """Return whether no number is NaN or infinite.

    NaN and infinity make a sum NaN or infinite, and adding up takes an eighth of the time of checking each
    number. The sum of finite numbers may be infinite, too; in that case each number is checked.
    """
    total = numbers.sum(dtype=torch.float32)
    return bool(torch.isfinite(total)) or bool(torch.isfinite(numbers).all())


def _numbers(file: Tensors, names: list[str]) -> Iterator[tuple[str, Tensor]]:
    if file.format != "safetensors":
        for name in names:
            yield name, file[name]
        return
    try:
        with safe_open(file.path, framework="pt") as opened:
            for name in names:
                yield name, opened.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file.path} is a damaged safetensors file: {error}. Download it again.") from None
