"""A session over an empty home, in checked mode, on the embedded model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import settings
from engine.events import Event, Warned
from engine.packing import unpack
from engine.run.report import Report
from engine.session import Session
from engine.values import Value
from tests.nodes.sd.conftest import encoder, folder, pipeline, tokenizer, unet, vae

__all__ = [
    "encoder",
    "folder",
    "pipeline",
    "tokenizer",
    "unet",
    "vae",
]  # diffusers' side, as fixtures here too

torch.set_num_threads(1)

GRAPHS = Path(__file__).parents[2] / "graphs"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def open_session(home: Path) -> Iterator[Callable[..., Session]]:
    """Opens sessions as separate processes would: each with its own memory, all over one home."""
    opened: list[Session] = []

    def make(where: Path = home) -> Session:
        opened.append(Session(settings.load(where, device="cpu", checked=True)))
        return opened[-1]

    yield make
    for session in opened:
        session.close()


@pytest.fixture
def session(open_session: Callable[..., Session]) -> Session:
    return open_session()


def ran(report: Report) -> set[str]:
    """The nodes that were computed."""
    return {node for node, fared in report.nodes.items() if fared.state == "done"}


def output(report: Report, name: str = "image") -> Any:
    """A declared output, back from its bytes."""
    failures = {
        node: fared.trace or fared.reason for node, fared in report.nodes.items() if fared.state == "failed"
    }
    assert report.state == "done", failures
    packed = report.outputs[name]
    value = unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts})
    assert isinstance(value, Value)
    return value


def warnings(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warned)]
