"""A training that is killed and run again ends with the same file as one that is left alone."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.counts import short_and_full
from tests.faults.trainings import EVERY, NODES, STEPS, Kind, TrainingEnd, TrainingJob, Trainings, draw_data


@pytest.fixture(scope="module")
def trainings() -> Iterator[Trainings]:
    process = Trainings()
    yield process
    process.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data")
    draw_data(folder)
    return str(folder)


@pytest.fixture(scope="module")
def undisturbed(
    trainings: Trainings, data: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Kind], TrainingEnd]:
    """How a training ends that nothing happens to."""

    @cache
    def end(trained: Kind) -> TrainingEnd:
        (ended,) = trainings.run(TrainingJob(str(tmp_path_factory.mktemp("alone")), data, trained))
        assert ended.error == ""
        assert ended.steps == list(range(1, STEPS + 1))
        assert ended.digest
        return ended

    return end


@pytest.fixture
def alone(undisturbed: Callable[[Kind], TrainingEnd]) -> TrainingEnd:
    """How the training of an embedding ends that nothing happens to."""
    return undisturbed("embedding")


def kill_twice(trainings: Trainings, data: str, home: Path, seed: int, trained: Kind) -> TrainingEnd:
    """Kill a training in two random steps, and then let it end."""
    steps = sorted(random.Random(seed).sample(range(1, STEPS + 1), 2))
    for step in steps:
        (ended,) = trainings.run(TrainingJob(str(home), data, trained, kill_in=step))
        assert ended.killed, (seed, steps)
    (ended,) = trainings.run(TrainingJob(str(home), data, trained))
    assert ended.error == ""
    begun = 1 + (steps[-1] - 1) // EVERY * EVERY
    assert ended.steps == list(range(begun, STEPS + 1)), (seed, steps)
    return ended


@short_and_full("files", 1, 20)
@pytest.mark.parametrize("trained", NODES)
def test_after_two_kills_the_file_is_the_same(
    trainings: Trainings,
    data: str,
    undisturbed: Callable[[Kind], TrainingEnd],
    tmp_path: Path,
    figures: Callable[..., None],
    trained: Kind,
    files: int,
) -> None:
    alone = undisturbed(trained)
    for seed in range(1, files + 1):
        home = tmp_path / str(seed)
        assert kill_twice(trainings, data, home, seed, trained).digest == alone.digest, seed
        shutil.rmtree(home)
    figures(identical_files=files, kills=2 * files)


@pytest.mark.parametrize(("site", "kind"), [("file.write", "torn"), ("file.rename", "kill")])
def test_killed_while_a_checkpoint_is_written_it_continues_from_the_one_before(
    trainings: Trainings, data: str, alone: TrainingEnd, tmp_path: Path, site: str, kind: str
) -> None:
    job = TrainingJob(str(tmp_path), data, fault=(site, kind), fault_at=2 * EVERY)
    (ended,) = trainings.run(job)
    assert ended.killed
    (ended,) = trainings.run(TrainingJob(str(tmp_path), data))
    assert ended.steps == list(range(EVERY + 1, STEPS + 1))
    assert ended.digest == alone.digest


def test_a_damaged_checkpoint_is_replaced_by_the_one_before(
    trainings: Trainings, data: str, alone: TrainingEnd, tmp_path: Path
) -> None:
    trainings.run(TrainingJob(str(tmp_path), data, kill_in=2 * EVERY + 1))
    (checkpoint,) = tmp_path.glob("store/steps/*/scratch/state.pt")
    content = checkpoint.read_bytes()
    checkpoint.unlink()  # it shares its content with no other file
    checkpoint.write_bytes(content[: len(content) // 2])
    (ended,) = trainings.run(TrainingJob(str(tmp_path), data))
    assert ended.steps == list(range(EVERY + 1, STEPS + 1))
    assert ended.digest == alone.digest


def test_a_full_disk_at_a_checkpoint_costs_nothing_but_the_checkpoint(
    trainings: Trainings, data: str, alone: TrainingEnd, tmp_path: Path
) -> None:
    job = TrainingJob(str(tmp_path), data, fault=("file.write", "ENOSPC"), fault_at=2 * EVERY)
    (ended,) = trainings.run(job)
    assert (ended.state, ended.digest) == ("done", alone.digest)
    (warning,) = (text for text in ended.warnings if "checkpoint" in text)
    assert f"step {2 * EVERY}" in warning
    assert f"step {EVERY}" in warning


def test_only_one_of_two_processes_trains(
    trainings: Trainings, data: str, alone: TrainingEnd, tmp_path: Path
) -> None:
    ended = trainings.run(*[TrainingJob(str(tmp_path), data)] * 2)
    assert [one.error for one in ended] == ["", ""]
    assert sorted(one.steps for one in ended) == [[], list(range(1, STEPS + 1))]
    assert [one.digest for one in ended] == [alone.digest] * 2
