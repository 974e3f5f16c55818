from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.workers.frames import MAX_FRAME_BYTES, BrokenFrame, FrameWriter, frames

MESSAGES = st.lists(
    st.dictionaries(
        st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=3)
    ),
    max_size=5,
)


def written(messages: list[dict[str, Any]]) -> bytes:
    pipe = io.BytesIO()
    writer = FrameWriter(pipe)
    for message in messages:
        writer.write(message)
    return pipe.getvalue()


@given(MESSAGES)
def test_messages_arrive_as_they_were_sent(messages: list[dict[str, Any]]) -> None:
    assert list(frames(io.BytesIO(written(messages)))) == messages


@given(MESSAGES.filter(bool), st.data())
def test_a_stream_cut_anywhere_is_a_broken_frame_or_a_whole_message(
    messages: list[dict[str, Any]], data: st.DataObject
) -> None:
    stream = written(messages)
    cut = data.draw(st.integers(0, len(stream) - 1))
    arrived: list[dict[str, Any]] = []
    ends = [len(written(messages[: count + 1])) for count in range(len(messages))]
    try:
        arrived.extend(frames(io.BytesIO(stream[:cut])))
        assert cut in (0, *ends)
    except BrokenFrame:
        assert cut not in (0, *ends)
    assert arrived == messages[: len(arrived)]


@pytest.mark.parametrize(
    "stream",
    [
        (MAX_FRAME_BYTES + 1).to_bytes(4, "big") + b"{}",
        (2).to_bytes(4, "big") + b"[]",
        (3).to_bytes(4, "big") + b"{} x",
        (2).to_bytes(4, "big") + b"\xff\xff",
    ],
)
def test_invalid_frames_are_refused(stream: bytes) -> None:
    with pytest.raises(BrokenFrame):
        list(frames(io.BytesIO(stream)))


def test_a_message_is_not_longer_than_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.workers.frames.MAX_FRAME_BYTES", 20)
    pipe = io.BytesIO()
    with pytest.raises(ValueError, match="longer"):
        FrameWriter(pipe).write({"text": "x" * 20})
    assert pipe.getvalue() == b"", "nothing of it was sent"
