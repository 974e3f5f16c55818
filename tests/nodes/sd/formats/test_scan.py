"""Folders of models: what is found, and what must not hang or lead away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.read import read_tensors
from nodes.sd.formats.scan import scan


def names(folder: Path) -> list[str]:
    return [seen.name for seen in scan(folder, pictures=True) if seen.problem is None]


def problems(folder: Path) -> dict[str, str]:
    return {seen.name: seen.problem[0] for seen in scan(folder, pictures=True) if seen.problem}


def test_files_are_found_in_order_and_notes_passed_over(tmp_path: Path) -> None:
    for name in ("b.pt", "a.bin", "no suffix", "sub/c.safetensors", "sub/deep/d.pt", "p.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in (".hidden.pt", "p.preview.png", "readme.md", "a.pt.optim", "sub/x.txt", "x.jpg"):
        (tmp_path / name).touch()
    assert names(tmp_path) == ["a.bin", "b.pt", "no suffix", "p.png", "sub/c.safetensors", "sub/deep/d.pt"]


def test_pipes_devices_loops_and_folders_are_problems(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "device.pt").symlink_to("/dev/zero")
    (tmp_path / "gone.pt").symlink_to("nowhere.pt")
    (tmp_path / "self.pt").symlink_to("self.pt")
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "sound.pt").touch()
    assert names(tmp_path) == ["sound.pt"]
    assert problems(tmp_path) == {
        "device.pt": "not_a_file",
        "folder.pt": "not_a_file",
        "gone.pt": "unreadable",
        "pipe.pt": "not_a_file",
        "self.pt": "unreadable",
    }


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop", "missing", "empty"])
def test_to_read_one_of_them_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.pt"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "empty":
        path.touch()
    with pytest.raises(BadFileError, match=r"x\.pt"):
        read_tensors(path)


def test_scan_of_a_missing_folder_is_empty(tmp_path: Path) -> None:
    assert list(scan(tmp_path / "none")) == []
