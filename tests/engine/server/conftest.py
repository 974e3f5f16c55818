"""A server in a process of its own, and the application in this process; each on a home with small nodes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from engine.client import Client
from engine.document import writer
from engine.document.graph import Entry, From, Graph, GraphInput, Param
from engine.server.address_file import NAME
from engine.server.app import application
from engine.server.compat.programs import PROGRAMS, programs_of
from engine.server.opening import opened
from engine.server.security.hosts import AllowedHosts
from engine.server.services import Services
from tests.engine.server.asking import TOKEN

PACK = '''
import time
from typing import Literal
import numpy as np
from engine.context import Context
from engine.node import Node
from engine.widgets import Seed
from nodes.values import Image


class Add(Node):
    """Add two numbers."""

    a: int = 1
    b: int = 1

    def run(self, ctx: Context) -> int:
        return self.a + self.b


class Wait(Node, pure=False):
    """Wait in many short steps, or until a request comes."""

    seconds: float = 30.0

    def run(self, ctx: Context) -> str:
        for _ in ctx.track(int(self.seconds / 0.02)):
            if requests := ctx.requests():
                return ",".join(sorted(requests))
            time.sleep(0.02)
        return "nothing"


class Noise(Node):
    """A picture of noise."""

    seed: Seed = 0
    caption: str = ""

    def run(self, ctx: Context) -> Image:
        pixels = np.random.default_rng(self.seed).integers(0, 256, (24, 32, 3)).astype("uint8")
        ctx.preview(Image(pixels[None]))
        return Image(pixels[None])


class Save(Node, pure=False):
    """Save a file, and return its path."""

    path: str
    times: int = 1

    def run(self, ctx: Context) -> str:
        file = ctx.files.target(self.path)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"trained" * self.times)
        return str(file)


class Publish(Node, pure=False):
    """Publish two files, as a training does with its checkpoints."""

    def run(self, ctx: Context) -> int:
        ctx.publish("checkpoints/1.bin", b"one")
        ctx.publish("checkpoints/2.bin", b"two")
        return 2


class Fail(Node):
    """Fail."""

    text: str = "as asked"

    def run(self, ctx: Context) -> str:
        raise ValueError(self.text)


class Half(Node):
    """Print, warn of, and return or raise half of a character, which UTF-8 cannot hold."""

    raises: bool = False

    def run(self, ctx: Context) -> str:
        half = "half \\ud83d"
        print(half)
        ctx.warn(half)
        if self.raises:
            raise ValueError(half)
        return half
'''


def graph(type: str, output: str = "out", title: str = "", **inputs: GraphInput) -> Graph:
    """A graph of one node, each of whose inputs is an input of the graph."""
    node = Entry(f"{type}@1", {name: Param(name) for name in inputs})
    return Graph({"it": node}, dict(inputs), {output: From("it", "out")}, title=title or type)


ADD = graph("Add", "sum", a=GraphInput("int", 1, False), b=GraphInput("int", 2, False))
WAIT = graph("Wait", seconds=GraphInput("float", 30.0, False))
FAIL = graph("Fail", text=GraphInput("text", "as asked", False))
NOISE = graph(
    "Noise",
    "image",
    seed=GraphInput("seed", 7, False, "Another number gives another picture."),
    caption=GraphInput("text", "", False),
)


def make_home(home: Path) -> Path:
    """A home with the pack and four graphs."""
    (home / "nodes").mkdir(parents=True)
    (home / "nodes" / "small.py").write_text(PACK)
    (home / "graphs").mkdir()
    for name, item in (("add", ADD), ("wait", WAIT), ("fail", FAIL), ("noise", NOISE)):
        (home / "graphs" / f"{name}.json").write_text(writer.dump(item))
    return home


@dataclass
class RunningServer:
    """A server in a process of its own."""

    home: Path
    process: subprocess.Popen[str]
    url: str
    token: str
    line: str
    """The line that it has printed."""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, timeout: float = 60.0) -> Client:
        return Client(self.url, self.token, timeout)

    def stop(self) -> int:
        """End it by SIGTERM; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def start_server(home: Path, *words: str) -> RunningServer:
    """Start a server on a home, and wait until it accepts requests."""
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "serve", *words, "--home", str(home), "--port", "0", "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "SAFELIGHT_WARM_UP": "0"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the server has ended with {process.wait()}"
    known = json.loads((home / NAME).read_text())
    for _ in range(600):
        try:
            with Client(known["url"], known["token"]) as client:
                client.info()
            break
        except Exception:
            time.sleep(0.05)
    return RunningServer(home, process, known["url"], known["token"], line)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for all tests; it also has the APIs of other programs."""
    home = make_home(tmp_path_factory.mktemp("served") / "home")
    running = start_server(home, "--compat", "comfyui", "--compat", "a1111")
    yield running
    running.stop()


@dataclass
class App:
    """The application in this process; it accepts runs, and no worker executes them."""

    services: Services
    asgi: ASGIApp
    web: TestClient


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """One application for all tests."""
    home = make_home(tmp_path_factory.mktemp("app") / "home")
    with opened(home, start=False) as services:
        yield _app(services)


@pytest.fixture
def app_with_compat(app: App) -> App:
    """The same home with an empty queue, behind an application that also has the APIs of other programs."""
    queue = app.services.queue
    while waiting := queue.runs("queued"):  # runs that other tests have submitted
        for run in waiting:
            queue.cancel(run.id)
    return _app(app.services, *PROGRAMS)


def _app(services: Services, *compat: str) -> App:
    hosts = AllowedHosts(["testserver", "localhost"], 80)
    asgi = application(services, hosts, TOKEN, "safelight_80", programs_of(compat))
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    return App(services, asgi, TestClient(asgi, headers=headers))
