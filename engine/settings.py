"""Every setting in one typed place: defaults, the home folder's `settings.json`, the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine import strict_json
from engine.errors import GraphError, Problem
from engine.paths import expanded
from engine.registry import near

PREFIX = "SAFELIGHT_"
"""What a setting's name begins with in the environment, in capitals: `SAFELIGHT_WORKERS=2`."""

GIB = 1024**3


class Settings(BaseModel):
    """What may be set, in `settings.json` or as `SAFELIGHT_…` in the environment."""

    model_config = ConfigDict(extra="forbid")

    home: Path
    """Holds `inputs/`, `models/`, `nodes/`, `graphs/`, `outputs/` and `store/`."""
    device: str = "auto"
    """What accelerator nodes compute on: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`."""
    folders: dict[str, list[Path]] = Field(default_factory=dict)
    """Further folders for a kind of file, such as {"checkpoints": ["/data/ComfyUI/models/checkpoints"]}."""
    disk_budget: int = Field(20 * GIB, ge=0)
    """How many bytes the store may take on disk; 0 keeps nothing there."""
    memory_budget: int = Field(2 * GIB, ge=0)
    """How many bytes of results stay in memory."""
    loaded_budget: int = Field(8 * GIB, ge=0)
    """How many bytes of models stay loaded on each device."""
    workers: int = Field(4, ge=1, le=64)
    """How many steps may run side by side; accelerator nodes run one at a time all the same."""
    checked: bool = False
    """Watch for nodes that write into their inputs."""

    def folders_of(self, kind: str) -> list[Path]:
        """Where files of a kind are looked for: the home's own folder, then the further ones."""
        own = self.home / "inputs" if kind == "inputs" else self.home / "models" / kind
        return [own, *self.folders.get(kind, [])]

    @property
    def store_folder(self) -> Path:
        """Where the disk tier lies."""
        return self.home / "store"


def default_home() -> Path:
    """The platform's folder for a user's data, as its own guidelines name it."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", expanded("~") / "AppData" / "Local")) / "Safelight"
    if sys.platform == "darwin":
        return expanded("~") / "Library" / "Application Support" / "Safelight"
    return Path(os.environ.get("XDG_DATA_HOME") or expanded("~") / ".local" / "share") / "safelight"


def load(home: Path | None = None, **given: Any) -> Settings:
    """The settings in force.

    Args:
        home: the home folder; without it `SAFELIGHT_HOME`, else the platform's folder for user data.
        given: what a caller fixes, past the file and the environment.

    Raises:
        GraphError: `settings.json` or the environment holds something that is no setting, with every problem;
            or a path begins with the home folder of nobody.
    """
    home = expanded(home or os.environ.get("SAFELIGHT_HOME") or default_home()).absolute()
    path = home / "settings.json"
    in_file: Any = {}
    try:
        in_file = strict_json.parse(path.read_bytes())
    except FileNotFoundError:
        pass
    except OSError as error:
        raise GraphError([Problem("unreadable", f"{path} cannot be read: {error.strerror}")]) from None
    except GraphError as error:
        problems = [Problem(item.code, f"{path}: {item.message}", hint=item.hint) for item in error.problems]
        raise GraphError(problems) from None
    if not isinstance(in_file, dict):
        raise GraphError([Problem("bad_settings", f"{path} holds no object", hint='write {"device": "cpu"}')])
    in_environment = _environment(os.environ)
    if isinstance(both := in_file.get("folders"), dict) and "folders" in in_environment:
        in_environment["folders"] = {**both, **in_environment["folders"]}
    try:
        settings = Settings(**{**in_file, **in_environment, "home": home})
        folders = {kind: list(map(expanded, places)) for kind, places in settings.folders.items()}
        return settings.model_copy(update={"folders": folders, **given})
    except ValidationError as error:
        raise GraphError(_problem(item["loc"], item["msg"], path) for item in error.errors()) from None


def _environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """What the environment sets; other variables that begin like ours are not settings, and left alone.

    Raises:
        GraphError: `SAFELIGHT_FOLDERS` is no JSON object, with every problem.
    """
    found: dict[str, Any] = {}
    for variable, text in environment.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or name not in Settings.model_fields:
            continue
        found[name] = text
        if name == "folders":
            try:
                found[name] = strict_json.parse(text)
            except GraphError as error:
                raise _folders_refused(error.problems[0].message) from None
            if not isinstance(found[name], dict):
                raise _folders_refused("it holds no object")
    return found


def _folders_refused(why: str) -> GraphError:
    hint = 'write it as JSON: {"checkpoints": ["/data/checkpoints"]}'
    return GraphError([Problem("bad_settings", f"the environment: {PREFIX}FOLDERS: {why}", hint=hint)])


def _problem(place: tuple[int | str, ...], message: str, path: Path) -> Problem:
    name = str(place[0]) if place else ""
    variable = f"{PREFIX}{name.upper()}"
    if name not in Settings.model_fields:
        hint = near(name, Settings.model_fields) or f"{path} may set {', '.join(Settings.model_fields)}"
        return Problem("bad_settings", f"setting {name}: there is no such setting", hint=hint)
    where = f"the environment, {variable}" if variable in os.environ else str(path)
    return Problem("bad_settings", f"setting {'.'.join(map(str, place))}: {message}", hint=f"see {where}")


def unknown_folders(settings: Settings, kinds: Iterable[str]) -> list[Problem]:
    """What is wrong with the names in `folders`.

    Args:
        settings: the settings in force.
        kinds: the kinds of file that the node types at hand read.
    """
    known = sorted(kinds)
    return [
        Problem(
            "bad_settings",
            f"setting folders: no node type reads files of the kind {kind!r}",
            hint=near(kind, known) or f"the kinds are {', '.join(known)}",
        )
        for kind in settings.folders
        if kind not in known
    ]
