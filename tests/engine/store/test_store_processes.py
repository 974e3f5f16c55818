"""Several processes on one folder, some of them killed."""

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.store.disk import Disk
from tests.engine.store.kept_values import (
    Note,
    blob_names,
    bytes_at_once,
    files_of,
    folder_bytes,
    key,
    quick_folder,
    result,
    result_of,
)

MB = 1 << 20
ROOT = Path(__file__).parents[3]


def start(how: str, folder: Path, seed: int = 0, budget: int = 256 * MB) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.engine.store.saver", how, str(folder), str(seed), str(budget)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_killed_at_any_moment_every_entry_is_whole_or_absent() -> None:
    kept = 0
    with quick_folder() as folder:
        for seed in range(20):
            child = start("forever", folder / "store", seed)
            assert child.stdout is not None
            assert child.stdout.readline().startswith("ready")
            time.sleep(random.Random(seed).uniform(0, 0.12))
            child.kill()
            child.wait()
            child.stdout.close()
            disk = Disk(folder / "store", 256 * MB, pytest.fail)
            numbers = {
                key(n): n
                for before in range(seed + 1)
                for n in range(before * 100_000, before * 100_000 + 2000)
            }
            where = disk.where(list(numbers))
            assert len(where) == sum(entries for entries, _ in disk.usage().by_type.values())
            assert all(disk.load(name) == result_of(numbers[name]) for name in where)
            assert blob_names(disk.folder) == set().union(
                *(files_of(result_of(numbers[name])) for name in where)
            )
            assert disk.verify() == []
            kept += len(where)
            disk.clear()
            disk.close()
            assert list((folder / "store" / "tmp").iterdir()) == []
    assert kept > 100


@pytest.mark.parametrize("budget", [256 * MB, 2 * MB])
def test_two_processes_save_and_load_the_same_keys(budget: int) -> None:
    with quick_folder() as folder:
        children = [start("the_same", folder / "store", seed, budget) for seed in range(2)]
        said = [child.communicate(timeout=60)[0].splitlines() for child in children]
        assert [child.returncode for child in children] == [0, 0]
        assert [lines[1:] for lines in said] == [["done"], ["done"]]  # and no warning
        disk = Disk(folder / "store", budget, pytest.fail)
        held = [n for n in range(120) if disk.load(key(n)) == result_of(n)]
        assert len(held) == len(disk.where([key(n) for n in range(120)])) > 10
        assert disk.verify() == []
        assert blob_names(disk.folder) == set().union(*(files_of(result_of(n)) for n in held))
        disk.close()
        assert folder_bytes(folder) <= budget


def test_files_may_not_grow() -> None:
    with quick_folder() as folder:
        child = start("short_of_room", folder / "store")
        lines = child.communicate(timeout=60)[0].splitlines()
        assert child.returncode == 0
        assert lines[-1] == "done"
        warnings = [line for line in lines if line.startswith("warning:")]
        assert 1 <= len(warnings) <= 2  # of a blob, and maybe of the index
        assert "File too large" in warnings[0]
        disk = Disk(folder / "store", 256 * MB, pytest.fail)
        held = {n for n in range(60) if disk.load(key(n)) == result_of(n)}
        assert len(held) > 5  # as many as fit into a log of 400 kB
        assert disk.where([key(1000 + n) for n in range(60)]) == {}
        assert disk.verify() == []
        assert blob_names(disk.folder) == set().union(*(files_of(result_of(n)) for n in held))
        disk.close()


def most_bytes_while(children: list[subprocess.Popen[str]], folder: Path) -> int:
    """The most that lay in a folder at once before all of these ended."""
    most = 0
    while any(child.poll() is None for child in children):
        most = max(most, bytes_at_once(folder))
    return most


@pytest.mark.parametrize("budget", [4 * MB, 16 * MB])
def test_four_processes_stay_within_one_budget(budget: int) -> None:
    with quick_folder() as folder:
        store = folder / "store"
        children = [start("in_a_crowd", store, seed, budget) for seed in range(4)]
        most = most_bytes_while(children, store)
        assert [child.communicate()[0].splitlines()[1:] for child in children] == [["done"]] * 4
        assert most <= budget
        assert folder_bytes(store) <= budget
        disk = Disk(store, budget, pytest.fail)
        keys = [key(1000 * seed + n) for seed in range(4) for n in range(400)]
        assert len(disk.where(keys)) > budget // (200 * 1024)
        assert disk.usage().bytes > budget / 3  # the room is used, too
        assert disk.verify() == []
        disk.close()


def test_files_of_killed_processes_count_toward_the_budget() -> None:
    budget = 4 * MB
    with quick_folder() as folder:
        store = folder / "store"
        children = [start("forever", store, seed, budget) for seed in range(3)]
        most = 0
        for seed in range(3, 9):
            oldest = children.pop(0)
            assert oldest.stdout is not None
            assert oldest.stdout.readline().startswith("ready")
            for _ in range(30):
                time.sleep(0.01)
                most = max(most, bytes_at_once(store))
            assert oldest.poll() is None
            oldest.kill()
            oldest.communicate()
            children.append(start("forever", store, seed, budget))
        for child in children:
            child.kill()
            child.communicate()
        assert budget / 8 < most <= budget
        disk = Disk(store, budget, pytest.fail)
        assert disk.verify() == []
        disk.save("new", result_of(2))
        disk.close()
        assert folder_bytes(store) <= budget


def test_expensive_results_of_four_processes_survive_eviction() -> None:
    with quick_folder() as folder:
        budget = 4 * MB
        children = [start("dear_and_cheap", folder / "store", seed, budget) for seed in range(4)]
        assert [child.communicate()[0].splitlines()[1:] for child in children] == [["done"]] * 4
        disk = Disk(folder / "store", budget, pytest.fail)
        dear = [f"dear {seed} {n}" for seed in range(4) for n in range(10)]
        cheap = [f"cheap {seed} {n}" for seed in range(4) for n in range(150)]
        assert set(disk.where(dear)) == set(dear)
        assert 4 < len(disk.where(cheap)) < 40  # each takes 100 kB
        assert all(disk.load(name) is not None for name in dear)
        disk.close()


def test_files_that_wait_lease_a_small_part_of_the_budget() -> None:
    """Room that one process leases makes every process evict results, dear ones in the end."""
    budget, most = 16 * MB, 0
    with quick_folder() as folder:
        disk = Disk(folder / "store", budget, pytest.fail)
        index = sqlite3.connect(folder / "store" / "index.sqlite")
        for number in range(100):
            disk.save(f"cheap {number}", result(Note("", (random.Random(number).randbytes(100_000),))))
            most = max(most, index.execute("SELECT total(bytes) FROM leases").fetchone()[0])
        index.close()
        disk.close()
    assert 0 < most < budget / 8


def test_reading_while_another_process_evicts_and_clears() -> None:
    with quick_folder() as folder:
        budget = 4 * MB
        other = start("evict", folder / "store", 0, budget)
        assert other.stdout is not None
        assert other.stdout.readline().startswith("ready")
        disk = Disk(folder / "store", budget, pytest.fail)  # nothing of this is damage
        found = missed = n = 0
        while n < 300 or (n < 10_000 and missed < 5):
            disk.save(key(n), result_of(n))
            disk.flush()
            for m in range(max(n - 5, 0), n + 1):
                loaded = disk.load(key(m))
                assert loaded in (None, result_of(m))
                found, missed = found + (loaded is not None), missed + (loaded is None)
            n += 1
        assert disk.verify() == []
        disk.close()
        other.kill()
        other.communicate()
        assert found > 100
        assert missed >= 5
