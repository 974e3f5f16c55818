"""Learning rates as A1111 writes them, and warmup and decay as in diffusers."""

from __future__ import annotations

import pytest
import torch
from diffusers.optimization import get_scheduler

from nodes.sd.training_loop.rate_schedule import Decay, RateShape, parse_rates


def test_each_rate_holds_through_its_last_step() -> None:
    rates = parse_rates("0.005:100, 1e-3:1000, 1e-5")
    assert [rates.at(step - 1) for step in (1, 100, 101, 1000, 1001, 99999)] == [
        0.005, 0.005, 1e-3, 1e-3, 1e-5, 1e-5,
    ]  # fmt: skip
    assert rates.end is None


@pytest.mark.parametrize(
    ("decay", "name"), [("none", "constant_with_warmup"), ("linear", "linear"), ("cosine", "cosine")]
)
@pytest.mark.parametrize("warmup", [0, 1, 3, 12])
def test_warmup_and_decay_are_those_of_diffusers(decay: Decay, name: str, warmup: int) -> None:
    steps = 10
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=steps)
    shape = RateShape(warmup, decay, steps)
    for step in range(steps):
        assert shape.factor(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(
    ("text", "end"),
    [("0.005", None), (".1:-1", None), (" , 1e-4:5,, 2E-4 : 9 ,", 9), ("0", None), ("5:1", 1)],
)
def test_a_schedule_may_end(text: str, end: int | None) -> None:
    assert parse_rates(text).end == end


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("fast", 1),
        ("0.1:5, x:9", 8),
        ("0.1:5:9", 5),
        ("0.1:0", 5),
        ("0.1:9, 0.2:9", 12),
        ("0.1, 0.2:9", 6),
        ("nan", 1),
        ("1e999", 1),
        ("-1:5", 1),
        ("0.1:1e3", 5),
    ],
)
def test_a_malformed_schedule_is_refused_with_the_place(text: str, place: int) -> None:
    with pytest.raises(ValueError, match=f"at character {place}:"):
        parse_rates(text)


def test_an_empty_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        parse_rates(" , ")
