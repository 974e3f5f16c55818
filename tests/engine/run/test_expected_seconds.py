"""Which steps are expected to be quick."""

from engine.context import Context
from engine.node import Node
from engine.packs.registry import Registry
from engine.plan.step import Step
from engine.run.expected_seconds import ExpectedSeconds
from tests.engine.small_nodes import Bench, graph_of


class Host(Node):
    """Computes on the host."""

    def run(self, ctx: Context) -> int:
        return 1


class Device(Node, accelerator=True):
    """Computes on the device."""

    def run(self, ctx: Context) -> int:
        return 1


def step_of(node_type: str) -> Step:
    bench = Bench(registry=Registry([Host, Device]))
    return bench.plan(graph_of({"it": (node_type, {})})).steps["it"]


def test_a_type_that_never_ran_may_be_slow() -> None:
    assert not ExpectedSeconds().is_quick(step_of("Host"))


def test_the_newest_steps_of_a_type_decide() -> None:
    expected, step = ExpectedSeconds(), step_of("Host")
    expected.add(step, 0.0001)
    assert expected.is_quick(step)
    expected.add(step, 10.0)
    assert not expected.is_quick(step)
    for _ in range(100):
        expected.add(step, 0.0001)
    assert expected.is_quick(step)


def test_one_pause_of_the_machine_makes_no_type_slow() -> None:
    expected, step = ExpectedSeconds(), step_of("Host")
    expected.add(step, 0.0001)
    expected.add(step, 0.02)
    assert expected.is_quick(step)


def test_a_step_on_the_device_is_never_quick() -> None:
    """A training with no steps is quick, and the next one takes an hour."""
    expected, step = ExpectedSeconds(), step_of("Device")
    expected.add(step, 0.0001)
    assert not expected.is_quick(step)
