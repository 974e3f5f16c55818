"""The settings: their defaults, and how `settings.json` and environment variables set them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine import strict_json
from engine.errors import GraphError, Problem
from engine.near_names import near
from engine.paths import expanded
from engine.wrong_value import reason

PREFIX = "SAFELIGHT_"
"""The prefix of environment variables that set a setting, such as `SAFELIGHT_WORKERS=2`."""

GIB = 1024**3

Dtype = Literal["auto", "float32", "float16", "bfloat16"]
PictureFormat = Literal["png", "jpeg", "webp", "webp-lossless"]
Attention = Literal["auto", "sdpa", "sliced", "plain"]
Compile = Literal["off", "blocks", "whole"]
Offload = Literal["none", "components", "blocks"]
StorageDtype = Literal["auto", "float8_e4m3fn"]


class Settings(BaseModel):
    """The settings in effect, from the home folder's `settings.json` and from `SAFELIGHT_…` variables."""

    model_config = ConfigDict(extra="forbid")

    home: Path
    """The home folder, with `inputs/`, `models/`, `nodes/`, `graphs/`, `outputs/` and `store/`."""
    device: str = "auto"
    """The device that accelerator nodes compute on: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`."""
    dtype: Dtype = "auto"
    """The precision of UNets and text encoders. `auto` is the fastest: `float16` on `cuda`, `bfloat16` on a
    CPU with AMX, and `float32` elsewhere. `float16` and `bfloat16` change the picture a little."""
    vae_dtype: Dtype = "auto"
    """The precision of VAEs; `auto` is `float32`. Half precision takes half the memory. In `float16` the VAE
    of SDXL overflows; the picture is then decoded again in `float32`, with a warning."""
    attention: Attention = "auto"
    """The implementation of attention: `sdpa` is fast, `sliced` needs the least memory, `plain` is the
    textbook formula; `auto` is `sdpa`."""
    compile: Compile = "off"
    """The part of UNets and transformers that torch.compile compiles: `blocks` compiles their repeated block;
    `whole` takes several times as long to compile and runs a little faster. The first sampling step takes
    longer, later ones are faster."""
    offload: Offload = "none"
    """Where models are kept: `none` keeps them whole on the device, `components` only the network in use,
    `blocks` only the block of the UNet or transformer in use. The rest stays in the memory of the host.
    Results are the same."""
    storage_dtype: StorageDtype = "auto"
    """The precision in which the weights of UNets and transformers are stored; each layer is converted to
    `dtype` when it computes. `auto` is `dtype`. `float8_e4m3fn` takes half the memory of `float16`, and is
    slower and less exact."""
    channels_last: bool = False
    """Store the weights of convolutions in the channels-last memory format; faster on some GPUs."""
    vae_tiling: bool = False
    """Encode and decode pictures that are larger than the model's trained size in overlapping tiles, as if
    `tiled` was on in every node; faint seams are possible."""
    vae_slicing: bool = False
    """Encode and decode the pictures of a batch one after another, which takes the memory of one picture."""
    folders: dict[str, list[Path]] = Field(default_factory=dict)
    """More folders for a kind of file, such as {"checkpoints": ["/data/ComfyUI/models/checkpoints"]}."""
    disk_budget: int = Field(20 * GIB, ge=0)
    """The size limit of the store on disk, in bytes; 0 stores nothing on disk."""
    memory_budget: int = Field(2 * GIB, ge=0)
    """The size limit of results kept in memory, in bytes."""
    loaded_budget: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"
    """The size limit of models kept loaded on each device, in bytes; `auto` is nine tenths of the memory of a
    `cuda` device, and half of the memory of others."""
    workers: int = Field(4, ge=1, le=64)
    """The most steps that run at the same time. On each device, only one accelerator node runs at a time."""
    max_steps: int = Field(100_000, ge=1)
    """The most steps of a run, including elements of lists."""
    stop_timeout: float = Field(10.0, gt=0, le=86_400)
    """The seconds after a SIGTERM that a run may take to stop before its process ends."""
    after_restart: Literal["interrupt", "requeue"] = "interrupt"
    """What a server does with a run that was running when it stopped or was killed: `interrupt` gives it the
    state `interrupted`, `requeue` puts it back to the front of the queue."""
    hang_timeout: float | None = Field(None, gt=0)
    """The seconds without any event after which a server stops a run that has hung; by default never, because
    nodes may be silent for long."""
    worker_retries: int = Field(1, ge=0, le=10)
    """How often a server starts a run again whose worker process has died, before the run fails."""
    warm_up: bool = True
    """Import the libraries that most runs need when a server starts, so that the first picture comes sooner.
    Without it the server takes about half a GiB less memory until its first run."""
    max_queued: int = Field(10_000, ge=1)
    """The most runs that wait in the queue of a server; it refuses further ones."""
    metadata: bool = True
    """Write the graph, its values and the versions of the software into each picture."""
    picture_format: PictureFormat = "png"
    """The format of the pictures that outputs are written as; all of them carry the graph. A picture that a
    format cannot hold, such as one with transparency in `jpeg`, stays PNG."""
    picture_quality: int = Field(92, ge=1, le=100)
    """The quality of `jpeg` and `webp`; higher values keep more detail and give larger files."""
    checked: bool = False
    """Compare the inputs of each node before and after it runs, to find nodes that change their inputs."""

    def folders_of(self, kind: str) -> list[Path]:
        """Return the folders of a kind of file: that in the home folder, then those of the setting."""
        own = self.home / "inputs" if kind == "inputs" else self.home / "models" / kind
        return [own, *self.folders.get(kind, [])]

    @property
    def store_folder(self) -> Path:
        """The folder of the cached results on disk."""
        return self.home / "store"


