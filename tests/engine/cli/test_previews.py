"""`--previews`: one file per node, always the newest picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.previews import Previews
from engine.events import Picture, Preview, Started


def preview(node: str, data: bytes) -> Preview:
    return Preview(node, Picture(data, "image/jpeg", 8, 8))


def test_previews_keep_the_newest_picture_of_each_node(tmp_path: Path) -> None:
    previews = Previews(tmp_path / "new" / "folder")
    previews(Started("denoise"))
    assert list(tmp_path.iterdir()) == []
    for node, data in (("denoise", b"1"), ("denoise[1]", b"2"), ("a/b", b"3"), ("denoise", b"4")):
        previews(preview(node, data))
    files = {path.name: path.read_bytes() for path in (tmp_path / "new" / "folder").iterdir()}
    assert files == {"denoise.jpg": b"4", "denoise[1].jpg": b"2", "a%2Fb.jpg": b"3"}


def test_a_folder_that_cannot_be_written_is_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    previews = Previews(tmp_path / "file")
    for data in (b"1", b"2"):
        previews(preview("denoise", data))
    assert capsys.readouterr().err.count("warning") == 1
