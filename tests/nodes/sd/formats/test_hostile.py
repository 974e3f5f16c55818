"""Hostile files: each refused with a reason, nothing of it run, at little cost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.sd.embeddings.saved import read_embedding
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.embedding import describe_embedding
from tests.nodes.sd.formats import hostile

CASES = sorted(hostile.everything(Path("marker")))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """Every hostile file, written once, with what its refusal says."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "files").mkdir()
    made = {}
    for number, (name, (data, message)) in enumerate(sorted(hostile.everything(folder / "marker").items())):
        path = folder / "files" / f"{number:03}.pt"
        path.write_bytes(data)
        made[name] = path, message
    return made


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_file_is_refused_and_runs_no_code(files: dict[str, tuple[Path, str]], case: str) -> None:
    path, message = files[case]
    with pytest.raises(BadFileError, match=message) as refused:
        describe_embedding(read_embedding(path))
    assert str(refused.value).startswith(str(path))
    assert not (path.parent.parent / "marker").exists()


def test_the_commands_would_have_run(files: dict[str, tuple[Path, str]], tmp_path: Path) -> None:
    """The traps are real: Python itself walks into one."""
    import pickle

    data, _ = hostile.calls(tmp_path / "marker")["protocol 2"]
    pickle.loads(data)
    assert (tmp_path / "marker").exists()


def test_each_refusal_costs_at_most_seconds_and_200_mb(files: dict[str, tuple[Path, str]]) -> None:
    folder = next(iter(files.values()))[0].parent
    told = subprocess.run(
        [sys.executable, "-m", hostile.__name__, str(folder)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ).stdout.splitlines()
    names = {path.name: case for case, (path, _) in files.items()}
    assert len(told) == len(files)
    for line in told:
        name, seconds, kib = line.split()
        assert float(seconds) < 10, names[name]  # far less than reading the bomb; a busy machine is slow
        assert int(kib) < 200 << 10, names[name]
