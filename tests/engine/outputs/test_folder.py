"""Tests of numbered files: each finds its number, and a full folder costs no more for each file."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.outputs.folder import OutputFolder


def test_numbers_go_on_after_the_highest(tmp_path: Path) -> None:
    (tmp_path / "cat-0007.txt").write_bytes(b"seven")
    (tmp_path / "cat-more-0009.txt").write_bytes(b"of another name")
    (tmp_path / "cat-0009.png").write_bytes(b"of another kind")
    folder = OutputFolder(tmp_path, lambda place, size: False)
    assert [folder.add("cat", ".txt", data).name for data in (b"one", b"two")] == [
        "cat-0008.txt",
        "cat-0009.txt",
    ]


def test_a_file_with_the_same_bytes_is_found_once(tmp_path: Path) -> None:
    first = OutputFolder(tmp_path, lambda place, size: False)
    names = [first.add("cat", ".txt", data).name for data in (b"one", b"two", b"one")]
    assert names == ["cat-0001.txt", "cat-0002.txt", "cat-0003.txt"]
    again = OutputFolder(tmp_path, lambda place, size: False)
    assert [again.add("cat", ".txt", data).name for data in (b"one", b"one", b"two", b"one")] == [
        "cat-0001.txt",
        "cat-0003.txt",
        "cat-0002.txt",
        "cat-0004.txt",
    ]


def test_a_file_that_changed_or_went_since_is_not_the_answer(tmp_path: Path) -> None:
    for n, data in enumerate((b"one", b"two", b"six"), start=1):
        (tmp_path / f"cat-000{n}.txt").write_bytes(data)
    folder = OutputFolder(tmp_path, lambda place, size: False)
    folder.add("cat", ".txt", b"one")
    (tmp_path / "cat-0002.txt").write_bytes(b"TWO")
    (tmp_path / "cat-0003.txt").unlink()
    assert folder.add("cat", ".txt", b"two").name == "cat-0004.txt"
    assert folder.add("cat", ".txt", b"six").name == "cat-0005.txt"


def test_files_of_an_output_folder_are_read_at_most_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(1, 201):
        (tmp_path / f"cat-{n:04}.txt").write_bytes(b"%04d" % n + bytes(n % 2))
    read: list[str] = []
    real = Path.read_bytes

    def counted(path: Path) -> bytes:
        read.append(path.name)
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    folder = OutputFolder(tmp_path, lambda place, size: False)
    for n in range(100):
        folder.add("cat", ".txt", b"new %04d" % n)
    assert read == [], "no other file has their size"
    for n in range(1000, 1100):
        folder.add("cat", ".txt", b"%04d" % n)
    assert len(read) == len(set(read)) == 100
