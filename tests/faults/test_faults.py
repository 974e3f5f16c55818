"""The sites themselves: off unless a test arms them, and doing then exactly what was armed."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import failpoints
from engine.failpoints import SITES, Fault, Kind
from tests.engine.store.kept_values import quick_folder
from tests.faults.forks import ROOT, Forks
from tests.faults.work import Job, furnish


@pytest.fixture(autouse=True)
def unarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


def test_only_tests_arm_faults_and_every_site_is_used() -> None:
    """The engine imports the call that marks a site, and nothing else of this module."""
    assert not failpoints.is_armed()
    sources = {path: path.read_text("utf-8") for path in (ROOT / "engine").rglob("*.py")}
    own = sources.pop(ROOT / "engine" / "failpoints.py")
    assert not re.search(r"os\.(environ|getenv)", own)
    used: set[str] = set()
    for path, text in sources.items():
        mentions = [line.strip() for line in text.splitlines() if "failpoints" in line]
        assert mentions in ([], ["from engine.failpoints import failpoint"]), path
        used |= set(re.findall(r'failpoint\("([a-z._]+)"', text))
    assert used == set(SITES) - {"node.run"}


def test_only_the_armed_pass_fails() -> None:
    failpoints.arm(Fault("blob.write", 2, "EIO"), Fault("*", 4, "memory"))
    failpoints.failpoint("blob.write")
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        failpoints.failpoint("blob.write")
    failpoints.failpoint("blob.write")
    with pytest.raises(MemoryError):
        failpoints.failpoint("journal.open")
    failpoints.failpoint("blob.write")
    assert failpoints.passed() == ["blob.write"] * 3 + ["journal.open", "blob.write"]
    with pytest.raises(ValueError, match=r"no such site: blob\.wirte"):
        failpoints.arm(Fault("blob.wirte", 1, "EIO"))


def test_an_error_is_the_one_that_the_real_thing_raises() -> None:
    for site, kind, code in (
        ("index.commit", "EIO", sqlite3.SQLITE_IOERR),
        ("facts.write", "ENOSPC", sqlite3.SQLITE_FULL),
    ):
        armed: Kind = "EIO" if kind == "EIO" else "ENOSPC"
        failpoints.arm(Fault(site, 1, armed))
        with pytest.raises(sqlite3.OperationalError) as raised:
            failpoints.failpoint(site)
        assert raised.value.sqlite_errorcode == code


def test_the_seed_decides_how_much_is_written(tmp_path: Path) -> None:
    lengths = set()
    for seed in range(20):
        written = []
        for _ in range(2):
            path = tmp_path / "file"
            failpoints.arm(Fault("blob.write", 1, "ENOSPC", seed))
            with path.open("wb") as file, pytest.raises(OSError, match="No space"):
                failpoints.failpoint("blob.write", bytes(1000), file.fileno())
            written.append(path.stat().st_size)
        assert written[0] == written[1] < 1000, "the same seed does the same"
        lengths.add(written[0])
    assert len(lengths) > 10


def test_a_fault_replays_from_what_is_printed_of_it(forks: Forks) -> None:
    fault = Fault("journal.write", 7, "torn", 3)
    assert eval(repr(fault)) == fault
    with quick_folder() as folder:
        ends = []
        for name in ("one", "two"):
            home = furnish(folder / name)
            (ended,) = forks.run(Job(str(home), 1, 6, faults=(eval(repr(fault)),), workers=1))
            assert ended.killed
            (journal,) = (home / "store" / "journal").iterdir()
            text = re.sub(r'"(t|at|pid|run|seconds)":[^,}]+', "", journal.read_text())
            ends.append((text.count("\n"), text.splitlines()[:-1]))
        assert ends[0] == ends[1]
        assert ends[0][0] == 8, "the lines of six writes, and some of the seventh"


def test_a_delay_only_delays(forks: Forks) -> None:
    with quick_folder() as folder:
        home = furnish(folder / "home")
        delays = tuple(Fault("*", nth, "delay", nth) for nth in range(1, 30, 3))
        (ended,) = forks.run(Job(str(home), 1, 6, faults=delays))
        assert (ended.report["state"], ended.report["warnings"]) == ("done", [])
