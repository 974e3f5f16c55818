"""The programs whose API the server can offer, and the routes of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from fastapi import APIRouter

from engine.errors import GraphError, Problem
from engine.near_names import near
from engine.server.compat import a1111, comfyui, comfyui_files, comfyui_socket


@dataclass(frozen=True, slots=True)
class Program:
    """Another program's API."""

    routers: tuple[APIRouter, ...]
    prefixes: tuple[str, ...]
    """The beginnings of its paths, such as `/sdapi/v1`."""
    json: frozenset[str]
    """The paths, without prefix, that take JSON; clients often send it with a wrong media type or none."""
    uploads: frozenset[str] = frozenset()
    """The paths, without prefix, that take a form with a file."""
    has_socket: bool = False

    def addresses(self, parts: Iterable[str]) -> frozenset[str]:
        """Return the full paths: each prefix joined with each of the given parts."""
        return frozenset(prefix + part for prefix in self.prefixes for part in parts)


PROGRAMS: Mapping[str, Program] = {
    "comfyui": Program(
        (comfyui.router, comfyui_files.router, comfyui_socket.router),
        comfyui.PREFIXES,
        frozenset({"/prompt", "/queue", "/interrupt", "/history"}),
        frozenset({"/upload/image", "/upload/mask"}),
        has_socket=True,
    ),
    "a1111": Program(
        (a1111.router,),
        (a1111.PREFIX,),
        frozenset({"/txt2img", "/img2img", "/options", "/interrupt", "/skip"}),
    ),
}


def programs_of(names: Iterable[str]) -> list[Program]:
    """Look up programs by name.

    Raises:
        GraphError: a name is unknown, or the package websockets is not installed.
    """
    found = []
    for name in dict.fromkeys(names):
        if name not in PROGRAMS:
            hint = near(name, PROGRAMS) or f"use {' or '.join(PROGRAMS)}"
            raise GraphError([Problem("unknown_program", f"there is no API named {name!r}", hint=hint)])
        found.append(PROGRAMS[name])
    if any(program.has_socket for program in found) and find_spec("websockets") is None:
        message = "ComfyUI's API needs the Python package websockets, which is not installed"
        raise GraphError([Problem("missing_library", message, hint="pip install 'safelight[comfyui]'")])
    return found
