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

from engine.digests import FileDigests, report_progress
from engine.file_facts import FileFacts


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


def remembering(folder: Path) -> FileDigests:
    return FileDigests(FileFacts(folder / "files.sqlite"))


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
    digests = remembering(tmp_path)
    assert digests.digest(path) == expected
    assert reads() == 1
    monkeypatch.chdir(tmp_path)
    assert digests.digest("f") == expected
    assert reads() == 0
    digests.close()
    assert digests.digest(path) == expected
    again = remembering(tmp_path)
    assert again.digest(path) == expected
    assert reads() == 0
    again.close()


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("how", ["in place", "renamed over", "longer", "with its old date"])
def test_a_changed_file_is_read_again(how: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"before")
    digests = remembering(tmp_path)
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
    digests = remembering(tmp_path)
    assert digests.digest(path) == sha(path)
    digests.close()


def test_a_file_changed_just_now_is_not_remembered(tmp_path: Path, reads: Reads) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"content")
    reads()
    digests = remembering(tmp_path)
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


def test_an_unreadable_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileDigests().digest(tmp_path / "missing")
    with pytest.raises(OSError, match="not a file"):
        FileDigests().digest(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a file"):
        FileDigests().digest(tmp_path / "pipe")


@pytest.mark.usefixtures("later")
def test_a_damaged_fact_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"content")
    digests = remembering(tmp_path)
    digests.digest(path)
    digests.close()
    connection = sqlite3.connect(tmp_path / "files.sqlite")
    assert connection.execute("UPDATE facts SET fact = replace(fact, ?, ?)", (sha(path), "0" * 64)).rowcount
    connection.commit()
    connection.close()
    digests = remembering(tmp_path)
    assert digests.digest(path) == sha(path)
    digests.close()


def test_another_file_that_lies_there_for_a_moment_does_not_get_into_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other, aside = tmp_path / "f", tmp_path / "other", tmp_path / "aside"
    path.write_bytes(b"good")
    other.write_bytes(b"evil")
    sha256, swaps = hashlib.sha256, iter([True])

    def swapping(*args: Any) -> Any:  # called once the file is open
        if next(swaps, False):
            path.rename(aside)
            other.rename(path)
            path.rename(other)
            aside.rename(path)
        return sha256(*args)

    monkeypatch.setattr(hashlib, "sha256", swapping)
    assert FileDigests().digest(path) == sha256(b"good").hexdigest()


def test_the_progress_of_a_large_file_is_told_and_can_stop_it(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * (65 << 20))
    told: list[tuple[str, int, int]] = []

    def stop(place: str, done: int, size: int) -> None:
        raise KeyboardInterrupt

    with report_progress(lambda *progress: told.append(progress)):
        FileDigests().digest(path)
    assert told[0] == (str(path), 4 << 20, 65 << 20)
    with report_progress(stop), pytest.raises(KeyboardInterrupt):
        FileDigests().digest(path)


def test_a_large_file_of_holes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "hardly_begun.safetensors"
    with path.open("wb") as file:
        file.truncate(100 << 30)
        file.write(b"the first bytes")
    begun = time.perf_counter()
    with pytest.raises(OSError, match="finish the download"):
        FileDigests().digest(path)
    assert time.perf_counter() - begun < 1
