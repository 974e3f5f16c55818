"""The settings: their defaults, and their values in the home folder's `settings.json` and the environment."""

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

PREFIX = "SAFELIGHT_"
"""The prefix of settings in the environment: `SAFELIGHT_WORKERS=2`."""

GIB = 1024**3

Dtype = Literal["auto", "float32", "float16", "bfloat16"]
PictureFormat = Literal["png", "jpeg", "webp", "webp-lossless"]
Attention = Literal["auto", "sdpa", "sliced", "plain"]
Compile = Literal["off", "blocks", "whole"]
Offload = Literal["none", "components", "blocks"]
StorageDtype = Literal["auto", "float8_e4m3fn"]


class Settings(BaseModel):
    """The settings, from `settings.json` and from `SAFELIGHT_…` in the environment."""

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
    """The part of UNets and transformers that torch.compile compiles: `blocks` compiles the block that they
    repeat, `whole` takes several times as long and is a little faster. The first step takes longer, later
    ones are faster."""
    offload: Offload = "none"
    """The part of a model that is on the device: all of it, only the network in use (`components`), or only
    the block in use of a UNet or transformer (`blocks`). The rest waits in the memory of the host. Results
    are the same."""
    storage_dtype: StorageDtype = "auto"
    """The precision in which the weights of UNets and transformers are kept; each layer is converted to
    `dtype` while it computes. `auto` is `dtype`. `float8_e4m3fn` takes half the memory of `float16`, and is
    slower and less exact."""
    channels_last: bool = False
    """Keep the weights of convolutions in the order that tensor cores read; faster on some GPUs."""
    vae_tiling: bool = False
    """Encode and decode pictures larger than the model was trained on in overlapping tiles, as if `tiled` was
    on in every node; faint seams are possible."""
    vae_slicing: bool = False
    """Encode and decode the pictures of a batch one after the other, which takes the memory of one."""
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
    """The most steps that run at the same time; accelerator nodes always run one at a time on each device."""
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
    """Compare the inputs of each node before and after it runs, to find nodes that write into them."""

    def folders_of(self, kind: str) -> list[Path]:
        """The folders in which to find files of a kind: the home's own first."""
        own = self.home / "inputs" if kind == "inputs" else self.home / "models" / kind
        return [own, *self.folders.get(kind, [])]

    @property
    def store_folder(self) -> Path:
        """The folder of the store."""
        return self.home / "store"


def default_home() -> Path:
    """The platform's default folder for user data.

    Raises:
        GraphError: this user has no home folder.
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
        raise GraphError([Problem("no_home", "this user has no home folder", hint=hint)]) from None


def load(home: Path | None = None, **given: Any) -> Settings:
    """Load the settings.

    Args:
        home: the home folder; by default `SAFELIGHT_HOME`, or else the platform's folder for user data.
        given: settings that take precedence over the file and the environment.

    Raises:
        GraphError: `settings.json` or the environment has an unknown or invalid setting, or a path begins
            with `~name` of an unknown user; with every problem.
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
        raise GraphError(_problem(item["loc"], item["msg"], path) for item in error.errors()) from None


def _environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings in the environment. Other variables with the same prefix are ignored.

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
    return GraphError([Problem("bad_settings", f"the environment: {PREFIX}FOLDERS: {why}", hint=hint)])


def _problem(place: tuple[int | str, ...], message: str, path: Path) -> Problem:
    name = str(place[0]) if place else ""
    if name not in Settings.model_fields:
        hint = near(name, Settings.model_fields) or f"the settings are {', '.join(Settings.model_fields)}"
        return Problem("bad_settings", f"{path}: the setting {name} does not exist", hint=hint)
    variable = f"{PREFIX}{name.upper()}"
    where = f"the environment variable {variable}" if variable in os.environ else str(path)
    message = f"setting {'.'.join(map(str, place))}: {message}"
    return Problem("bad_settings", message, hint=f"correct it in {where}")


def folder_problems(settings: Settings, kinds: Iterable[str]) -> list[Problem]:
    """Check the setting `folders`: finds kinds that no node reads, and folders that do not exist.

    Args:
        settings: the settings.
        kinds: the kinds of file that the installed node types read.
    """
    known = sorted(kinds)
    problems = []
    for kind, folders in settings.folders.items():
        if kind not in known:
            message = f"setting folders: no node type reads files of the kind {kind!r}"
            hint = near(kind, known) or f"the kinds are {', '.join(known)}"
            problems.append(Problem("bad_settings", message, hint=hint))
        for folder in folders:
            if not folder.is_dir():
                message = f"setting folders.{kind}: the folder {folder} does not exist"
                hint = "create it, or correct the setting"
                problems.append(Problem("missing_folder", message, hint=hint, severity="warning"))
    return problems
