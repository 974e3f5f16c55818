"""The warnings that a check gives before anything runs, with models from every loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.document.graph import Entry, From, Graph, Literal
from engine.document.reader import from_json
from engine.session import Session
from nodes.sd.models.canvas import far_larger
from tests.nodes.model.test_network_files import alone, place, small_families
from tests.nodes.sd.families.small import small_model

__all__ = ["small_families"]

SIZE = 128
"""Width and height that the embedded model was trained on."""
TEXT = {"type": "EncodePrompt", "inputs": {"encoder": {"from": "load.encoder"}, "prompt": ""}}


def graph(latent: str, **nodes: dict[str, Any]) -> Graph:
    """A graph whose Denoise takes the model of `load` and a latent of another node."""
    wires = {"model": "load.model", "positive": "text.out", "negative": "text.out", "latent": latent}
    inputs = {name: {"from": wire} for name, wire in wires.items()}
    denoise = {"type": "Denoise", "inputs": {**inputs, "steps": 1, "strength": 0.0}}
    tree = {"load": {"type": "LoadModel"}, "text": TEXT, "denoise": denoise, **nodes}
    return from_json({"safelight": 1, "nodes": tree, "outputs": {"out": {"from": "denoise.latent"}}})


def empty(width: object, **inputs: object) -> dict[str, Any]:
    return {"type": "EmptyLatent", "inputs": {"width": width, "height": SIZE, **inputs}}


def node(kind: str, input: str, source: str, **inputs: object) -> dict[str, Any]:
    return {"type": kind, "inputs": {input: {"from": source}, **inputs}}


def advised(session: Session, made: Graph) -> list[tuple[str, str | None, str | None, str]]:
    checked = session.check(made)
    return [(item.code, item.node, item.input, item.message) for item in session.advice(checked)]


def warning(width: int, height: int, trained: int = SIZE) -> list[tuple[str, str, str, str]]:
    message = far_larger((trained, trained), (width, height))
    assert message is not None
    return [("large_canvas", "denoise", "latent", message)]


def test_the_size_is_that_of_the_latent_after_it_was_resized(session: Session) -> None:
    scaled = graph(
        "large.out", small=empty(SIZE), large=node("ScaleLatent", "latent", "small.out", factor=2.5)
    )
    assert advised(session, scaled) == warning(320, 320)
    report = session.run(scaled)
    assert report.state == "done", report.problems
    assert report.warnings["denoise"] == [warning(320, 320)[0][3]], "the run warns in the same words"
    cut = node("CropLatent", "latent", "wide.out", width=SIZE, height=SIZE)
    assert advised(session, graph("cut.out", wide=empty(10 * SIZE), cut=cut)) == []
    assert advised(session, graph("wide.out", wide=empty(10 * SIZE))) == warning(10 * SIZE, SIZE)


def test_a_size_that_only_the_run_knows_is_no_warning(session: Session) -> None:
    wide = empty(10 * SIZE)
    image = node("Decode", "latent", "wide.out", vae={"from": "load.vae"})
    again = node("Encode", "image", "changed.out", vae={"from": "load.vae"})
    for changed in (
        node("CropImage", "image", "image.out", width=SIZE, height=SIZE),
        node("ResizeImage", "image", "image.out", width=10 * SIZE, height=10 * SIZE, fit="inside"),
    ):
        assert (
            advised(session, graph("again.out", wide=wide, image=image, changed=changed, again=again)) == []
        )
    resized = node("ResizeImage", "image", "image.out", width=10 * SIZE, height=SIZE)
    found = advised(session, graph("again.out", wide=empty(64), image=image, changed=resized, again=again))
    assert found == warning(10 * SIZE, SIZE)


def test_the_number_of_pictures_does_not_matter(session: Session) -> None:
    count = {"type": "If", "inputs": {"condition": True, "then": 2, "otherwise": 3}}
    made = graph("wide.out", wide=empty(10 * SIZE, batch={"from": "count.out"}), count=count)
    assert advised(session, made) == warning(10 * SIZE, SIZE)


@pytest.mark.usefixtures("small_families")
def test_a_model_in_a_file_of_its_own_is_known_too(session: Session, home: Path) -> None:
    model = small_model("sdxl", projection_class_embeddings_input_dim=24 + 8 * 6)
    place(home, "unet", "xl.safetensors", alone(model, "unet", "bare"))
    made = graph("wide.out", wide=empty(8 * 1024))
    made.nodes["alone"] = Entry("LoadUnet@1", {"unet": Literal("xl")})
    made.nodes["patched"] = Entry(
        "ApplyHypernetwork@1", {"model": From("alone", "out"), "strength": Literal(0.0)}
    )
    made.nodes["denoise"].inputs["model"] = From("patched", "out")
    assert advised(session, made) == []
    made.nodes["wide"].inputs["height"] = Literal(1024)
    assert advised(session, made) == warning(8 * 1024, 1024, 1024)
    made.nodes["alone"].inputs["unet"] = Literal("absent")
    assert advised(session, made) == [], "the check of the files reports it"


@pytest.mark.parametrize(("guidance", "count"), [(1.0, 0), (4.0, 1)])
def test_guidance_of_a_distilled_model_is_warned_about(
    session: Session, home: Path, guidance: float, count: int
) -> None:
    small_model("flux").save_folder(home / "models" / "checkpoints" / "flux")
    made = graph("small.out", small=empty(SIZE))
    made.nodes["load"].inputs["model"] = Literal("flux")
    made.nodes["denoise"].inputs["guidance"] = Literal(guidance)
    found = advised(session, made)
    assert [(code, node, input) for code, node, input, _ in found] == [
        ("unsuited_guidance", "denoise", "guidance")
    ] * count
    report = session.run(made)
    assert report.state == "done", report.problems
    assert report.warnings.get("denoise", []) == [message for *_, message in found]
