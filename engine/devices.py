"""Which device to compute on, found without importing torch, so that a cached run never pays for it."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engine.errors import GraphError, Problem

_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")


def resolve(wish: str) -> str:
    """The device that `auto` stands for on this machine, or the wish itself.

    Raises:
        GraphError: the wish is no device.
    """
    if wish == "auto":
        return _best()
    if not _DEVICE.fullmatch(wish):
        raise GraphError(
            [Problem("bad_device", f"{wish!r} is no device", hint="use auto, cpu, cuda, cuda:1 or mps")]
        )
    return wish


def kind(device: str) -> str:
    """What decides the last bits of a result: `cuda` for `cuda:1`."""
    return device.partition(":")[0]


def _best() -> str:
    try:
        torch = version("torch")
    except PackageNotFoundError:
        return "cpu"
    if "+cpu" in torch:
        return "cpu"
    if sys.platform == "darwin":
        return "mps" if platform.machine() == "arm64" else "cpu"
    if Path("/dev/nvidiactl").exists() or (sys.platform == "win32" and shutil.which("nvidia-smi")):
        return "cuda"
    return "cpu"
