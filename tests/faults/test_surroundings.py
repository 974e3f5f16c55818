"""What goes wrong around a run: a full disk, an index that somebody holds, a clock that jumps."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.store.kept_values import quick_folder
from tests.faults.forks import Ended, Forks
from tests.faults.home import illegal, strays, wrong_outputs
from tests.faults.small_disk import small_disk
from tests.faults.work import Job, furnish, values

SIZE = 20
HOUR = 3600.0


def assert_right(ended: Ended, salt: int = 1) -> None:
    assert "error" not in ended.report, ended.report["error"]
    state = "failed" if ended.report["unwritten"] else "done"  # every node is done all the same
    assert (ended.report["state"], ended.report["problems"]) == (state, [])
    assert ended.report["values"] == values(SIZE, salt, ended.report["outputs"])


@pytest.mark.parametrize("free", [0, 40_000, 150_000, 300_000, 450_000])
def test_a_full_disk_stops_nothing_and_leaves_nothing_half_done(
    free: int, forks: Forks, tmp_path: Path, figures: Callable[..., None]
) -> None:
    place = tmp_path / "small"
    place.mkdir()
    with small_disk(place, "3m"):
        home = furnish(place / "home")
        ballast = place / "ballast"
        ballast.write_bytes(b"b" * ((3 << 20) - 16384 - free))
        (full,) = forks.run(Job(str(home), 1, SIZE))
        assert_right(full)
        words = ("no space", "No space left", "cannot be used")
        assert full.report["warnings"]
        assert all(any(word in line for word in words) for line in full.report["warnings"]), full.report[
            "warnings"
        ]
        assert full.report["unwritten"] or free > 100_000
        assert all("No space left" in line for line in full.report["unwritten"])
        ballast.unlink()
        (again,) = forks.run(Job(str(home), 1, SIZE))
        assert_right(again)
        assert (again.report["warnings"], again.report["unwritten"], again.report["damaged"]) == ([], [], [])
        assert wrong_outputs(home, SIZE, 1) == {"lost": 0, "duplicated": 0, "mismatched": 0}
        assert strays(home) == []
        assert illegal(home) == []
        figures(
            bytes_free=free,
            outputs_written=len(full.report["outputs"]),
            steps_kept=again.report["reused"],
        )


def test_an_index_that_is_held_for_a_while_is_waited_for(forks: Forks) -> None:
    with quick_folder() as folder:
        home = furnish(folder / "home")
        forks.run(Job(str(home), 0, SIZE))
        other = sqlite3.connect(
            home / "store" / "index.sqlite", isolation_level=None, check_same_thread=False
        )
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.5, other.execute, ["COMMIT"])
        release.start()
        (ended,) = forks.run(Job(str(home), 1, SIZE))
        release.join()
        other.close()
        assert_right(ended)
        assert ended.report["warnings"] == []
        assert ended.report["ready"] > 0.2, "it did wait"
        (again,) = forks.run(Job(str(home), 1, SIZE))
        assert again.report["reused"] == SIZE, "and nothing was given up for it"


@pytest.mark.parametrize("jump", [0.0, HOUR, -HOUR, 1.3e9, -1.7e9])
def test_a_clock_that_jumps_changes_no_value_no_eviction_and_no_reason(jump: float, forks: Forks) -> None:
    few = 900_000
    with quick_folder() as folder:
        home = furnish(folder / "home")
        (ahead,) = forks.run(Job(str(home), 1, SIZE, clock=jump))
        assert_right(ahead)
        (back,) = forks.run(Job(str(home), 1, SIZE))
        assert_right(back)
        assert back.report["reused"] == SIZE, "what was made at another time is as good"
        for reason in back.report["reasons"].values():
            assert "-" not in reason, reason
        for salt in range(2, 6):  # results of an odd time make room like any others
            (full,) = forks.run(Job(str(home), salt, SIZE, budget=few))
            assert_right(full, salt)
            (again,) = forks.run(Job(str(home), salt, SIZE, budget=few))
            assert_right(again, salt)
            assert again.report["reused"] > 0, (salt, "new results are kept on")
        assert illegal(home) == []
        assert strays(home) == []
