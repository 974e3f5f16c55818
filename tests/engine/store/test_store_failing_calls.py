"""Every call that the store makes fails in turn, once or for good: it forgets, says so, and never lies."""

import errno
import itertools
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.packing import pack
from engine.store.disk import Disk
from tests.counts import short_and_full
from tests.engine.store.failing_calls import FailingCalls
from tests.engine.store.kept_values import blob_names, files_of, folder_bytes, key, quick_folder, result_of

COUNT = 8
BUDGET = 220_000  # so small that some of them have to go


def answers_wrongly(disk: Disk, n: int) -> bool:
    packed = disk.packed(key(n), "a")
    return disk.load(key(n)) not in (None, result_of(n)) or (
        packed is not None and packed != pack(result_of(n).outputs["a"])
    )


def use(folder: Path, warnings: list[str]) -> tuple[list[int], set[int]]:
    """Do a bit of everything; which entries were answered wrongly, and which are held in the end."""
    disk = Disk(folder, BUDGET, warnings.append)
    wrong = []
    for n in range(COUNT):
        disk.save(key(n), result_of(n))
        if n % 3 == 2:
            disk.flush()
        if answers_wrongly(disk, n):
            wrong.append(n)
        if n == 2:  # and not later, since it would tidy away what is left lying about
            disk.clear("Kind1")
    assert disk.usage().bytes <= BUDGET
    assert disk.verify() == []
    held = {n for n in range(COUNT + 2) if disk.where([key(n)])}
    disk.close()
    return wrong, held


@pytest.fixture
def stores() -> Iterator[tuple[Path, Path]]:
    """A place for stores, and one that a killed process left behind."""
    with quick_folder() as folder:
        disk = Disk(folder / "store", BUDGET, pytest.fail)
        for n in (9, 8, 3):
            disk.save(key(n), result_of(n))
        disk.flush()
        shutil.copytree(folder / "store", folder / "killed")
        disk.close()
        yield folder, folder / "killed"


@pytest.mark.parametrize(
    ("number", "for_good", "fresh"),
    [
        (errno.EIO, False, False),
        (errno.EIO, True, True),
        (errno.ENOSPC, False, True),
        (errno.ENOSPC, True, False),
    ],
    ids=["error once", "errors for good", "full once", "full for good"],
)
@short_and_full("stride", 3, 1)
def test_the_store_survives_a_failure_of_each_system_call(
    number: int, for_good: bool, fresh: bool, stride: int, stores: tuple[Path, Path]
) -> None:
    place, killed = stores
    untroubled = place / "untroubled"
    if not fresh:
        shutil.copytree(killed, untroubled)
    _, expected = use(untroubled, [])
    assert 3 < len(expected) < COUNT  # some were evicted
    for first in itertools.count(1, 5 * stride if for_good else 2 * stride - 1):
        folder = place / str(first)
        if not fresh:
            shutil.copytree(killed, folder)
        failing = FailingCalls(folder, number, first, math.inf if for_good else first)
        warnings: list[str] = []
        with failing():
            wrong, held = use(folder, warnings)
        assert wrong == []
        assert held == expected or warnings, first  # nothing is forgotten silently
        assert len(warnings) <= 1

        disk = Disk(folder, BUDGET, pytest.fail)
        assert not any(answers_wrongly(disk, n) for n in range(COUNT + 2))
        kept = {n for n in range(COUNT + 2) if disk.load(key(n)) is not None}
        assert blob_names(folder) == set().union(*(files_of(result_of(n)) for n in kept))
        assert disk.verify() == []
        disk.save(key(100), result_of(100))
        assert disk.load(key(100)) == result_of(100)
        disk.close()
        assert folder_bytes(folder) <= BUDGET
        assert list((folder / "tmp").iterdir()) == []
        if failing.calls < first:
            assert kept == expected
            break
        shutil.rmtree(folder)
    assert first > 150
