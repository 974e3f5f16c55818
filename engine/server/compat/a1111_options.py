"""The options that a client of A1111's API sets for its later requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine import whole_file
from engine.catalogue import Catalogue
from engine.errors import short
from engine.near_names import near
from engine.server.refusal import refused

MODEL, CLIP_SKIP = "sd_model_checkpoint", "CLIP_stop_at_last_layers"
_FIXED: Mapping[str, Any] = {"sd_vae": "Automatic", "samples_format": "png"}
"""Options that a client may send only with these values."""


class Options:
    """The model and the clip skip for all requests, stored in a file that outlives the server.

    Args:
        path: the file.
        catalogue: lists the models.
    """

    def __init__(self, path: Path, catalogue: Catalogue) -> None:
        self._path, self._catalogue = path, catalogue

    def values(self) -> dict[str, Any]:
        """Return all options. The model is the first one in the list until a client chooses another."""
        chosen = self._chosen()
        if MODEL not in chosen:
            models = self._models()
            chosen[MODEL] = models[0] if models else ""
        return {CLIP_SKIP: 1, **_FIXED, **chosen}

    def set(self, given: Mapping[str, Any]) -> None:
        """Set options, and write them to the file.

        Raises:
            Refused: there is no such model, or no such option (422).
            OSError: the file cannot be written.
        """
        chosen = self._chosen()
        for name, value in given.items():
            if name == MODEL:
                chosen[name] = self._model(value)
            elif name == CLIP_SKIP and type(value) is int and 1 <= value <= 12:
                chosen[name] = value
            elif name not in _FIXED or _FIXED[name] != value:
                message = f"the option {short(name)} cannot be set to {short(value)}"
                hint = f"{MODEL} and {CLIP_SKIP} can be set"
                raise refused(422, "unknown_option", message, hint, input=name)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        whole_file.replace(self._path, json.dumps(chosen).encode())

    def applied(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request with the options in its `override_settings`, unless the request sets them."""
        values = self.values()
        own = body.get("override_settings") or {}
        if not isinstance(own, dict):
            return dict(body)
        return {**body, "override_settings": {name: values[name] for name in (MODEL, CLIP_SKIP)} | own}

    def _chosen(self) -> dict[str, Any]:
        try:
            tree: dict[str, Any] = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            hint = "delete it, and set the options again"
            raise refused(500, "damaged_file", f"{self._path} is damaged", hint) from None
        return tree

    def _model(self, title: Any) -> str:
        models = self._models()
        name = title.partition(" [")[0] if isinstance(title, str) else title
        if name not in models:
            hint = near(str(name), models)
            raise refused(422, "unknown_model", f"there is no model {short(title)}", hint, input=MODEL)
        return str(name)

    def _models(self) -> list[str]:
        return [str(model["title"]) for model in self._catalogue.lists_for("a1111")["sd-models"]]
