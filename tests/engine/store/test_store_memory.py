"""What is kept in memory, how it is counted and what goes first."""

import random
import threading

import numpy as np
import pytest

from engine.packing import pack
from engine.store.memory import Memory
from engine.store.store import Result, StoredResult
from engine.values import nbytes
from tests.engine.store.kept_grid import Grid
from tests.engine.store.kept_values import Note, key, result


def grid(count: int, fill: float = 0.0) -> Grid:
    return Grid(np.full(count, fill, np.uint8))


def test_gives_back_the_very_values() -> None:
    memory = Memory(10_000)
    value = grid(100)
    saved = result(value, {"x": 1}, seconds=2.5, made=7.0)
    memory.save("k", saved)
    loaded = memory.load("k")
    assert loaded is saved
    assert memory.where(["k", "other"]) == {"k": StoredResult("memory", 2.5, 7.0)}
    assert memory.load("other") is None
    assert memory.packed("k", "a") == pack(value)
    assert memory.packed("k", "z") is None
    assert memory.packed("other", "a") is None


def test_a_held_key_is_left_as_it_is() -> None:
    memory = Memory(10_000)
    first = result(1)
    memory.save("k", first)
    before = memory.bytes
    memory.save("k", result("something longer than before"))
    assert memory.load("k") is first
    assert memory.bytes == before


def test_larger_than_the_budget_is_not_kept_and_evicts_nothing() -> None:
    memory = Memory(5_000)
    memory.save("small", result(grid(100)))
    memory.save("large", result(grid(6_000), seconds=1e9))
    assert set(memory.where(["small", "large"])) == {"small"}


def test_counts_what_values_say() -> None:
    memory = Memory(100_000)
    outputs = {"a": grid(1000), "b": ["text", {"x": 1}]}
    memory.save("k", result(*outputs.values()))
    assert memory.bytes == nbytes(outputs)


def test_a_shared_array_counts_once_and_until_its_last_holder_goes() -> None:
    memory = Memory(100_000)
    shared = grid(10_000)
    memory.save("one", result(shared))
    alone = memory.bytes
    memory.save("two", result(shared, "and more"))
    assert memory.bytes - alone < 1000
    memory.save("evicts the first two", result(grid(89_700), seconds=100.0))
    assert set(memory.where(["one", "two", "evicts the first two"])) == {"evicts the first two"}
    assert memory.bytes == nbytes({"a": grid(89_700)})


def test_cheap_for_its_size_goes_first() -> None:
    memory = Memory(4_000)
    memory.save("dear", result(grid(1000), seconds=10.0))
    memory.save("cheap", result(grid(1000), seconds=0.1))
    memory.save("middle", result(grid(1000), seconds=1.0))
    memory.save("next", result(grid(1000), seconds=5.0))
    assert set(memory.where(["dear", "cheap", "middle", "next"])) == {"dear", "middle", "next"}


def test_of_equal_cost_the_larger_result_is_evicted_first() -> None:
    memory = Memory(6_000)
    memory.save("large", result(grid(4000)))
    memory.save("small", result(grid(500)))
    memory.save("next", result(grid(2000), seconds=9.0))
    assert set(memory.where(["large", "small", "next"])) == {"small", "next"}


def test_of_equal_worth_the_least_recently_used_is_evicted_first() -> None:
    memory = Memory(3_600)
    for name in "abc":
        memory.save(name, result(grid(1000)))
    memory.load("a")
    memory.save("d", result(grid(1000)))
    assert set(memory.where(list("abcd"))) == {"a", "c", "d"}


def test_a_dear_result_that_nobody_uses_goes_in_the_end() -> None:
    memory = Memory(3_600)
    memory.save("dear", result(grid(1000), seconds=10.0))
    for n in range(30):
        memory.save(f"{n}", result(grid(1000), seconds=1.0))
    assert "dear" not in memory.where(["dear"])


def test_a_dear_result_in_use_stays() -> None:
    memory = Memory(3_600)
    memory.save("dear", result(grid(1000), seconds=10.0))
    for n in range(30):
        memory.save(f"{n}", result(grid(1000), seconds=1.0))
        assert memory.load("dear") is not None


def test_never_holds_more_than_its_budget() -> None:
    chance = random.Random(5)
    memory = Memory(50_000)
    arrays = [grid(chance.randrange(1, 12_000)) for _ in range(40)]
    held: dict[str, Result] = {}
    for n in range(600):
        values = [chance.choice(arrays) for _ in range(chance.randrange(1, 4))]
        saved = held[key(n % 150)] = memory.load(key(n % 150)) or result(*values, seconds=chance.random())
        memory.save(key(n % 150), saved)
        assert 0 <= memory.bytes <= 50_000
        # The count agrees with counting all arrays that can still be reached, each once.
        kept = [memory.load(k) for k in memory.where(list(held))]
        reached = {
            id(v): v.array.nbytes for r in kept if r for v in r.outputs.values() if isinstance(v, Grid)
        }
        assert sum(reached.values()) <= memory.bytes
    memory.clear()
    assert memory.bytes == 0
    assert memory.where(list(held)) == {}


def test_a_value_without_bytes_is_kept_but_does_not_pack() -> None:
    memory = Memory(10_000)
    memory.save("k", result(object()))
    assert memory.load("k") is not None
    with pytest.raises(TypeError):
        memory.packed("k", "a")


def test_memory_store_is_thread_safe() -> None:
    memory = Memory(20_000)
    wrong: list[object] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(1500):
            n = chance.randrange(60)
            found = memory.load(key(n))
            if found is None:
                memory.save(key(n), result(Note(str(n)), grid(1000, n)))
            elif found.outputs["a"] != Note(str(n)):
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert memory.bytes <= 20_000
    assert memory.where([key(n) for n in range(60)])
