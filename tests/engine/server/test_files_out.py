"""Answers with files: large ones are sent piece by piece."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import Response
from starlette.types import Message

from engine.server.files_out import IMMUTABLE, attachment, inline
from tests.engine.server.asking import Ask, answer

PIECE = 1 << 20


@pytest.mark.parametrize("respond", [attachment, lambda data: inline(data, "image/png", IMMUTABLE)])
def test_a_file_is_sent_as_its_bytes_are_but_piece_by_piece(
    tmp_path: Path, respond: Callable[[bytes | Path], Response]
) -> None:
    data = os.urandom(3 * PIECE)
    (tmp_path / "large.bin").write_bytes(data)
    whole = answer(respond(data), Ask())
    sizes: list[int] = []

    async def app(scope: object, receive: object, send: Callable[[Message], object]) -> None:
        async def measured(message: Message) -> None:
            sizes.append(len(message.get("body", b"")))
            await send(message)  # type: ignore[misc]

        await respond(tmp_path / "large.bin")(scope, receive, measured)  # type: ignore[arg-type]

    pieces = answer(app, Ask())
    assert (pieces.status, pieces.body) == (200, data)
    assert whole.headers.items() <= pieces.headers.items()
    assert max(sizes) <= PIECE
