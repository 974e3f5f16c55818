"""What is kept on disk comes back as it was, within the budget."""

import json
import math
import random
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.packing import pack
from engine.store.disk import Disk
from engine.store.shared_folder.entry import NewEntry
from engine.store.shared_folder.folder import Folder
from engine.store.shared_folder.schema import hash_of
from engine.store.shared_folder.write_buffer import Writer
from engine.store.store import Result, StoredResult
from engine.values import Value, sha256
from tests.engine.store.kept_grid import Grid
from tests.engine.store.kept_values import (
    Note,
    blob_names,
    folder_bytes,
    key,
    quick_folder,
    result,
    result_of,
    wait_until,
)

MB = 1 << 20


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def disk(tmp_path: Path, warnings: list[str]) -> Iterator[Disk]:
    disk = Disk(tmp_path / "store", 64 * MB, warnings.append)
    yield disk
    disk.close()


@pytest.fixture
def quick() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


def reopened(disk: Disk, warnings: list[str]) -> Disk:
    disk.close()
    return Disk(disk.folder, disk.budget, warnings.append)


VALUES = [
    None,
    True,
    0,
    -(2**70),
    0.1,
    5e-324,
    "",
    "grün \ud800 \x00 \U0001f600",
    [],
    [1, [2.5, None], {"b": 1, "a": [True]}],
    {},
    {"z": 1, "a": {"": None}},
    Note("no pages"),
    Note("empty and short", (b"", b"\x00" * 16_384)),
    Note("long", (b"x" * 16_385, b"y")),
    Grid(np.arange(12, dtype=np.float32).reshape(3, 4)),
    Grid(np.arange(9000, dtype=np.int64)),
    [Note("one", (b"1" * 20_000,)), 5, [Grid(np.zeros((2, 2)))], Note("two", (b"2",))],
]


@pytest.mark.parametrize(
    "value", VALUES, ids=lambda value: repr(value)[:30].encode("ascii", "replace").decode()
)
@pytest.mark.parametrize("when", ["waiting", "written", "reopened"])
def test_round_trip(value: object, when: str, disk: Disk, warnings: list[str]) -> None:
    saved = Result({"out": value, "again": value}, 0.1 + 0.2, 1.7e9 + 1 / 3, "Thing@2")
    disk.save("k", saved)
    if when == "written":
        disk.flush()
    if when == "reopened":
        disk = reopened(disk, warnings)
    assert disk.load("k") == saved
    assert disk.where(["x", "k"]) == {"k": StoredResult("disk", saved.seconds, saved.made)}
    assert disk.packed("k", "again") == pack(value)
    assert disk.packed("k", "no such output") is None
    assert disk.packed("x", "out") is None
    assert warnings == []
    disk.close()


def test_on_a_full_disk_the_results_of_the_run_under_way_go_last(disk: Disk) -> None:
    size = 100_000
    for number in range(4):  # the first ones are worth the least
        value = Note(f"note {number}", (bytes([number]) * size,))
        disk.save(f"k{number}", Result({"out": value}, float(number), 0.0, "Thing@1"))
    disk.flush()
    assert disk.free_disk(disk.folder, 2 * size, ["k0", "k2"])
    assert disk.where([f"k{number}" for number in range(4)]).keys() == {"k0", "k2"}
    assert disk.free_disk(disk.folder, size, ["k0", "k2"]), "outputs come before every result"
    assert disk.where(["k0", "k2"]).keys() == {"k2"}
    assert not disk.free_disk(disk.folder, 2 * size, ["k2"])


def test_the_order_of_a_dict_is_kept(disk: Disk) -> None:
    disk.save("k", result({"z": 1, "a": 2}))
    disk.flush()
    loaded = disk.load("k")
    assert loaded is not None
    assert list(loaded.outputs["a"]) == ["z", "a"]  # type: ignore[call-overload]


def test_a_held_key_is_left_as_it_is(disk: Disk, warnings: list[str]) -> None:
    disk.save("k", result(1))
    disk.save("k", result(2))
    disk.flush()
    disk.save("k", result(3))
    disk = reopened(disk, warnings)
    assert disk.load("k") == result(1)
    disk.close()


def test_keys_of_equal_hash_are_told_apart(disk: Disk) -> None:
    one, other = "plumless", "buckeroo"  # these two have the same crc32
    assert hash_of(one) == hash_of(other)
    disk.save(one, result(1))
    disk.flush()
    assert disk.load(other) is None
    assert disk.where([other]) == {}
    disk.save(other, result(2))
    disk.flush()
    assert disk.load(one) == result(1)
    assert disk.load(other) == result(2)
    disk.touch(other)
    disk.flush()
    disk.clear(older_than=-1)
    assert disk.where([one, other]) == {}


