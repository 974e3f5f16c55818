"""A training that is killed and run again ends with the same file as one that is left alone."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from tests.faults.trainings import EVERY, NODES, STEPS, Kind, TrainingEnd, TrainingJob, Trainings


@pytest.fixture(scope="module")
def trainings() -> Iterator[Trainings]:
    process = Trainings()
    yield process
    process.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "held_out").mkdir()
    for number in range(5):
        pixels = np.full((32, 32, 3), (40, 75, 210), np.uint8)
        pixels[6 + number : 22 + number, 8:24] = (220, 40, 40)
        pillow.fromarray(pixels).save(
            folder / ("held_out" if number == 4 else "") / f"{number}-red square.png"
        )
    return str(folder)


@pytest.fixture(scope="module")
def alone(trainings: Trainings, pictures: str, tmp_path_factory: pytest.TempPathFactory) -> TrainingEnd:
    """The training that nothing happens to."""
    (ended,) = trainings.run(TrainingJob(str(tmp_path_factory.mktemp("alone")), pictures))
    assert ended.error == ""
    assert ended.steps == list(range(1, STEPS + 1))
    return ended


@pytest.fixture(scope="module")
def lora_alone(trainings: Trainings, pictures: str, tmp_path_factory: pytest.TempPathFactory) -> TrainingEnd:
    """The training of a LoRA that nothing happens to."""
    (ended,) = trainings.run(TrainingJob(str(tmp_path_factory.mktemp("alone")), pictures, "lora"))
    assert ended.error == ""
    assert ended.steps == list(range(1, STEPS + 1))
    return ended


def kill_twice(
    trainings: Trainings, pictures: str, home: Path, seed: int, trained: Kind = "embedding"
) -> TrainingEnd:
    """Kill a training in two random steps, and then let it end."""
    steps = sorted(random.Random(seed).sample(range(1, STEPS + 1), 2))
    for step in steps:
        (ended,) = trainings.run(TrainingJob(str(home), pictures, trained, kill_in=step))
        assert ended.killed, (seed, steps)
    (ended,) = trainings.run(TrainingJob(str(home), pictures, trained))
    assert ended.error == ""
    begun = 1 + (steps[-1] - 1) // EVERY * EVERY
    assert ended.steps == list(range(begun, STEPS + 1)), (seed, steps)
    return ended


def test_after_two_kills_the_file_is_the_same(
    trainings: Trainings, pictures: str, alone: TrainingEnd, tmp_path: Path
) -> None:
    assert kill_twice(trainings, pictures, tmp_path, 1).digest == alone.digest


def test_after_two_kills_a_lora_is_the_same(
    trainings: Trainings, pictures: str, lora_alone: TrainingEnd, tmp_path: Path
) -> None:
    assert kill_twice(trainings, pictures, tmp_path, 1, "lora").digest == lora_alone.digest


@pytest.mark.slow
@pytest.mark.parametrize("trained", NODES)
def test_after_twenty_kills_every_file_is_the_same(
    trainings: Trainings, pictures: str, tmp_path: Path, trained: Kind
) -> None:
    (alone,) = trainings.run(TrainingJob(str(tmp_path / "alone"), pictures, trained))
    assert alone.error == ""
    assert alone.digest
    for seed in range(2, 22):
        home = tmp_path / str(seed)
        assert kill_twice(trainings, pictures, home, seed, trained).digest == alone.digest, seed
        shutil.rmtree(home)


@pytest.mark.parametrize(("site", "kind"), [("file.write", "torn"), ("file.rename", "kill")])
def test_killed_while_a_checkpoint_is_written_it_continues_from_the_one_before(
    trainings: Trainings, pictures: str, alone: TrainingEnd, tmp_path: Path, site: str, kind: str
) -> None:
    job = TrainingJob(str(tmp_path), pictures, fault=(site, kind), fault_at=2 * EVERY)
    (ended,) = trainings.run(job)
    assert ended.killed
    (ended,) = trainings.run(TrainingJob(str(tmp_path), pictures))
    assert ended.steps == list(range(EVERY + 1, STEPS + 1))
    assert ended.digest == alone.digest


def test_a_damaged_checkpoint_is_replaced_by_the_one_before(
    trainings: Trainings, pictures: str, alone: TrainingEnd, tmp_path: Path
) -> None:
    trainings.run(TrainingJob(str(tmp_path), pictures, kill_in=2 * EVERY + 1))
    (checkpoint,) = tmp_path.glob("store/steps/*/scratch/state.pt")
    data = checkpoint.read_bytes()
    checkpoint.unlink()  # it shares its content with no other file
    checkpoint.write_bytes(data[: len(data) // 2])
    (ended,) = trainings.run(TrainingJob(str(tmp_path), pictures))
    assert ended.steps == list(range(EVERY + 1, STEPS + 1))
    assert ended.digest == alone.digest


def test_a_full_disk_at_a_checkpoint_costs_nothing_but_the_checkpoint(
    trainings: Trainings, pictures: str, alone: TrainingEnd, tmp_path: Path
) -> None:
    job = TrainingJob(str(tmp_path), pictures, fault=("file.write", "ENOSPC"), fault_at=2 * EVERY)
    (ended,) = trainings.run(job)
    assert (ended.state, ended.digest) == ("done", alone.digest)
    (warning,) = (text for text in ended.warnings if "checkpoint" in text)
    assert f"step {2 * EVERY}" in warning
    assert f"step {EVERY}" in warning


def test_only_one_of_two_processes_trains(
    trainings: Trainings, pictures: str, alone: TrainingEnd, tmp_path: Path
) -> None:
    ended = trainings.run(*[TrainingJob(str(tmp_path), pictures)] * 2)
    assert [one.error for one in ended] == ["", ""]
    assert sorted(one.steps for one in ended) == [[], list(range(1, STEPS + 1))]
    assert [one.digest for one in ended] == [alone.digest] * 2
