"""Every setting in one typed place: defaults, the home folder's `settings.json`, the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from engine import strict_json
from engine.errors import GraphError, Problem
from engine.paths import expanded

GIB = 1024**3


class Settings(BaseSettings):
    """What may be set, in `settings.json` or as `SAFELIGHT_…` in the environment."""

    model_config = SettingsConfigDict(env_prefix="SAFELIGHT_", extra="forbid", env_nested_delimiter="__")

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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes before the file, which `load` hands over as plain values."""
        return env_settings, init_settings

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
    try:
        settings = Settings(**{**in_file, "home": home})
        folders = {kind: list(map(expanded, places)) for kind, places in settings.folders.items()}
        return settings.model_copy(update={"home": home, "folders": folders, **given})
    except SettingsError as error:
        message = f"the environment: {error}"
        raise GraphError([Problem("bad_settings", message, hint="write it as JSON")]) from None
    except ValidationError as error:
        raise GraphError(
            Problem(
                "bad_settings",
                f"setting {'.'.join(map(str, item['loc']))}: {item['msg']}",
                hint=f"see {path}",
            )
            for item in error.errors(include_url=False)
        ) from None
