"""Files appear whole, under names that were free, whoever else writes there at the same time."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine import whole_file


def names(folder: Path) -> Iterator[Path]:
    return (folder / f"{n}.bin" for n in itertools.count(1))


def refuse(*paths: object) -> None:
    raise OSError(errno.EPERM, "no links here")


@pytest.fixture(params=[True, False], ids=["with links", "without links"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the file system knows hard links."""
    if not request.param:
        monkeypatch.setattr(os, "link", refuse)
    return bool(request.param)


@pytest.mark.usefixtures("links")
def test_many_at_once_each_get_a_name_and_their_own_bytes(tmp_path: Path) -> None:
    def write(n: int) -> tuple[Path, bytes]:
        data = bytes([n]) * 10_000
        return whole_file.put(data, names(tmp_path)), data

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(write, range(64)))
    assert {path.name for path, _ in written} == {f"{n}.bin" for n in range(1, 65)}
    for path, data in written:
        assert path.read_bytes() == data
    assert len(list(tmp_path.iterdir())) == 64


@pytest.mark.usefixtures("links")
def test_equal_bytes_are_shared_only_if_asked(tmp_path: Path) -> None:
    first = whole_file.put(b"x", names(tmp_path))
    assert whole_file.put(b"x", names(tmp_path), share=True) == first
    assert whole_file.put(b"x", names(tmp_path)).name == "2.bin"


def test_when_no_name_is_free_nothing_is_left(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        whole_file.put(b"x", [taken])
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]


def test_a_name_that_cannot_be_filled_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="no links here"):
        whole_file.put(b"x", names(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_replacing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    whole_file.replace(path, b"first")
    whole_file.replace(path, b"second")
    assert path.read_bytes() == b"second"
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="no links here"):
        whole_file.replace(path, b"third")
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("file", b"second")]


def test_old_drafts_are_removed_and_nothing_else(tmp_path: Path) -> None:
    draft, fresh, mine = (
        tmp_path / name for name in (f".{'0a' * 16}.part", f".{'0b' * 16}.part", ".mine.part")
    )
    past = time.time() - whole_file.STALE_SECONDS - 1
    for path in (draft, fresh, mine):
        path.write_bytes(b"half")
    for path in (draft, mine):
        os.utime(path, (past, past))
    (tmp_path / f".{'0c' * 16}.part").mkdir()
    os.utime(tmp_path / f".{'0c' * 16}.part", (past, past))
    whole_file.put(b"x", names(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {
        fresh.name,
        mine.name,
        f".{'0c' * 16}.part",
        "1.bin",
    }


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("write", ["put", "replace"])
def test_the_folder_is_flushed_once_the_file_has_its_name(
    write: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a power cut may leave a complete file without its name."""
    path, flushed = tmp_path / "1.bin", []
    fsync = os.fsync

    def recorded(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            flushed.append(path.read_bytes())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    if write == "put":
        whole_file.put(b"x", [path])
    else:
        whole_file.replace(path, b"x")
    assert flushed == [b"x"]
