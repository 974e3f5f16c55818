"""TrainHypernetwork and SaveHypernetwork: A1111's format and layers, resuming, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.document.graph import From
from engine.session import Session
from engine.step_requests import Requests
from engine.testing import run_node
from nodes.model.hypernetwork import ApplyHypernetwork
from nodes.model.load import LoadModel
from nodes.model.save_hypernetwork import SaveHypernetwork
from nodes.sd.hypernetworks.hypernetwork_value import Hypernetwork
from nodes.values import Model
from tests.nodes.conftest import output
from tests.nodes.training.test_train_ti import Watcher
from tests.nodes.trainings import draw_squares, problem_of, training

OWN: dict[str, Any] = {"rate": "0.01", "activation": "relu", "layer_structure": "1, 1.5, 2, 1"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_squares(tmp_path_factory.mktemp("squares"))


def graph(pictures: Path, **inputs: Any) -> Any:
    return training("TrainHypernetwork@1", pictures, ["hypernetwork", "report"], **{**OWN, **inputs})


def trained(session: Session, work: Any, watcher: Watcher | None = None) -> Hypernetwork:
    found = output(session.run(work, emit=watcher or Watcher()), "hypernetwork")
    assert isinstance(found, Hypernetwork)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Hypernetwork:
    """A hypernetwork with every kind of layer, after two steps."""
    from engine.testing import open_session

    with open_session(tmp_path_factory.mktemp("made")) as session:
        return trained(session, graph(pictures, steps=2, dropout=0.3, layer_norm=True))


def module_of_a1111(tree: dict[Any, Any], width: int) -> nn.Sequential:
    """The layers that A1111 builds of a file."""
    structure, linears = tree["layer_structure"], list[nn.Module]()
    for i in range(len(structure) - 1):
        linears.append(nn.Linear(int(width * structure[i]), int(width * structure[i + 1])))
        if not (
            tree["activation_func"] in ("linear", None)
            or (i >= len(structure) - 2 and not tree["activate_output"])
        ):
            linears.append({"relu": nn.ReLU}[tree["activation_func"]]())
        if tree["is_layer_norm"]:
            linears.append(nn.LayerNorm(int(width * structure[i + 1])))
        if tree["dropout_structure"] is not None and tree["dropout_structure"][i + 1] > 0:
            linears.append(nn.Dropout(tree["dropout_structure"][i + 1]))
    return nn.Sequential(*linears)


def test_the_file_is_one_of_a1111_and_acts_as_the_trained_one(
    session: Session, home: Path, made: Hypernetwork
) -> None:
    saved = Path(str(run_node(session, SaveHypernetwork(hypernetwork=made))["out"]))
    assert (saved.parent.name, saved.name) == ("hypernetworks", "ink.pt")
    tree = torch.load(saved, weights_only=True)
    widths = [key for key in tree if isinstance(key, int)]
    assert widths == made.widths
    assert (tree["name"], tree["step"], tree["use_dropout"]) == ("ink", 2, True)
    assert tree["dropout_structure"] == [0, 0.3, 0, 0]

    place = home / "models" / "hypernetworks" / "ink.pt"
    place.parent.mkdir(parents=True)
    place.write_bytes(saved.read_bytes())
    base = run_node(session, LoadModel())["model"]
    assert isinstance(base, Model)
    nodes = (ApplyHypernetwork(model=base, trained=made), ApplyHypernetwork(model=base, hypernetwork="ink"))
    models = [run_node(session, node)["out"] for node in nodes]
    models.append(type(base).unpack(models[0].pack().meta, {p.name: p.data for p in models[0].pack().parts}))  # type: ignore[attr-defined]
    plain = base.exact(session.files)
    for model in models:
        assert isinstance(model, Model)
        unet = model.exact(session.files)
        for name in ("attn1", "attn2"):
            path = f"mid_block.attentions.0.transformer_blocks.0.{name}"
            for side, which in (("to_k", 0), ("to_v", 1)):
                linear = plain.get_submodule(path).get_submodule(side)
                x = torch.randn(2, 5, linear.weight.shape[1], generator=torch.Generator().manual_seed(1))
                theirs = module_of_a1111(tree, x.shape[-1]).eval()
                state: dict[str, Tensor] = tree[x.shape[-1]][which]
                theirs.load_state_dict({key.removeprefix("linear."): one for key, one in state.items()})
                found = unet.get_submodule(path).get_submodule(side)(x)
                assert torch.allclose(found, linear(x + theirs(x)), atol=1e-6)
                assert not torch.allclose(found, linear(x), atol=1e-4)


def test_stopped_and_run_again_it_gives_the_same_bits(
    open_session: Callable[..., Session], pictures: Path, tmp_path: Path
) -> None:
    work = graph(pictures, steps=2, checkpoint_every=1, dropout=0.3)
    whole = trained(open_session(tmp_path / "whole"), work)
    session, requests = open_session(), Requests()
    first = Watcher(lambda step: requests.ask("train", "stop") if step == 1 else None)
    assert session.run(work, emit=first, requests=requests).state == "cancelled"
    second = Watcher()
    assert trained(open_session(), work, second).pack() == whole.pack()
    assert first.steps + second.steps == [1, 2]


def test_it_learns_and_publishes_files_of_a1111(session: Session, pictures: Path) -> None:
    work = graph(pictures, steps=4, copy_every=4, validate_every=4, layer_structure="1, 2, 1", rate="0.02")
    work.nodes["train"].inputs["validation"] = From("data", "out")
    watcher = Watcher()
    made = trained(session, work, watcher)
    losses = [row["validation_loss"] for row in watcher.rows if "validation_loss" in row]
    assert losses[0] is not None
    assert losses[-1] is not None
    assert losses[-1] < 0.97 * losses[0]
    tree = torch.load(watcher.published()["hypernetworks/ink-000004.pt"], weights_only=True)
    width = made.widths[0]
    assert torch.equal(tree[width][0]["linear.0.weight"], made.tensors[f"{width}.k.linear.0.weight"])


@pytest.mark.parametrize("kind", ["XavierUniform", "XavierNormal", "KaimingUniform", "KaimingNormal"])
def test_first_weights_have_the_deviation_of_the_method(kind: Any) -> None:
    from nodes.sd.hypernetworks.layout import Layout
    from nodes.sd.hypernetworks.new import new_network

    network = new_network(Layout(activation="relu"), 256, kind, torch.Generator().manual_seed(0), lambda x: x)
    inputs, outputs = 256, 512
    expected = (2 / (inputs + outputs if kind.startswith("Xavier") else inputs)) ** 0.5
    weight = network[0].weight
    assert isinstance(weight, Tensor)
    assert float(weight.detach().std()) == pytest.approx(expected, rel=0.02)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"layer_structure": "2, 1"}, "layer_structure", "bad_structure"),
    ({"layer_structure": "1, x, 1"}, "layer_structure", "bad_structure"),
    ({"layer_structure": "1, nan, 1"}, "layer_structure", "bad_structure"),
    ({"layer_structure": "1, 100, 1"}, "layer_structure", "bad_structure"),
    ({"layer_structure": "1, 2, 1", "dropout": 0.5}, "dropout", "no_dropout"),
    ({"widths": "77"}, "widths", "no_targets"),
    ({"widths": "a"}, "widths", "no_targets"),
    ({"rate": "1e9", "steps": 3}, "rate", "diverged"),
    ({"class_prompt": "a square"}, "class_images", "missing_class_images"),
]


def test_invalid_trainings_are_refused(session: Session, pictures: Path) -> None:
    for inputs, input, code in REFUSED:
        report = session.run(graph(pictures, **{"steps": 1, **inputs}))
        assert problem_of(report) == (input, code), inputs
