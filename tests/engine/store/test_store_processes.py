"""Several processes on one folder, some of them killed."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.store.disk import Disk
from tests.engine.store.kept_values import blob_names, files_of, folder_bytes, key, quick_folder, result_of

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
