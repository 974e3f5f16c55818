"""A disk that fails in every way: never a wrong value, never an exception, and one clear warning."""

import errno
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.packing import pack
from engine.store.disk import Disk
from engine.store.shared_folder import schema
from engine.store.shared_folder.blobs import Blobs
from engine.values import sha256
from tests.engine.store.kept_values import (
    Note,
    blob_names,
    files_of,
    folder_bytes,
    key,
    result,
    result_of,
)
from tests.faults.small_disk import remount_read_only, small_disk

MB = 1 << 20
COUNT = 16
NEW = result("new", Note("new", (b"n" * 30_000,)))


def filled(folder: Path, count: int = COUNT, budget: int = 64 * MB) -> Disk:
    disk = Disk(folder, budget, pytest.fail)
    for n in range(count):
        disk.save(key(n), result_of(n))
    disk.flush()
    return disk


def wrong(disk: Disk, count: int = COUNT) -> list[int]:
    """Which entries come back as anything else than what was saved, as values or as bytes."""
    found = []
    for n in range(count):
        packed, loaded = disk.packed(key(n), "a"), disk.load(key(n))
        if loaded not in (None, result_of(n)) or packed not in (None, pack(result_of(n).outputs["a"])):
            found.append(n)
    return found


def held(disk: Disk, count: int = COUNT) -> set[int]:
    return {n for n in range(count) if disk.load(key(n)) is not None}


def usable(disk: Disk) -> bool:
    """Whether it keeps new results."""
    disk.save("new", NEW)
    disk.flush()
    return disk.load("new") == NEW


@pytest.mark.parametrize("harm", ["truncated", "empty", "missing", "longer", "other bytes"])
def test_a_harmed_blob_is_a_miss(harm: str, tmp_path: Path) -> None:
    warnings: list[str] = []
    filled(tmp_path / "store").close()
    disk = Disk(tmp_path / "store", 64 * MB, warnings.append)
    path = sorted(path for path in (disk.folder / "blobs").rglob("*") if path.is_file())[3]
    data = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        harmed = {"truncated": data[:-1], "empty": b"", "longer": data + b"\0", "other bytes": data[::-1]}
        path.write_bytes(harmed[harm])
    assert wrong(disk) == []
    assert len(held(disk)) == COUNT - 1
    assert len(warnings) == 1
    assert ("missing" if harm == "missing" else "checksum") in warnings[0]
    assert disk.verify() == []
    for n in range(COUNT):
        disk.save(key(n), result_of(n))
    disk.flush()
    assert held(disk) == set(range(COUNT))
    disk.close()


def test_a_file_that_goes_before_its_row_is_written_takes_the_others_along(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "store", 64 * MB, pytest.fail)
    shared, gone, left = (letter * 20_000 for letter in (b"s", b"g", b"l"))
    disk.save("other", result(Note("other", (shared,))))
    disk.save("torn", result(Note("torn", (shared, gone, left))))
    digest = sha256(gone)
    (disk.folder / "blobs" / digest[:2] / digest[2:]).unlink()  # as another process does that needs the room
    disk.flush()
    assert disk.load("torn") is None
    assert disk.load("other") == result(Note("other", (shared,)))
    assert blob_names(disk.folder) == {sha256(shared)}
    disk.close()


def test_all_entries_with_a_damaged_part_are_deleted(tmp_path: Path) -> None:
    warnings: list[str] = []
    disk = Disk(tmp_path / "store", 64 * MB, warnings.append)
    page = b"shared" * 10_000
    for n in range(3):
        disk.save(key(n), result(Note(str(n), (page,))))
    disk.flush()
    (blob,) = [path for path in (disk.folder / "blobs").rglob("*") if path.is_file()]
    blob.write_bytes(b"harmed" * 10_000)
    assert disk.load(key(1)) is None
    assert disk.where([key(n) for n in range(3)]) == {}
    assert len(warnings) == 1
    disk.save(key(0), result(Note("0", (page,))))
    disk.flush()
    assert disk.load(key(0)) == result(Note("0", (page,)))
    disk.close()


