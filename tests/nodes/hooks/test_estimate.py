"""The estimate of a plan: bytes of models against the ledger of the run, memory and time against the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import settings
from engine.context import Context
from engine.document.graph import From, Literal
from engine.session import Session
from engine.session.estimate import Estimate
from engine.sources import source
from tests.nodes.conftest import GRAPHS
from tests.nodes.model.test_lora import RECOLOUR
from tests.nodes.model.test_lora import graph as with_loras
from tests.nodes.sd.families.small import small_model

DRAW = source.load(GRAPHS / "text_to_image.json")
SMALL: dict[str, Any] = {"steps": 2, "width": 64, "height": 64}


def opened(home: Path, **given: Any) -> Session:
    folders = {"loras": [RECOLOUR.parent]}
    return Session(settings.load(home, device="cpu", folders=folders, **given))


def estimated(session: Session, graph: Any = DRAW, **values: Any) -> Estimate:
    return session.estimate(session.plan(graph, {**SMALL, **values}, name="graph"))


@pytest.fixture
def reserved(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What each step reserves when it runs."""
    found: dict[str, int] = {}
    reserve = Context.reserve

    def note(self: Context, size: int, work: str) -> None:
        found[self._node] = size
        reserve(self, size, work)

    monkeypatch.setattr(Context, "reserve", note)
    return found


@pytest.mark.parametrize(
    "given", [{}, {"dtype": "bfloat16", "vae_dtype": "bfloat16"}, {"storage_dtype": "float8_e4m3fn"}]
)
def test_the_bytes_are_those_that_the_run_loads_and_reserves(
    tmp_path: Path, reserved: dict[str, int], given: dict[str, Any]
) -> None:
    with opened(tmp_path, **given) as session:
        expected = estimated(session)
        assert session.run(DRAW, SMALL, name="graph").state == "done"
        rows = {row.label.split()[0]: row.size for row in session.residency.ledger()}
        sizes = {
            name: expected.of_step(node).models for name, node in (("Vae", "decode"), ("Model", "denoise"))
        }
        for name, size in sizes.items():
            norms = 1.3 if name == "Model" and "storage_dtype" in given else 1.01  # these stay in float32
            assert size is not None
            assert size <= rows[name] * 1.01
            assert rows[name] <= size * norms
        for node in ("denoise", "decode"):
            assert expected.of_step(node).memory == reserved[node]
    assert expected.models == sum(
        expected.of_step(node).models or 0 for node in ("positive", "denoise", "decode")
    )
    assert expected.peak == expected.models + reserved["decode"]
    assert (expected.device, expected.free is not None) == ("cpu", True)


def test_the_peak_keeps_the_budget_and_what_is_offloaded_leaves(tmp_path: Path) -> None:
    with opened(tmp_path, offload="components") as session:
        expected = estimated(session)
        steps = [expected.of_step(node) for node in ("positive", "denoise", "decode")]
        assert expected.peak == max((step.models or 0) + (step.memory or 0) for step in steps)
        assert expected.peak < expected.models + (steps[2].memory or 0)


def test_times_are_those_of_the_last_run_in_proportion_to_the_work(tmp_path: Path) -> None:
    with opened(tmp_path) as session:
        new = estimated(session)
        assert (new.seconds, new.unknown) == (0, len(new.steps))
        session.run(DRAW, SMALL, name="graph")
        steps = session.plan(DRAW, SMALL, name="graph").steps
        kept = session.store.where([step.key for step in steps.values() if step.key])
        took, decoding = (kept[steps[node].key or ""].seconds for node in ("denoise", "decode"))
        assert estimated(session).steps == {}
        longer = estimated(session, steps=6)
        assert longer.of_step("denoise").seconds == pytest.approx(3 * took, abs=1e-3)
        assert longer.of_step("decode").seconds == pytest.approx(decoding, abs=1e-3)
        assert longer.seconds == pytest.approx(3 * took + decoding, abs=1e-3)
        assert longer.unknown == 0
        larger = estimated(session, width=128).of_step("denoise").seconds
        assert larger is not None
        assert larger > 2 * took
    with opened(tmp_path, dtype="bfloat16") as session:
        assert estimated(session).of_step("denoise").seconds is None, "another precision takes another time"


def test_sizes_and_models_are_followed_through_the_graph(tmp_path: Path, reserved: dict[str, int]) -> None:
    hires = source.load(GRAPHS / "hires_fix.json")
    with opened(tmp_path) as session:
        expected = session.estimate(session.plan(hires, {}))
        patched = estimated(session, with_loras({"lora": RECOLOUR.name}))
        plain = estimated(session)
    later = [step.memory for node, step in expected.steps.items() if node.startswith(("refine", "denoise"))]
    assert len(later) >= 1
    assert all(later)
    assert (patched.of_step("denoise").models or 0) == 2 * (plain.of_step("denoise").models or 0)


def test_a_single_file_is_measured_by_its_header_and_an_unknown_size_is_no_error(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "checkpoints"
    folder.mkdir(parents=True)
    model = small_model("sdxl")
    model.save_file(folder / "base.safetensors")
    whole = {part: sum(tensor.numel() for tensor in net.parameters()) for part, net in model.networks.items()}
    graph = source.load(GRAPHS / "text_to_image.json")
    graph.nodes["model"].inputs["model"] = Literal("base")
    with opened(tmp_path) as session:
        expected = estimated(session, graph)
        assert expected.of_step("denoise").models == 4 * whole["unet"]
        assert expected.of_step("decode").models == 4 * whole["vae"]
        text = expected.of_step("positive").models or 0
        assert text == pytest.approx(4 * (whole["text_encoder"] + whole["text_encoder_2"]), rel=0.01)
        picture = source.load(GRAPHS / "image_to_image.json")
        found = session.estimate(session.plan(picture, {}))
        assert found.of_step("denoise").models
        del graph.nodes["model"].inputs["model"]
        graph.nodes["unet"] = source.load(GRAPHS / "text_to_image.json").nodes["canvas"]
        graph.nodes["denoise"].inputs["latent"] = From("unet", "out")
        assert session.estimate(session.plan(graph, SMALL)).of_step("denoise").memory
