"""Bits flip in the files of a store: noticed or without meaning, and never a wrong value."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.failpoints import Fault
from tests.counts import short_and_full
from tests.engine.store.kept_values import quick_folder
from tests.faults.forks import SIDE_BY_SIDE, Forks
from tests.faults.home import committed, illegal, strays
from tests.faults.work import Job, expected, furnish, values

SIZE = 20


def flip(store: Path, seed: int) -> Path:
    """Flip one bit, somewhere in all the bytes that a store has; returns in which file."""
    chance = random.Random(seed)
    files = sorted(path for path in store.rglob("*") if path.is_file() and "journal" not in path.parts)
    path = chance.choices(files, [path.stat().st_size for path in files])[0]
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    return path.relative_to(store)


@short_and_full("flips", 32, 100)
@pytest.mark.parametrize("ended", ["closed", "killed"])
def test_a_flipped_bit_never_makes_a_wrong_value(
    ended: str, flips: int, forks: Forks, figures: Callable[..., None]
) -> None:
    counts: Counter[str] = Counter()
    with quick_folder() as folder:
        whole = furnish(folder / "whole")
        fault = (Fault("index.checkpoint", 1, "kill"),) if ended == "killed" else ()
        (first,) = forks.run(Job(str(whole), 1, SIZE, faults=fault))
        assert first.killed is (ended == "killed")
        assert ((whole / "store" / "index.sqlite-wal").exists()) is (ended == "killed")
        keys = tuple(sorted(committed(whole)))
        assert len(keys) == SIZE
        scratch = folder / "scratch"
        shutil.copytree(whole, scratch)
        (same,) = forks.run(Job(str(scratch), 1, SIZE, keys=keys))
        right = same.report["loaded"]
        assert len(right) == same.report["reused"] == SIZE
        for start in range(0, flips, SIDE_BY_SIDE):
            seeds = range(start, start + SIDE_BY_SIDE)
            homes = [folder / str(seed) for seed in seeds]
            for home in homes:
                shutil.copytree(whole, home)
            flipped = [flip(home / "store", seed) for seed, home in zip(seeds, homes, strict=True)]
            hurt = forks.run(*(Job(str(home), 1, SIZE, keys=keys) for home in homes))
            after = forks.run(*(Job(str(home), 1, SIZE) for home in homes))
            for seed, home, path, one, two in zip(seeds, homes, flipped, hurt, after, strict=True):
                why = (seed, path)
                for each in (one, two):
                    assert "error" not in each.report, (why, each.report["error"])
                    assert (each.report["state"], each.report["unwritten"]) == ("done", []), why
                    wanted = values(SIZE, 1, expected(SIZE, 1))
                    counts["wrong"] += each.report["values"] != wanted
                counts["wrong"] += not one.report["loaded"].items() <= right.items()
                noticed = bool(one.report["warnings"] or one.report["missing"] or one.report["damaged"])
                counts["noticed" if noticed else "without meaning"] += 1
                if path.parts[0] == "blobs":
                    assert any("Grow@1 is damaged" in line for line in one.report["warnings"]), why
                    counts["of them in blobs"] += 1
                assert (two.report["warnings"], two.report["damaged"]) == ([], []), (
                    why,
                    "it is mended for good",
                )
                assert two.report["reused"] >= len(expected(SIZE, 1)), why
                assert illegal(home) == [], why
                assert [stray for stray in strays(home) if not stray.startswith("outputs")] == [], why
                shutil.rmtree(home)
    figures(store=ended, flips=counts["noticed"] + counts["without meaning"], **counts)
    assert counts["wrong"] == 0