def test_verify_finds_what_is_damaged(tmp_path: Path) -> None:
    disk = filled(tmp_path / "store")
    assert disk.verify() == []
    blobs = sorted(path for path in (disk.folder / "blobs").rglob("*") if path.is_file())
    blobs[0].write_bytes(b"")
    blobs[5].unlink()
    found = disk.verify()
    assert len(found) == 2
    assert {entry.what for entry in found} == {
        "one of its files is missing",
        "one of its files does not match its checksum",
    }
    assert all(disk.where([entry.key]) == {} and entry.node_type.startswith("Kind") for entry in found)
    assert disk.verify() == []
    assert len(held(disk)) == COUNT - 2
    disk.close()


def test_a_row_that_was_changed_is_a_miss(tmp_path: Path) -> None:
    filled(tmp_path / "store").close()
    changes = [
        "outputs = replace(outputs, '\"n\":0', '\"n\":1')",
        "seconds = seconds + 1",
        "made = made + 1",
        "node_type = 'Other@1'",
        "outputs = x'ff00'",
        "proof = 5",
    ]
    for n, change in enumerate(changes):
        connection = sqlite3.connect(tmp_path / "store" / "index.sqlite")
        assert connection.execute(f"UPDATE entries SET {change} WHERE key = ?", (key(n),)).rowcount == 1
        connection.commit()
        connection.close()
    connection = sqlite3.connect(tmp_path / "store" / "index.sqlite")
    # One row under the key of another.
    connection.execute("DELETE FROM entries WHERE key = ?", (key(10),))
    connection.execute(
        "UPDATE entries SET key = ?1, hash = ?2 WHERE key = ?3", (key(10), schema.hash_of(key(10)), key(11))
    )
    connection.commit()
    connection.close()
    changed = {*range(1, len(changes)), 10, 11}
    warnings: list[str] = []
    disk = Disk(tmp_path / "store", 64 * MB, warnings.append)
    assert wrong(disk) == []
    assert held(disk) - {0} == set(range(COUNT)) - changed - {0}
    assert len(warnings) >= len(changed) - 1
    disk.close()


