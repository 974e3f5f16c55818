"""What a folder of 1,000 embeddings costs to list and to teach, cold and warm."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.bench import ROOT, Row, bench, children_cpu, new_home, stopwatch

FILES, ROUNDS = 1000, 7
CALL = "import sys; from engine.cli import main; sys.exit(main(sys.argv[1:]))"
WHAT = "1,000 embeddings, half of them safetensors, half pickles"


def fill(folder: Path) -> None:
    """Files of two vectors, each of other numbers, in ten folders."""
    import torch
    from safetensors.torch import save_file

    for number in range(FILES):
        vectors = torch.randn(2, 64, generator=torch.Generator().manual_seed(number))
        place = folder / f"folder {number % 10}" / f"word {number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        if number % 2:
            save_file({"emb_params": vectors}, place.with_suffix(".safetensors"))
        else:
            whole = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": place.name}
            torch.save(whole, place.with_suffix(".pt"))


@bench
def scan() -> Iterator[Row]:
    """The command line in processes of its own; the node in one, as in a session that stays open."""
    with new_home() as home:
        folder = home / "models" / "embeddings"
        fill(folder)
        cold = listed(home)
        warm = statistics.median(listed(home) for _ in range(ROUNDS))
        yield Row(
            "safelight models, the first time",
            round(cold, 2),
            "s CPU",
            "<= 20",
            cold <= 20,
            f"{WHAT}, none seen before: each read, digested and looked into; the whole process",
        )
        yield Row(
            "safelight models, warm",
            round(warm, 3),
            "s CPU",
            "<= 1",
            warm <= 1,
            f"the same again, nothing changed; the whole process, median of {ROUNDS}",
        )
    with new_home() as home:
        fill(home / "models" / "embeddings")
        yield from taught(home)


def listed(home: Path) -> float:
    """CPU seconds of the command and of what it starts."""
    before = children_cpu()
    line = [sys.executable, "-c", CALL, "models", "--home", str(home), "--json"]
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    told = subprocess.run(line, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    took = children_cpu() - before
    usable = [
        row
        for row in json.loads(told.stdout)["models"]
        if (row["kind"], row["problem"]) == ("embedding", None)
    ]
    assert len(usable) >= FILES, told.stdout[:500]
    return took


def taught(home: Path) -> Iterator[Row]:
    """LoadEmbeddings asked for its fingerprint, which every run begins with."""
    from engine import settings
    from engine.session import Session
    from nodes.model.embeddings import LoadEmbeddings

    inputs: dict[str, Any] = {"files": "", "embedding": None, "prompt": "", "negative": ""}
    node = LoadEmbeddings.model_construct(**inputs)
    (home / "store").mkdir(parents=True, exist_ok=True)
    with Session(settings.load(home, device="cpu")) as session:
        before = children_cpu()
        with stopwatch() as first:
            found = node.fingerprint(session.files)
        cold = first.cpu + children_cpu() - before
        took = []
        for _ in range(ROUNDS):
            with stopwatch() as again:
                same = node.fingerprint(session.files)
            took.append(again.cpu)
    assert same == found
    assert isinstance(found, list)
    assert len(found) == FILES
    warm = statistics.median(took)
    yield Row(
        "LoadEmbeddings, the first time",
        round(cold, 2),
        "s CPU",
        "<= 20",
        cold <= 20,
        f"its fingerprint, which a run begins with; {WHAT}, none seen before",
    )
    yield Row(
        "LoadEmbeddings, warm",
        round(1000 * warm, 1),
        "ms CPU",
        "<= 200",
        warm <= 0.2,
        f"the same in the same session, nothing changed; median of {ROUNDS}",
    )
