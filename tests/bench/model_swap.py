"""What changing from one model to another and back costs, against copying the bytes of one."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from engine import settings
from engine.document.graph import Entry, From, Graph, Literal
from engine.session import Session
from tests.bench.bench import Row, bench, new_home, stopwatch

CHANNELS = [128, 256, 512, 512]
ROUNDS = 5


def recipe(session: Session, model: str) -> Any:
    """The recipe of a model's UNet."""
    load = Entry("LoadModel@1", {"model": Literal(model)})
    report = session.run(Graph({"load": load}, outputs={"model": From("load", "model")}))
    return report["model"]


@bench
def model_swap() -> Iterator[Row]:
    """Two UNets, of which the memory budget holds one."""
    import torch

    from tests.nodes.sd.families.small import small_model

    torch.set_num_threads(1)
    with new_home() as home:
        for seed, name in enumerate("ab"):
            made = small_model("sd1", seed=seed, block_out_channels=CHANNELS)
            made.save_folder(home / "models" / "checkpoints" / name)
        weights = list(made.networks["unet"].parameters())
        copies = [tensor.clone() for tensor in weights]
        size = sum(tensor.nbytes for tensor in weights)
        given: list[Any] = [torch.ones(1, 4, 8, 8), torch.tensor(5), torch.ones(1, 77, 32)]
        with Session(settings.load(home, device="cpu", dtype="float32", loaded_budget=size)) as session:
            recipes = {name: recipe(session, name) for name in "ab"}
            answers: dict[str, list[Any]] = {"a": [], "b": []}
            swapped, copied = [], []
            for _ in range(ROUNDS):
                for name in "ab":
                    with stopwatch() as took:
                        unet = session.residency.use(recipes[name], session.compute, session.files)
                    swapped.append(took.cpu)
                    answers[name].append(unet(*given).sample)
                with stopwatch() as took:
                    for tensor, target in zip(weights, copies, strict=True):
                        target.copy_(tensor)
                copied.append(took.cpu)
    equal = all(torch.equal(answer, found[0]) for found in answers.values() for answer in found)
    swap, copy = statistics.median(swapped), statistics.median(copied)
    yield Row(
        "model swap A-B-A",
        round(1000 * swap, 1),
        "ms CPU",
        "<= 1.3 of the peer and predictions bit-equal",
        swap <= 1.3 * copy and equal,
        f"two UNets of {size >> 20} MiB in float32, of which one fits into the budget, from the page cache;"
        f" predictions {'' if equal else 'NOT '}bit-equal; the peer copies the bytes of one; medians",
        peer=round(1000 * copy, 1),
        ratio=round(copy / swap, 3),
    )