@pytest.mark.parametrize("harm", ["header", "page", "half", "empty", "text"])
def test_a_damaged_index_is_set_aside(harm: str, tmp_path: Path) -> None:
    filled(tmp_path / "store").close()
    path = tmp_path / "store" / "index.sqlite"
    data = bytearray(path.read_bytes())
    if harm == "header":
        data[:100] = random.Random(1).randbytes(100)
    elif harm == "page":
        for page in range(1, len(data) // 4096):
            data[page * 4096 : page * 4096 + 200] = random.Random(page).randbytes(200)
    elif harm == "half":
        data = data[: len(data) // 2]
    else:
        data = bytearray(b"" if harm == "empty" else b"not an index at all")
    path.write_bytes(data)
    warnings: list[str] = []
    disk = Disk(tmp_path / "store", 64 * MB, warnings.append)
    assert wrong(disk) == []
    assert usable(disk)
    disk.clear("Nothing")
    aside = tmp_path / "store" / "index-damaged-1.sqlite"
    if harm == "empty":
        assert warnings == []
    else:
        assert aside.read_bytes()[28:100] == bytes(data[28:100]) or harm in ("page", "half")
        assert [str(aside) in message for message in warnings].count(True) == 1
    # No file is left that no row knows.
    kept = (files_of(result_of(n)) for n in range(COUNT) if disk.load(key(n)))
    assert blob_names(disk.folder) == files_of(NEW).union(*kept)
    disk.close()
    disk = Disk(tmp_path / "store", 64 * MB, pytest.fail)
    assert usable(disk)
    disk.clear()
    assert not aside.exists()
    disk.close()


def test_an_index_that_breaks_while_in_use_is_replaced(tmp_path: Path) -> None:
    disk = filled(tmp_path / "store", 400)
    disk.close()
    warnings: list[str] = []
    disk = Disk(tmp_path / "store", 64 * MB, warnings.append)
    with open(tmp_path / "store" / "index.sqlite", "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(os.stat(file.fileno()).st_size - 4096))
    assert wrong(disk, 400) == []
    assert usable(disk)
    assert sum("index-damaged-1.sqlite" in message for message in warnings) == 1
    assert wrong(disk, 400) == []
    disk.close()
    disk = Disk(tmp_path / "store", 64 * MB, pytest.fail)
    assert usable(disk)
    disk.close()


def test_a_damaged_index_that_others_use_is_left_alone(tmp_path: Path) -> None:
    first = filled(tmp_path / "store")
    path = tmp_path / "store" / "index.sqlite"
    (path.with_name("index.sqlite-wal")).write_bytes(b"")
    path.write_bytes(b"not an index at all" * 1000)
    warnings: list[str] = []
    second = Disk(tmp_path / "store", 64 * MB, warnings.append)
    assert len(warnings) == 1
    assert "other processes" in warnings[0]
    assert not usable(second)
    assert path.exists()
    second.close()
    first._warn = lambda _: None
    first.close()


def test_a_newer_index_is_not_touched(tmp_path: Path) -> None:
    filled(tmp_path / "store").close()
    path = tmp_path / "store" / "index.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    before, blobs = path.read_bytes(), blob_names(tmp_path / "store")
    warnings: list[str] = []
    disk = Disk(tmp_path / "store", 64 * MB, warnings.append)
    assert not usable(disk)
    disk.clear()
    disk.close()
    assert len(warnings) == 1
    assert "newer" in warnings[0]
    assert path.read_bytes() == before
    assert blob_names(tmp_path / "store") == blobs


def test_an_index_that_somebody_else_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.02)
    warnings: list[str] = []
    disk = Disk(tmp_path / "store", 64 * MB, warnings.append)
    disk.save(key(0), result_of(0))
    disk.flush()
    other = sqlite3.connect(tmp_path / "store" / "index.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for n in range(1, 6):
        disk.save(key(n), result_of(n))
        disk.flush()
    assert held(disk, 6) == set(range(6))
    assert len(warnings) == 1
    assert "locked" in warnings[0]
    third = Disk(tmp_path / "store", 64 * MB, warnings.append)
    assert not usable(third)
    third.close()
    assert len(warnings) == 2
    other.execute("COMMIT")
    other.close()
    disk.close()
    disk = Disk(tmp_path / "store", 64 * MB, warnings.append)
    assert held(disk, 6) == set(range(6))
    disk.close()
    assert len(warnings) == 2


HOLD = """
import sqlite3, sys
index = sqlite3.connect(sys.argv[1], isolation_level=None)
index.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="only Linux tells who holds a lock")
def test_the_process_that_locks_the_index_is_named_and_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.5)
    warnings: list[str] = []
    disk = Disk(tmp_path / "store", 64 * MB, warnings.append)
    disk.save(key(0), result_of(0))
    disk.flush()
    command = [sys.executable, "-c", HOLD, str(tmp_path / "store" / "index.sqlite")]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    begun = time.perf_counter()
    for n in range(1, 6):
        disk.save(key(n), result_of(n))
        disk.flush()
    assert 0.4 < time.perf_counter() - begun < 1.5
    assert len(warnings) == 1
    assert f"process {holder.pid}" in warnings[0]
    holder.communicate()
    disk.flush()
    assert held(disk, 6) == set(range(6))
    disk.close()


def test_other_files_in_the_folder_count_and_are_left_alone(tmp_path: Path) -> None:
    journal = tmp_path / "store" / "journal" / "long.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_bytes(b"x" * 900_000)
    disk = Disk(tmp_path / "store", 2 * MB, pytest.fail)
    for n in range(60):
        disk.save(key(n), result(Note(str(n), (random.Random(n).randbytes(50_000),))))
    disk.flush()
    assert 5 < len(disk.where([key(n) for n in range(60)])) < 14
    disk.close()
    assert folder_bytes(tmp_path / "store") <= 2 * MB
    assert journal.stat().st_size == 900_000


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    warnings: list[str] = []
    disk = Disk(tmp_path / "store", 64 * MB, warnings.append)
    assert not usable(disk)
    assert disk.where(["new"]) == {}
    assert disk.usage().bytes == 0
    assert disk.clear() == (0, 0)
    disk.close()
    assert len(warnings) == 1
    assert str(tmp_path / "store") in warnings[0]
    assert (tmp_path / "store").read_text() == "in the way"


def test_files_of_dead_processes_are_removed(tmp_path: Path) -> None:
    filled(tmp_path / "store").close()
    dead = tmp_path / "store" / "tmp" / "12345-dead"
    dead.mkdir()
    (dead / "alive").touch()
    (dead / "0").write_bytes(b"half a blob")
    orphan = tmp_path / "store" / "blobs" / "ab" / ("c" * 62)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"its row was never written")
    disk = Disk(tmp_path / "store", 64 * MB, pytest.fail)
    assert not dead.exists()
    assert not orphan.exists()
    assert held(disk) == set(range(COUNT))
    # What a living one is writing is left alone.
    other = Disk(tmp_path / "store", 64 * MB, pytest.fail)
    assert len(list((tmp_path / "store" / "tmp").iterdir())) == 2
    disk.close()
    other.close()
    assert list((tmp_path / "store" / "tmp").iterdir()) == []


@pytest.fixture
def small_place(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    place = tmp_path / "small"
    place.mkdir()
    with small_disk(place):
        yield place


def test_a_full_disk(small_place: Path) -> None:
    warnings: list[str] = []
    disk = Disk(small_place / "store", 64 * MB, warnings.append)
    ballast = small_place / "ballast"
    ballast.write_bytes(b"b" * 500_000)
    for n in range(200):
        disk.save(key(n), result_of(n))
    disk.flush()
    assert len(warnings) == 1
    assert "no space" in warnings[0]
    assert shutil.disk_usage(small_place).free > 100_000, "the last space is left to outputs"
    assert wrong(disk, 200) == []
    kept = held(disk, 200)
    assert 20 < len(kept) < 200
    assert [
        path for path in (small_place / "store" / "tmp").rglob("*") if path.is_file() and path.name != "alive"
    ] == []
    ballast.unlink()
    assert usable(disk)
    disk.close()
    warnings.clear()
    disk = Disk(small_place / "store", 64 * MB, warnings.append)
    assert held(disk, 200) == kept
    assert usable(disk)
    # Every file that is there belongs to a row: nothing half-written takes room.
    assert blob_names(disk.folder) == files_of(NEW).union(*(files_of(result_of(n)) for n in kept))
    assert disk.verify() == []
    disk.close()
    assert warnings == []


def test_a_folder_on_a_read_only_disk_is_read(small_place: Path) -> None:
    filled(small_place / "store", 12).close()
    remount_read_only(small_place)
    before = folder_bytes(small_place)
    warnings: list[str] = []
    other = Disk(small_place / "store", 64 * MB, warnings.append)
    assert wrong(other, 12) == []
    assert held(other, 12) == set(range(12))
    assert (other.readable, other.writable) == (True, False)
    assert not usable(other)
    assert other.clear() == (0, 0)
    assert other.usage().by_type.keys() == {f"Kind{n}@1" for n in range(4)}
    assert other.verify() == []
    assert held(other, 12) == set(range(12))
    assert [str(other.folder) in message for message in warnings] == [True]
    assert warnings == [other.problem]
    other.close()
    assert folder_bytes(small_place) == before


def test_damage_in_a_read_only_folder_is_a_miss_and_stays(small_place: Path) -> None:
    filled(small_place / "store", 12).close()
    path = sorted(path for path in (small_place / "store" / "blobs").rglob("*") if path.is_file())[3]
    path.write_bytes(b"harmed")
    remount_read_only(small_place)
    warnings: list[str] = []
    disk = Disk(small_place / "store", 64 * MB, warnings.append)
    assert wrong(disk, 12) == []
    assert len(held(disk, 12)) == 11
    assert len(disk.verify()) == 1
    assert path.read_bytes() == b"harmed"
    disk.close()


def test_a_disk_that_turns_read_only_while_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bool:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    warnings: list[str] = []
    disk = filled(tmp_path / "store", 12)
    disk._warn = warnings.append
    monkeypatch.setattr(Blobs, "put", refuse)
    assert not usable(disk)
    assert not disk.writable
    assert held(disk, 12) == set(range(12))
    assert warnings == [disk.problem]
    disk.close()
