"""Compute settings of accelerator nodes: device, precision, attention and compilation, with `auto` resolved.

torch is not imported here, so that a run that reuses all its results need not wait for the import.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import get_args

from engine.errors import GraphError, Problem
from engine.near_names import near
from engine.settings import Attention, Compile, Dtype, Offload, Settings, StorageDtype

_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")
CPU_FACTS = Path("/proc/cpuinfo")
"""The file in which Linux lists the instruction sets of the processor."""
_COMPILERS = ("c++", "g++", "clang++", "cl")


@dataclass(frozen=True, slots=True)
class ComputeSettings:
    """The settings with which accelerator nodes compute, such as device, precision and attention.

    Every field has its final value, never `auto`. The `signature` is part of the cache key of every
    accelerator node, so that a picture made in float16 is never taken for one made in float32.

    Equal keys mean bit-equal results on the same kind of machine (processor or GPU, operating system,
    versions of the libraries) with the same number of threads, and results that look equal on others. The
    number of threads is not part of the key, although it changes the last bits on a CPU: otherwise two
    machines with different numbers of cores could not share results.
    """

    device: str = "cpu"
    """The device: `cpu`, `cuda`, `cuda:1`, `mps`."""
    dtype: str = "float32"
    """The precision of a UNet or text encoder: `float32`, `float16` or `bfloat16`."""
    attention: str = "sdpa"
    """The implementation of attention in a UNet or VAE: `sdpa`, `sliced` or `plain`."""
    compile: str = "off"
    """The part of a UNet or transformer that is compiled (torch.compile): `off`, `blocks` or `whole`."""
    vae_dtype: str = "float32"
    """The precision of a VAE."""
    storage_dtype: str = ""
    """The precision in which a UNet or transformer is stored (`float8_e4m3fn`); empty if it is `dtype`."""
    channels_last: bool = False
    """True if the weights of convolutions are stored in the channels-last memory format."""
    vae_tiling: bool = False
    """True if a VAE processes pictures that are larger than its trained size in tiles."""
    vae_slicing: bool = False
    """True if a VAE processes the pictures of a batch one at a time."""
    offload: str = "none"
    """The parts of a model that are moved to the host while they are not in use: `none`, `components` or
    `blocks`. It changes no result, so it is not part of cache keys."""

    @property
    def kind(self) -> str:
        """The kind of device: `cuda` for `cuda:1`."""
        return self.device.partition(":")[0]

    @property
    def itemsize(self) -> int:
        """The size of a number of `dtype` in bytes."""
        return 4 if self.dtype == "float32" else 2

    @property
    def signature(self) -> str:
        """The settings that can change results, as text for cache keys and people.

        For example `cuda, float16, sdpa attention`. Two devices of one kind have the same signature.
        """
        parts = [self.kind, self.dtype, f"{self.attention} attention"]
        if self.compile != "off":
            parts.append("compiled" if self.compile == "whole" else f"compiled {self.compile}")
        if self.storage_dtype:
            parts.append(f"stored in {self.storage_dtype}")
        if self.channels_last:
            parts.append("channels last")
        if self.vae_dtype != "float32":
            parts.append(f"VAE in {self.vae_dtype}")
        if self.vae_tiling:
            parts.append("VAE in tiles")
        if self.vae_slicing:
            parts.append("VAE in slices")
        return ", ".join(parts)

    @property
    def placement(self) -> str:
        """The settings that distinguish loaded models, as text: the signature and the offloaded parts."""
        return self.signature if self.offload == "none" else f"{self.signature}, offloaded {self.offload}"

    @property
    def whole(self) -> ComputeSettings:
        """A copy of these settings that keeps the whole model on the device, in one precision."""
        return replace(self, offload="none", storage_dtype="")


HOST = ComputeSettings()
"""The settings of nodes without `accelerator=True`; they are the same on every machine."""


def compute_settings(settings: Settings) -> ComputeSettings:
    """Resolve the compute settings for this machine.

    Raises:
        GraphError: settings have unknown values, or values that do not work on this machine.
    """
    problems: list[Problem] = []
    device = _best_device() if settings.device == "auto" else settings.device
    if not _DEVICE.fullmatch(device):
        hint = near(device, ["auto", "cpu", "cuda", "mps"]) or "use auto, cpu, cuda, cuda:1 or mps"
        problems.append(Problem("bad_device", f"there is no device {device!r}", hint=hint))
    kind = device.partition(":")[0]
    for name, value, choices in (
        ("dtype", settings.dtype, get_args(Dtype)),
        ("vae_dtype", settings.vae_dtype, get_args(Dtype)),
        ("attention", settings.attention, get_args(Attention)),
        ("compile", settings.compile, get_args(Compile)),
        ("offload", settings.offload, get_args(Offload)),
        ("storage_dtype", settings.storage_dtype, get_args(StorageDtype)),
    ):
        if value not in choices:
            hint = near(value, choices) or f"use {', '.join(choices)}"
            message = f"{value!r} is not a valid value of the setting {name}"
            problems.append(Problem(f"bad_{name}", message, hint=hint))
    dtype: str = settings.dtype
    if dtype == "auto":
        dtype = _best_dtype(kind)
    attention: str = "sdpa" if settings.attention == "auto" else settings.attention
    if settings.compile in ("blocks", "whole"):
        if hint := _missing_compiler(kind):
            message = f"models cannot be compiled for {kind} on this machine"
            problems.append(Problem("bad_compile", message, hint=hint))
        if settings.offload == "blocks" or settings.storage_dtype != "auto":
            message = "compiled models cannot be offloaded by block, or stored in another precision"
            hint = "set compile to off, or leave out offload blocks and storage_dtype"
            problems.append(Problem("bad_compile", message, hint=hint))
    if settings.storage_dtype == "float8_e4m3fn" and kind == "mps":
        hint = "set storage_dtype to auto"
        problems.append(Problem("bad_storage_dtype", "mps does not support 8-bit floats", hint=hint))
    if problems:
        raise GraphError(problems)
    return ComputeSettings(
        device,
        dtype,
        attention,
        settings.compile,
        vae_dtype="float32" if settings.vae_dtype == "auto" else settings.vae_dtype,
        storage_dtype="" if settings.storage_dtype == "auto" else settings.storage_dtype,
        channels_last=settings.channels_last,
        vae_tiling=settings.vae_tiling,
        vae_slicing=settings.vae_slicing,
        offload=settings.offload,
    )


def require_device(device: str) -> None:
    """Refuse a device that the installed torch cannot compute on, without importing torch.

    A device that might exist passes: torch refuses it in the first step that computes on it.

    Args:
        device: `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        GraphError: torch is built for the CPU alone, or never supports the device on this operating system.
    """
    kind = device.partition(":")[0]
    reason, hint = "", "set the device to cpu or auto"
    if kind == "cuda" and "+cpu" in _torch_version():
        reason = "the installed torch is built for the CPU alone"
        hint += ", or install torch with CUDA"
    elif kind == "cuda" and sys.platform == "darwin":
        reason, hint = "a Mac has no CUDA", "set the device to mps, cpu or auto"
    elif kind == "mps" and sys.platform != "darwin":
        reason = "only a Mac has mps"
    if reason:
        problem = Problem("bad_device", f"nothing can be computed on {device}: {reason}", hint=hint)
        raise GraphError([problem])


def _torch_version() -> str:
    """Return the version of the installed torch; empty if it is not installed."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""


def _best_device() -> str:
    torch = _torch_version()
    if not torch or "+cpu" in torch:
        return "cpu"
    if sys.platform == "darwin":
        return "mps" if platform.machine() == "arm64" else "cpu"
    if Path("/dev/nvidiactl").exists() or (sys.platform == "win32" and shutil.which("nvidia-smi")):
        return "cuda"
    return "cpu"


def _best_dtype(kind: str) -> str:
    """Return the precision that `auto` means for a kind of device.

    On a CPU, bfloat16 is faster only with matrix units (AMX): with AVX-512 BF16 alone, a sampling step of
    SD 1.5 took 1.25 times as long as in float32. On CUDA, float16 is as fast as bfloat16, and three bits more
    precise.
    """
    if kind == "cuda":
        return "float16"
    return "bfloat16" if kind == "cpu" and _has_matrix_units() else "float32"


@cache
def _has_matrix_units() -> bool:
    """Return True if this CPU has matrix units for bfloat16 (AMX); False on other systems than Linux."""
    try:
        with CPU_FACTS.open(encoding="ascii", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return False
    return "amx_bf16" in flags.split()


def _missing_compiler(kind: str) -> str:
    """Return a hint if torch.compile does not work for a kind of device; empty if it works."""
    if kind == "mps":
        return "set compile to off: torch does not compile Stable Diffusion for mps"
    if kind == "cuda" and importlib.util.find_spec("triton") is None:
        return "install triton, or set compile to off"
    if not os.environ.get("CXX") and not any(map(shutil.which, _COMPILERS)):
        return "install a C++ compiler, such as g++, or set compile to off"
    return ""
