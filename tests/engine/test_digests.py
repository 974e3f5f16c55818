"""Digests of files are remembered exactly as long as they are true."""

import builtins
import hashlib
import os
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from engine.digests import FileDigests


class Reads:
    """Counts how often files are opened for their content."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        really_open = builtins.open

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return really_open(*args, **kwargs)

        monkeypatch.setattr(builtins, "open", counted)

    def __call__(self) -> int:
        count, self.count = self.count, 0
        return count


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file was changed long ago."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10_000_000_000)


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("size", [0, 1, (4 << 20) - 1, 4 << 20, (9 << 20) + 7])
def test_is_the_sha256_of_the_content(size: int, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(random.Random(size).randbytes(size))
    assert FileDigests().digest(path) == sha(path)


@pytest.mark.usefixtures("later")
def test_a_file_is_read_once(tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"content")
    expected = sha(path)
    reads()
    digests = FileDigests(tmp_path / "digests.sqlite")
    assert digests.digest(path) == expected
    assert reads() == 1
    monkeypatch.chdir(tmp_path)
    assert digests.digest("f") == expected
    assert reads() == 0
    digests.close()
    assert digests.digest(path) == expected
    again = FileDigests(tmp_path / "digests.sqlite")
    assert again.digest(path) == expected
    assert reads() == 0
    again.close()


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("how", ["in place", "renamed over", "longer", "with its old date"])
def test_a_changed_file_is_read_again(how: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"before")
    digests = FileDigests(tmp_path / "digests.sqlite")
    before = path.stat()
    assert digests.digest(path) == sha(path)
    time.sleep(0.02)  # a tick of the file system's clock
    if how == "renamed over":
        (tmp_path / "g").write_bytes(b"after!")
        (tmp_path / "g").rename(path)
    else:
        path.write_bytes(b"after, and longer" if how == "longer" else b"after!")
    if how == "with its old date":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digests.digest(path) == sha(path)
    digests.close()
    digests = FileDigests(tmp_path / "digests.sqlite")
    assert digests.digest(path) == sha(path)
    digests.close()


def test_a_file_changed_just_now_is_not_remembered(tmp_path: Path, reads: Reads) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"content")
    reads()
    digests = FileDigests(tmp_path / "digests.sqlite")
    digests.digest(path)
    digests.digest(path)
    assert reads() == 2
    digests.close()


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0")
    changes = iter(range(1, 3))
    sha256 = hashlib.sha256

    def changing(*args: Any) -> Any:  # called once the file is open
        for n in changes:
            path.write_bytes(b"longer each time" * n)
            break
        return sha256(*args)

    monkeypatch.setattr(hashlib, "sha256", changing)
    assert FileDigests().digest(path) == sha256(b"longer each time" * 2).hexdigest()
    changes = iter(range(3, 1000))
    with pytest.raises(OSError, match="keeps changing"):
        FileDigests().digest(path)


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileDigests().digest(tmp_path / "missing")
    with pytest.raises(OSError, match="not a file"):
        FileDigests().digest(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a file"):
        FileDigests().digest(tmp_path / "pipe")


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("trouble", ["in the way", "garbage", "newer", "removed"])
def test_works_without_an_index(trouble: str, tmp_path: Path, reads: Reads) -> None:
    path, index = tmp_path / "f", tmp_path / "sub" / "digests.sqlite"
    path.write_bytes(b"content")
    expected = sha(path)
    if trouble == "in the way":
        index.parent.write_text("a file")
    else:
        FileDigests(index).close()
    if trouble == "garbage":
        index.write_bytes(b"not an index at all" * 100)
    if trouble == "newer":
        connection = sqlite3.connect(index)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
    digests = FileDigests(index)
    if trouble == "removed":
        index.unlink()
    assert digests.digest(path) == expected
    reads()
    assert digests.digest(path) == expected
    assert reads() == 0
    digests.close()
    if trouble == "garbage":  # begun again
        again = FileDigests(index)
        assert again.digest(path) == expected
        assert reads() == 0
        again.close()


@pytest.mark.usefixtures("later")
def test_a_damaged_row_is_not_believed(tmp_path: Path) -> None:
    path, index = tmp_path / "f", tmp_path / "digests.sqlite"
    path.write_bytes(b"content")
    digests = FileDigests(index)
    digests.digest(path)
    digests.close()
    connection = sqlite3.connect(index)
    connection.execute("UPDATE files SET digest = ?", ("0" * 64,))
    connection.commit()
    connection.close()
    digests = FileDigests(index)
    assert digests.digest(path) == sha(path)
    digests.close()