def test_values_that_cannot_be_packed_warn_once_and_are_not_stored(disk: Disk, warnings: list[str]) -> None:
    class Live(Value, wire="TestLive"):
        pass

    for n in range(3):
        disk.save(key(n), result(1, Live(), node_type="Live@1"))
        disk.save(key(10 + n), result(math.nan, node_type="Number@1"))
    disk.flush()
    assert disk.where([key(n) for n in range(20)]) == {}
    assert len(warnings) == 2
    assert "Live@1" in warnings[0]
    assert "pack()" in warnings[0]
    assert "Number@1" in warnings[1]


def test_a_type_that_nobody_knows_is_a_miss_until_somebody_does(disk: Disk, warnings: list[str]) -> None:
    disk.save("k", result(Note("x")))
    disk.flush()
    known = Value.types.pop("TestNote")
    try:
        assert disk.load("k") is None
        assert disk.load("k") is None
        assert disk.packed("k", "a") == Note("x").pack()
    finally:
        Value.types["TestNote"] = known
    assert disk.load("k") == result(Note("x"))
    assert len(warnings) == 1
    assert "TestNote" in warnings[0]


def test_an_unpack_that_fails_is_a_miss(
    disk: Disk, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Note:
        raise ValueError("an old layout")

    disk.save("k", result(Note("x")))
    monkeypatch.setattr(Note, "unpack", refuse)
    assert disk.load("k") is None
    assert len(warnings) == 1
    assert "an old layout" in warnings[0]


def test_trivial_results_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: list[str] = []
    connect = sqlite3.connect

    def traced(path: Path, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(path, **kwargs)
        connection.set_trace_callback(statements.append)
        return connection

    def transactions() -> int:
        count = statements.count("COMMIT")
        statements.clear()
        return count

    now = 1e6
    monkeypatch.setattr(sqlite3, "connect", traced)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    disk = Disk(tmp_path / "store", 64 * MB, pytest.fail)
    transactions()
    for n in range(5000):
        disk.save(key(n), result(n))
    assert transactions() == 2  # after 2,048 and 4,096
    assert len(disk.where([key(n) for n in range(5000)])) == 5000
    assert all(disk.load(key(n)) == result(n) for n in (0, 2047, 2048, 4095, 4096, 4999))
    assert transactions() == 0
    now += 0.06
    disk.where([])
    assert transactions() == 1
    now += 0.06
    for n in range(500):  # times of use wait as well
        disk.load(key(n))
    assert transactions() == 0
    disk.flush()
    assert transactions() == 1
    disk.close()


def test_waiting_entries_are_written_without_further_calls(disk: Disk) -> None:
    other = Disk(disk.folder, disk.budget, pytest.fail)
    for saved in (result(0), result_of(1), result_of(2)):
        name = str(saved)
        disk.save(name, saved)
        wait_until(partial(other.where, [name]))
        assert other.load(name) == saved
    other.close()


def test_the_thread_that_writes_ends_and_comes_again() -> None:
    waiting: list[int] = []
    written: list[int] = []

    def work() -> None:
        written.extend(waiting)
        waiting.clear()

    writer = Writer(work, 0.001)
    for n in range(3):
        waiting.append(n)
        writer.start()
        wait_until(lambda: not writer.alive)
        assert written == list(range(n + 1))
    writer.close()
    writer.start()
    assert not writer.alive


def test_plain_values_are_spelled_as_the_encoder_spells_them() -> None:
    for n, value in enumerate(
        [None, True, False, 0, -7, 2**70, 0.1, -0.0, 1e300, "", 'ü"\\\n\ud800', "x" * 2000]
    ):
        entry = NewEntry(key(n), Result({"out": value, 'od"d': n}, 0.1 + n, 1.7e9, "Thing@2")).entry
        expected = json.dumps({"out": ["json", value, []], 'od"d': ["json", n, []]}, separators=(",", ":"))
        assert entry.outputs == expected
    for other in (math.nan, math.inf, -math.inf, b"", object()):
        with pytest.raises((TypeError, ValueError)):
            NewEntry("k", result(1, other))


def test_equal_parts_are_kept_once(disk: Disk) -> None:
    page = random.Random(1).randbytes(100_000)
    for n in range(5):
        disk.save(key(n), result(Note(str(n), (page, page, b"short" * 10))))
    usage = disk.usage()
    assert usage.by_type == {"Test@1": (5, usage.by_type["Test@1"][1])}
    assert usage.by_type["Test@1"][1] >= 5 * 100_000
    assert 100_000 < usage.bytes < 250_000
    assert len(blob_names(disk.folder)) == 1
    assert disk.clear()[0] == 5
    assert blob_names(disk.folder) == set()


def test_a_shared_part_lives_as_long_as_one_holder(disk: Disk) -> None:
    page = b"shared" * 10_000
    disk.save("a", result(Note("a", (page, b"s")), node_type="A@1"))
    disk.save("b", result(Note("b", (page, b"s")), node_type="B@1"))
    assert disk.clear("A@1")[0] == 1
    assert disk.load("b") == result(Note("b", (page, b"s")), node_type="B@1")
    assert disk.clear("B")[0] == 1
    assert blob_names(disk.folder) == set()


def test_clear_by_type_and_age(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    for n, node_type in enumerate(["Blur@1", "Blur@2", "Blurry@1", "Decode@1"]):
        disk.save(key(n), result(n, node_type=node_type))
    disk.flush()
    assert disk.clear("Blur")[0] == 2
    assert set(disk.where([key(n) for n in range(4)])) == {key(2), key(3)}
    now += 1000
    assert disk.clear(older_than=2000) == (0, 0)
    disk.load(key(3))
    now += 1000
    assert disk.clear(older_than=1500)[0] == 1
    assert set(disk.where([key(n) for n in range(4)])) == {key(3)}
    assert disk.clear("Nothing@1") == (0, 0)


def test_clear_gives_the_room_back(disk: Disk) -> None:
    for n in range(400):
        disk.save(key(n), result("x" * 3000, Note(str(n), (bytes([n % 256]) * 20_000,)), seconds=n))
    before = disk.usage().bytes
    entries, freed = disk.clear()
    assert entries == 400
    assert freed > 0.9 * before
    disk.close()
    assert folder_bytes(disk.folder) < before / 10


def fill(disk: Disk, numbers: range, **kwargs: Any) -> None:
    for n in numbers:
        disk.save(key(n), result(Note(str(n), (random.Random(n).randbytes(50_000),)), **kwargs))
    disk.flush()


def test_cheap_results_go_first(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "store", MB, pytest.fail)
    fill(disk, range(5), seconds=100.0)
    fill(disk, range(5, 60), seconds=0.1)
    kept = {n for n in range(60) if key(n) in disk.where([key(n)])}
    assert kept >= set(range(5))
    assert 59 in kept
    assert 10 not in kept
    disk.close()


def test_unused_results_sink_and_used_ones_stay(quick: Path) -> None:
    disk = Disk(quick / "store", MB, pytest.fail)
    fill(disk, range(2), seconds=3.0)
    for n in range(2, 80):
        fill(disk, range(n, n + 1), seconds=1.0)
        if n % 10 == 0:
            disk.close()
            disk = Disk(disk.folder, MB, pytest.fail)
        assert disk.load(key(0)) is not None
    assert set(disk.where([key(0), key(1)])) == {key(0)}
    disk.close()


@pytest.mark.parametrize("budget", [0, MB, 4 * MB])
def test_the_folder_stays_within_its_budget(quick: Path, budget: int) -> None:
    chance = random.Random(budget)
    disk = Disk(quick / "store", budget, pytest.fail)
    empty = folder_bytes(disk.folder)
    most = max(budget, empty)
    kept = 0
    for n in range(300):
        size = chance.choice([10, 1000, 5000, 17_000, 100_000, 300_000])
        disk.save(key(n), result(Note(str(n), (chance.randbytes(size),)), "x" * chance.randrange(3000)))
        # The -shm file is shared memory of fixed size rather than something kept.
        shm = disk.folder / "index.sqlite-shm"
        assert folder_bytes(disk.folder) - (shm.stat().st_size if shm.exists() else 0) <= most
        kept += disk.load(key(n)) is not None
    assert (kept > 150) == (budget > 0)
    disk.close()
    assert folder_bytes(disk.folder) <= most


OPERATIONS = st.one_of(
    st.tuples(st.just("save"), st.integers(0, 11)),
    st.tuples(st.just("load"), st.integers(0, 11)),
    st.tuples(st.sampled_from(["flush", "reopen", "clear", "where"]), st.integers(0, 11)),
)


@settings(max_examples=60, deadline=None)
@given(operations=st.lists(OPERATIONS, max_size=40), small=st.booleans())
def test_agrees_with_a_dict(operations: list[tuple[str, int]], small: bool) -> None:
    """With room for all the store is a dict; without, it may forget but never tells anything else."""
    budget = 300_000 if small else 64 * MB
    with quick_folder() as folder:
        disk = Disk(folder / "store", budget, pytest.fail)
        model: dict[str, Result] = {}
        for name, n in operations:
            if name == "save":
                disk.save(key(n), result_of(n))
                model[key(n)] = result_of(n)
            elif name == "load":
                found = disk.load(key(n))
                assert found == model.get(key(n)) or (small and found is None)
                packed = disk.packed(key(n), "a")
                assert packed is None or packed == pack(model[key(n)].outputs["a"])
            elif name == "flush":
                disk.flush()
            elif name == "reopen":
                disk.close()
                disk = Disk(folder / "store", budget, pytest.fail)
            elif name == "clear":
                node_type = f"Kind{n % 4}@1" if n < 8 else None
                held = {k for k, r in model.items() if node_type in (None, r.node_type)}
                count, _ = disk.clear(node_type)
                assert count == len(held) or (small and count < len(held))
                for k in held:
                    del model[k]
            where = disk.where([key(m) for m in range(12)])
            assert where.keys() == model.keys() or (small and where.keys() < model.keys())
            assert all(held.made == model[k].made for k, held in where.items())
        assert disk.verify() == []
        disk.close()
        assert folder_bytes(folder) <= budget


def test_disk_store_is_thread_safe(disk: Disk, warnings: list[str]) -> None:
    wrong: list[object] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(150):
            n = chance.randrange(60)
            if chance.random() < 0.5:
                disk.save(key(n), result_of(n))
                if disk.load(key(n)) != result_of(n):
                    wrong.append(n)
            elif disk.load(key(n)) not in (None, result_of(n)):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert warnings == []
    assert disk.verify() == []


def test_after_close_everything_is_quiet(disk: Disk, warnings: list[str]) -> None:
    disk.close()
    disk.save("k", result(1))
    assert disk.load("k") is None
    assert disk.where(["k"]) == {}
    assert disk.clear() == (0, 0)
    assert disk.verify() == []
    disk.flush()
    disk.close()
    assert warnings == []


def test_a_result_that_another_process_kept_first_leaves_no_file_behind(tmp_path: Path) -> None:
    first, second = (Disk(tmp_path / "store", 64 * MB, pytest.fail) for _ in range(2))
    shared, one, two = (letter * 20_000 for letter in (b"s", b"1", b"2"))
    second.save("both", result(Note("second", (shared, two))))
    first.save("both", result(Note("first", (shared, one))))
    first.flush()
    second.save("other", result(Note("other", (shared,))))
    second.flush()
    assert blob_names(first.folder) == {sha256(shared), sha256(one)}
    assert second.load("both") == result(Note("first", (shared, one)))
    assert second.load("other") == result(Note("other", (shared,)))
    first.close()
    second.close()


def test_a_result_that_another_thread_kept_first_leaves_no_file_behind(
    disk: Disk, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, one, two = (letter * 20_000 for letter in (b"s", b"1", b"2"))
    real = Folder.write

    def overtaken(folder: Folder, files: Mapping[str, bytes]) -> list[str]:
        brought = real(folder, files)
        monkeypatch.setattr(Folder, "write", real)
        disk.save("both", result(Note("second", (shared, two))))
        return brought

    monkeypatch.setattr(Folder, "write", overtaken)
    disk.save("both", result(Note("first", (shared, one))))
    disk.flush()
    assert blob_names(disk.folder) == {sha256(shared), sha256(two)}
    assert disk.load("both") == result(Note("second", (shared, two)))
    assert warnings == []


def test_disk_store_works_without_fcntl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.O_CLOEXEC", raising=False)
    monkeypatch.setattr("engine.store.shared_folder.processes.fcntl", None)
    disk = Disk(tmp_path / "store", 64 * MB, pytest.fail)
    disk.save("key", result(Note("long", (b"x" * 20_000,))))
    disk.close()
    again = Disk(tmp_path / "store", 64 * MB, pytest.fail)
    assert again.load("key") == result(Note("long", (b"x" * 20_000,)))
    again.close()
