"""Memory over disk: the same results, from the nearer of the two."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.packing import pack
from engine.store.disk import Disk
from engine.store.memory import Memory
from engine.store.store import Store
from engine.store.tiered import Tiered
from engine.values import Value
from tests.engine.store.kept_values import Note, key, result, result_of

MB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "store", 64 * MB, pytest.fail)
    yield disk
    disk.close()


def test_every_store_keeps_the_protocol(disk: Disk) -> None:
    stores: list[Store] = [Memory(MB), disk, Tiered(Memory(MB), disk), Tiered(Memory(MB))]
    for n, store in enumerate(stores):
        store.save(key(n), result_of(n))
        store.flush()
        assert store.load(key(n)) == result_of(n)
        assert list(store.where([key(n), key(50)])) == [key(n)]
        assert store.packed(key(n), "a") == pack(result_of(n).outputs["a"])


def test_results_in_memory_are_not_read_from_disk(disk: Disk) -> None:
    store = Tiered(Memory(MB), disk)
    saved = result_of(2)
    store.save(key(2), saved)
    assert store.load(key(2)) is saved
    assert store.where([key(2)])[key(2)].tier == "memory"
    fresh = Tiered(Memory(MB), disk)
    assert fresh.where([key(2)])[key(2)].tier == "disk"
    loaded = fresh.load(key(2))
    assert loaded == saved
    assert fresh.where([key(2)])[key(2)].tier == "memory"
    assert fresh.load(key(2)) is loaded


def test_results_evicted_from_memory_are_read_from_disk(disk: Disk) -> None:
    store = Tiered(Memory(150_000), disk)
    for n in range(40):
        store.save(key(n), result_of(n))
    where = store.where([key(n) for n in range(40)])
    assert {held.tier for held in where.values()} == {"memory", "disk"}
    assert len(where) == 40
    assert all(store.load(key(n)) == result_of(n) for n in range(40))


def test_the_next_process_finds_it(tmp_path: Path) -> None:
    store = Tiered(Memory(MB), Disk(tmp_path / "store", 64 * MB, pytest.fail))
    store.save(key(1), result_of(1))
    store.close()
    assert store.load(key(1)) is None
    store = Tiered(Memory(MB), Disk(tmp_path / "store", 64 * MB, pytest.fail))
    assert store.load(key(1)) == result_of(1)
    store.close()


def test_values_that_cannot_be_packed_stay_in_memory(tmp_path: Path) -> None:
    class Alive(Value, wire="TestAlive"):
        pass

    warnings: list[str] = []
    store = Tiered(Memory(MB), Disk(tmp_path / "store", 64 * MB, warnings.append))
    value = Alive()
    for n in range(3):
        store.save(key(n), result(value, n, node_type="MakeAlive@1"))
    loaded = store.load(key(2))
    assert loaded is not None
    assert loaded.outputs["a"] is value
    assert [held.tier for held in store.where([key(0)]).values()] == ["memory"]
    with pytest.raises(TypeError, match="pack"):
        store.packed(key(0), "a")
    assert len(warnings) == 1
    assert "MakeAlive@1" in warnings[0]
    store.close()


def test_packs_once(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = []
    pack_note = Note.pack

    def counted(note: Note):  # type: ignore[no-untyped-def]
        packed.append(note)
        return pack_note(note)

    monkeypatch.setattr(Note, "pack", counted)
    store = Tiered(Memory(MB), disk)
    note = Note("x", (b"1" * 20_000,))
    store.save("k", result(note))
    assert store.packed("k", "a") == pack_note(note)
    assert store.load("k") == result(note)
    assert packed == [note]


def test_use_in_memory_counts_as_use(disk: Disk) -> None:
    store = Tiered(Memory(MB), disk)
    store.save("used", result(1))
    store.save("unused", result(2))
    store.flush()
    connection = sqlite3.connect(disk.folder / "index.sqlite", isolation_level=None)
    connection.execute("UPDATE entries SET used = used - 1000")
    connection.close()
    assert store.load("used") is not None
    store.flush()
    assert disk.clear(older_than=500)[0] == 1
    assert set(disk.where(["used", "unused"])) == {"used"}
