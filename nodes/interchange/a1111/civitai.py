"""Reads the fields that Civitai adds to A1111's parameters: hashes of files, and its own model pages."""

from __future__ import annotations

from typing import Any

from engine.errors import GraphError
from engine.sources import foreign as foreigners
from nodes.interchange.import_problems import ImportProblems
from nodes.interchange.picture_settings import PictureSettings, RequestedLora

MAX_RESOURCES = 100


def add_civitai_fields(settings: PictureSettings, fields: dict[str, str], problems: ImportProblems) -> None:
    """Add the resources in `Hashes` and `Civitai resources` to the settings of a picture."""
    hashes = _json(fields.get("Hashes"))
    if isinstance(hashes, dict):
        _add_hashes(settings, {name: hash.lower() for name, hash in hashes.items() if isinstance(hash, str)})
    resources = _json(fields.get("Civitai resources"))
    for resource in resources[:MAX_RESOURCES] if isinstance(resources, list) else ():
        if isinstance(resource, dict):
            _add_resource(settings, resource, problems)


def _add_hashes(settings: PictureSettings, hashes: dict[str, str]) -> None:
    settings.model_hash = settings.model_hash or hashes.get("model")
    for key, hash in hashes.items():
        kind, _, name = key.partition(":")
        if kind == "embed" and name:
            settings.embeddings.setdefault(name, hash)
    for lora in settings.loras:
        lora.hash = lora.hash or hashes.get(f"lora:{lora.name}")


def _add_resource(settings: PictureSettings, resource: dict[str, Any], problems: ImportProblems) -> None:
    kind, name = resource.get("type"), str(resource.get("modelName") or "")
    if kind == "checkpoint":
        settings.model = settings.model or name
    elif kind in ("lora", "lycoris", "locon") and not any(lora.name == name for lora in settings.loras):
        weight = problems.number(f"Civitai resource {name}", resource.get("weight", 1.0), -10, 10)
        if name and len(settings.loras) < MAX_RESOURCES:
            settings.loras.append(RequestedLora(name, 1.0 if weight is None else weight))
    elif kind != "lora":
        problems.left_out("Civitai resource", f"{kind} {name}")


def _json(text: str | None) -> Any:
    try:
        return None if text is None else foreigners.parse(text)
    except GraphError:
        return None