def default_home() -> Path:
    """Return the default home folder of Safelight, in the platform's folder for user data.

    Raises:
        GraphError: the operating system knows no home folder of this user.
    """
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or _user_home() / "AppData" / "Local") / "Safelight"
    if sys.platform == "darwin":
        return _user_home() / "Library" / "Application Support" / "Safelight"
    return Path(os.environ.get("XDG_DATA_HOME") or _user_home() / ".local" / "share") / "safelight"


def _user_home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        hint = f"set {PREFIX}HOME to a folder, or use --home"
        raise GraphError([Problem("no_home", "your user account has no home folder", hint=hint)]) from None


def load(home: Path | None = None, **given: Any) -> Settings:
    """Load the settings from the home folder's `settings.json` and the environment.

    Args:
        home: the home folder; by default that in `SAFELIGHT_HOME`, or else `default_home()`.
        given: settings by name, which take precedence over the file and the environment.

    Raises:
        GraphError: a setting in `settings.json` or the environment is unknown or invalid, or a path begins
            with the `~name` of an unknown user.
    """
    home = expanded(home or os.environ.get("SAFELIGHT_HOME") or default_home()).absolute()
    path = home / "settings.json"
    in_file: Any = {}
    try:
        in_file = strict_json.parse(path.read_bytes())
    except FileNotFoundError:
        pass
    except NotADirectoryError:
        hint = f"name a folder after --home, or in {PREFIX}HOME"
        raise GraphError([Problem("bad_home", f"the home {home} is not a folder", hint=hint)]) from None
    except OSError as error:
        raise GraphError([Problem("unreadable", f"{path} cannot be read: {error.strerror}")]) from None
    except GraphError as error:
        problems = [Problem(item.code, f"{path}: {item.message}", hint=item.hint) for item in error.problems]
        raise GraphError(problems) from None
    if not isinstance(in_file, dict):
        raise GraphError(
            [Problem("bad_settings", f"{path} is not a JSON object", hint='write {"device": "cpu"}')]
        )
    in_environment = _environment(os.environ)
    if isinstance(both := in_file.get("folders"), dict) and "folders" in in_environment:
        in_environment["folders"] = {**both, **in_environment["folders"]}
    try:
        settings = Settings(**{**in_file, **in_environment, "home": home})
        folders = {kind: list(map(expanded, places)) for kind, places in settings.folders.items()}
        return settings.model_copy(update={"folders": folders, **given})
    except ValidationError as error:
        raise GraphError(_problem(item["loc"], reason(item), path) for item in error.errors()) from None


def _environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings in the environment. Variables with the prefix that name no setting are ignored.

    Raises:
        GraphError: `SAFELIGHT_FOLDERS` is not a JSON object.
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
                raise _folders_refused("it is not a JSON object")
    return found


def _folders_refused(why: str) -> GraphError:
    hint = 'write it as JSON: {"checkpoints": ["/data/checkpoints"]}'
    return GraphError(
        [Problem("bad_settings", f"the environment variable {PREFIX}FOLDERS: {why}", hint=hint)]
    )


def _problem(place: tuple[int | str, ...], message: str, path: Path) -> Problem:
    name = str(place[0]) if place else ""
    if name not in Settings.model_fields:
        hint = near(name, Settings.model_fields) or f"the settings are {', '.join(Settings.model_fields)}"
        return Problem("bad_settings", f"{path}: the setting {name} does not exist", hint=hint)
    variable = f"{PREFIX}{name.upper()}"
    where = f"the environment variable {variable}" if variable in os.environ else str(path)
    message = f"the setting {'.'.join(map(str, place))} {message}"
    return Problem("bad_settings", message, hint=f"correct it in {where}")


def folder_problems(settings: Settings, kinds: Iterable[str]) -> list[Problem]:
    """Check the setting `folders`: report kinds that no node reads, and folders that do not exist.

    Args:
        settings: the settings.
        kinds: the kinds of file that the installed node types read.
    """
    known = sorted(kinds)
    problems = []
    for kind, folders in settings.folders.items():
        if kind not in known:
            message = f"the setting folders: no node type reads files of the kind {kind!r}"
            hint = near(kind, known) or f"the kinds are {', '.join(known)}"
            problems.append(Problem("bad_settings", message, hint=hint))
        for folder in folders:
            if not folder.is_dir():
                message = f"the setting folders.{kind}: the folder {folder} does not exist"
                hint = "create it, or correct the setting"
                problems.append(Problem("missing_folder", message, hint=hint, severity="warning"))
    return problems
