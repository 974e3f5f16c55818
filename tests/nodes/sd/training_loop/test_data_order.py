"""The order of the data: each epoch all of it, by the seed alone."""

from __future__ import annotations

import pytest

from nodes.sd.training_loop.data_order import DataOrder


def test_an_epoch_has_each_item_once_and_a_new_order() -> None:
    order = DataOrder([0] * 12, 4, seed=1)
    epochs = [[order.batch(3 * epoch + n) for n in range(3)] for epoch in range(3)]
    for epoch in epochs:
        assert sorted(item for batch in epoch for item in batch) == list(range(12))
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_order_follows_from_the_seed_and_the_place() -> None:
    first, second = DataOrder([0] * 12, 4, seed=1), DataOrder([0] * 12, 4, seed=1)
    late = second.batch(31)
    assert [first.batch(n) for n in range(32)][31] == late
    assert DataOrder([0] * 12, 4, seed=2).batch(31) != late


def test_a_batch_has_items_of_one_group_and_a_remainder_waits_for_the_next_epoch() -> None:
    groups = ["a"] * 5 + ["b"] * 3 + ["c"]
    order = DataOrder(groups, 2, seed=3)
    assert order.per_epoch == 2 + 1 + 1
    batches = [order.batch(n) for n in range(400)]
    assert all(len({groups[item] for item in batch}) == 1 for batch in batches)
    assert {len(batch) for batch in batches} == {1, 2}  # the only `c` is a batch of its own
    assert {item for batch in batches for item in batch} == set(range(9))


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ValueError, match="no items"):
        DataOrder([], 1, 0)
