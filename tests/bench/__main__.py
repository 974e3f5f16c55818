"""Runs every benchmark and prints a table: `python -m tests.bench [WORD ...]`.

With words, only the benchmarks whose names contain one of them are run. The rows of each benchmark replace
the earlier ones in `results.json` at once; if a benchmark fails, the others are still run.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import (
    cached_rerun,
    canvas,
    engine_overhead,
    first_picture,
    lora,
    lora_training,
    memory,
    model_swap,
    new_process,
    peers,
    prompts,
    sampling,
    scan,
    server,
    server_stops,
    sweep,
    text_to_image,
    training,
)
from tests.bench.bench import BENCHES, Row, rows_of

__all__ = [
    "cached_rerun",
    "canvas",
    "engine_overhead",
    "first_picture",
    "lora",
    "lora_training",
    "memory",
    "model_swap",
    "new_process",
    "peers",
    "prompts",
    "sampling",
    "scan",
    "server",
    "server_stops",
    "sweep",
    "text_to_image",
    "training",
]  # register themselves

RESULTS = Path(__file__).parent / "results.json"


def main(words: list[str]) -> int:
    """Measure; returns 1 if a goal was missed or a benchmark failed."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    rows: list[Row] = []
    failed = False
    for measure in BENCHES:
        if words and not any(word in measure.__name__ for word in words):
            continue
        console.print(f"measuring {measure.__name__} ...", style="dim")
        try:
            with ProcessPoolExecutor(1, get_context("spawn")) as alone:  # none inherits another's heap
                found = alone.submit(rows_of, measure).result()
        except Exception:
            console.print_exception(max_frames=2)
            failed = True
            continue
        rows += found
        write(measure.__name__, found)
    table = Table("what", "value", "unit", "peer", "ratio", "goal", "")
    for row in rows:
        peer, ratio = ("" if number is None else f"{number:g}" for number in (row.peer, row.ratio))
        mark = "[green]ok[/]" if row.ok else "[red]missed[/]"
        table.add_row(row.name, f"{row.value:g}", row.unit, peer, ratio, row.goal, mark)
    console.print(table)
    return 1 if failed or not all(row.ok for row in rows) else 0


def write(benchmark: str, rows: list[Row]) -> None:
    """Replace the rows of one benchmark in `results.json`, and drop those of deleted benchmarks."""
    places = {measure.__name__: place for place, measure in enumerate(BENCHES)}
    kept = [
        row
        for row in json.loads(RESULTS.read_text("utf-8"))
        if row["benchmark"] in places and row["benchmark"] != benchmark
    ]
    order = ("name", "value", "unit", "peer", "ratio", "goal", "ok", "conditions")
    new = [{"benchmark": benchmark, **{key: asdict(row)[key] for key in order}} for row in rows]
    told = sorted([*kept, *new], key=lambda row: places[row["benchmark"]])
    RESULTS.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
