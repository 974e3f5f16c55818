"""Embeddings in graphs: what they mean to the model, and that a run always sees the files as they are."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as pillow
from safetensors import safe_open
from safetensors.torch import load, save_file
from torch import Tensor

from engine.devices.compute import ComputeSettings
from engine.document.graph import Binding, Entry, From, Graph, Literal
from engine.errors import GraphError, NodeError
from engine.events import Event
from engine.packing import unpack
from engine.session import Session
from engine.sources import source
from engine.testing import run_node
from nodes.model.embeddings import LoadEmbeddings, OpenEmbedding, SaveEmbedding
from nodes.model.load import LoadModel
from nodes.prompt.encode_prompt import EncodePrompt
from nodes.sd.embeddings.embedding import Embedding
from nodes.sd.embeddings.saved import as_safetensors
from nodes.sd.inspection.convert import convert
from nodes.sd.models import weights
from nodes.sd.models.folder import describe_folder
from nodes.sd.models.tokenizer import load_tokenizer
from nodes.values import Conditioning, Image, TextEncoder
from tests.nodes.conftest import GRAPHS, output, ran, warnings
from tests.nodes.sd.conftest import TINY
from tests.nodes.sd.formats.tools import a1111, vectors
from tests.nodes.sd.tiny.judge import look

COMPUTE = ComputeSettings()

GRAPH = Graph(
    nodes={
        "model": Entry("LoadModel@1", {}),
        "words": Entry("LoadEmbeddings@1", {"encoder": From("model", "encoder")}),
        "text": Entry(
            "EncodePrompt@2", {"encoder": From("words", "out"), "prompt": Literal("a <ruby> circle")}
        ),
    },
    outputs={"image": From("text", "out")},
)


@pytest.fixture(scope="module")
def red() -> Tensor:
    """What the model's text encoder reads for the word `red`."""
    folder = describe_folder(TINY)
    tokenizer, encoder = load_tokenizer(folder), weights.load_text_encoder(folder)
    (number,) = tokenizer("red", add_special_tokens=False).input_ids
    row: Tensor = encoder.get_input_embeddings().weight[number].detach().clone()
    return row[None]


@pytest.fixture
def folder(home: Path) -> Path:
    place = home / "models" / "embeddings"
    place.mkdir(parents=True)
    return place


def plain(session: Session) -> TextEncoder:
    found = run_node(session, LoadModel())["encoder"]
    assert isinstance(found, TextEncoder)
    return found


def taught(session: Session, **inputs: Any) -> tuple[TextEncoder, list[str]]:
    events: list[Event] = []
    node = LoadEmbeddings(encoder=plain(session), **inputs)
    found = run_node(session, node, emit=events.append)["out"]
    assert isinstance(found, TextEncoder)
    return found, warnings(events)


def encoded(session: Session, encoder: TextEncoder, prompt: str) -> tuple[Tensor, list[str]]:
    events: list[Event] = []
    made = run_node(session, EncodePrompt(encoder=encoder, prompt=prompt), emit=events.append)["out"]
    assert isinstance(made, Conditioning)
    return made.embeddings, warnings(events)


@pytest.mark.parametrize("written", ["<ruby>", "ruby", "embedding:ruby", "Ruby"])
def test_an_embedding_equal_to_a_word_says_that_word(
    session: Session, folder: Path, red: Tensor, written: str
) -> None:
    torch.save(a1111(red, name="gem"), folder / "ruby.pt")
    encoder, told = taught(session)
    assert told == []
    expected, _ = encoded(session, encoder, "a red circle, red")
    for prompt in (f"a {written} circle, {written}", f"a {written} circle, <gem>"):
        found, _ = encoded(session, encoder, prompt)
        assert torch.equal(found, expected)


@pytest.mark.parametrize("files", ["", "gems", "gems/ruby", "gems\\ruby.pt"])
def test_an_embedding_of_a_sub_folder_has_the_same_names_however_it_is_loaded(
    session: Session, folder: Path, red: Tensor, files: str
) -> None:
    (folder / "gems").mkdir()
    torch.save(a1111(red), folder / "gems" / "ruby.pt")
    encoder, told = taught(session, files=files)
    assert told == []
    expected, _ = encoded(session, encoder, "a red circle")
    for written in ("ruby", "embedding:gems/ruby", "embedding:gems\\ruby", "<gems/ruby>"):
        assert torch.equal(encoded(session, encoder, f"a {written} circle")[0], expected)


def test_several_vectors_take_as_many_places_in_their_order(session: Session, folder: Path) -> None:
    words = "red blue green"
    model = describe_folder(TINY)
    ids = load_tokenizer(model)(words, add_special_tokens=False).input_ids
    rows = weights.load_text_encoder(model).get_input_embeddings().weight[ids].detach().clone()
    torch.save({"<three>": rows}, folder / "x.bin")
    encoder, _ = taught(session)
    expected, _ = encoded(session, encoder, f"a {words} circle")
    assert torch.equal(encoded(session, encoder, "a <three> circle")[0], expected)


def test_without_its_trigger_the_model_is_unchanged(session: Session, folder: Path, red: Tensor) -> None:
    torch.save(a1111(red), folder / "ruby.pt")
    encoder, _ = taught(session)
    assert torch.equal(encoded(session, encoder, "a star")[0], encoded(session, plain(session), "a star")[0])
    assert encoder.identity == plain(session).identity


def test_the_weights_are_those_of_the_plain_model(session: Session, folder: Path, red: Tensor) -> None:
    torch.save(a1111(red), folder / "ruby.pt")
    encoder, _ = taught(session)
    assert session.residency.use(encoder, COMPUTE, session.files) is session.residency.use(
        plain(session), COMPUTE, session.files
    )


def test_a_wrong_width_is_told_with_the_file_and_both_widths(session: Session, folder: Path) -> None:
    torch.save(a1111(vectors(2, 768)), folder / "ruby.pt")
    encoder, _ = taught(session)
    found, told = encoded(session, encoder, "a <ruby> circle")
    (message,) = [line for line in told if "ruby.pt" in line]
    assert "768" in message
    assert "64" in message
    assert torch.equal(found, encoded(session, plain(session), "a <ruby> circle")[0])


def test_unusable_embedding_files_give_warnings_only(session: Session, folder: Path, red: Tensor) -> None:
    torch.save(a1111(red, sd_checkpoint=None, sd_checkpoint_name=None), folder / "ruby.pt")
    torch.save(a1111(red * float("nan")), folder / "broken.pt")
    reasons = {"pipe.pt": "pipe", "broken.pt": "NaN", "empty.pt": "empty"}
    (folder / "empty.pt").touch()
    os.mkfifo(folder / "pipe.pt")
    encoder, told = taught(session)
    assert len(told) == 3
    for line, (name, why) in zip(told, reasons.items(), strict=True):
        assert name in line
        assert why in line
    assert encoded(session, encoder, "a <ruby>")[1] == []
    (message,) = encoded(session, encoder, "a <broken>")[1]
    assert "broken.pt" in message
    assert "NaN" in message


def test_a_clash_is_told_of_the_name_that_was_written_and_of_no_other(
    session: Session, folder: Path, red: Tensor
) -> None:
    for number, name in enumerate(("ruby", "opal")):
        whole = a1111(red - number, name="gem", sd_checkpoint=None, sd_checkpoint_name=None)
        torch.save(whole, folder / f"{name}.pt")
    encoder, _ = taught(session)
    assert encoded(session, encoder, "a <ruby> and an opal")[1] == []
    (told,) = encoded(session, encoder, "a <opal>, a gem, the same gem")[1]
    assert told.startswith("'gem' means opal.pt. ruby.pt has the same trigger; write 'ruby'")


def test_an_unknown_trigger_is_not_silent(session: Session, folder: Path, red: Tensor) -> None:
    torch.save(a1111(red), folder / "ruby.pt")
    encoder, _ = taught(session)
    (told,) = encoded(session, encoder, "a <rubi>")[1]
    assert "<rubi>" in told
    assert "ruby" in told


def test_each_run_reads_the_current_embedding_files(
    open_session: Callable[[], Session], folder: Path, red: Tensor
) -> None:
    session = open_session()
    torch.save(a1111(red), folder / "ruby.pt")
    data = (folder / "ruby.pt").read_bytes()
    first = output(session.run(GRAPH)).embeddings
    assert ran(session.run(GRAPH)) == set()
    torch.save(a1111(-red), folder / "ruby.pt")
    changed = session.run(GRAPH)
    assert ran(changed) == {"words", "text"}
    assert not torch.equal(output(changed).embeddings, first)
    (folder / "ruby.pt").unlink()
    assert ran(session.run(GRAPH)) == {"words", "text"}
    (folder / "ruby.pt").write_bytes(data)
    back = open_session().run(GRAPH)
    assert ran(back) == set()
    assert torch.equal(output(back).embeddings, first)


def test_with_a_named_file_other_files_cause_no_rerun(
    open_session: Callable[[], Session], folder: Path, red: Tensor
) -> None:
    torch.save(a1111(red), folder / "ruby.pt")
    inputs: dict[str, Binding] = {"encoder": From("model", "encoder"), "files": Literal("ruby.pt")}
    graph = Graph({**GRAPH.nodes, "words": Entry("LoadEmbeddings@1", inputs)}, {}, GRAPH.outputs)
    session = open_session()
    assert ran(session.run(graph)) == {"model", "words", "text"}
    torch.save(a1111(red), folder / "other.pt")
    assert ran(session.run(graph)) == set()


def test_with_prompts_wired_only_named_embeddings_cause_a_rerun(
    open_session: Callable[[], Session], folder: Path, red: Tensor
) -> None:
    for name in ("ruby", "gem (old)", "other"):
        torch.save(a1111(red, name=name), folder / f"{name}.pt")
    written = "a <ruby> circle, gem \\(old\\)"
    inputs: dict[str, Binding] = {"encoder": From("model", "encoder"), "prompt": Literal(written)}
    text: dict[str, Binding] = {"encoder": From("words", "out"), "prompt": Literal(written)}
    nodes = {"words": Entry("LoadEmbeddings@1", inputs), "text": Entry("EncodePrompt@2", text)}
    graph = Graph({**GRAPH.nodes, **nodes}, {}, GRAPH.outputs)
    session = open_session()
    first = output(session.run(graph)).embeddings
    assert torch.equal(first, encoded(session, plain(session), "a red circle, red")[0])
    torch.save(a1111(-red), folder / "other.pt")
    torch.save(a1111(-red), folder / "new.pt")
    (folder / "junk.pt").write_bytes(b"junk")
    assert ran(session.run(graph)) == set()
    torch.save(a1111(-red), folder / "gem (old).pt")
    again = session.run(graph)
    assert ran(again) == {"words", "text"}
    assert not torch.equal(output(again).embeddings, first)
    (folder / "ruby.pt").unlink()
    events: list[Event] = []
    session.run(graph, emit=events.append)
    assert any("<ruby>" in line for line in warnings(events))


def test_a_named_file_that_is_no_embedding_is_refused(session: Session, folder: Path) -> None:
    pair = {f"lora_unet_x.lora_{side}.weight": torch.zeros(2, 2) for side in ("up", "down")}
    torch.save(pair, folder / "x.pt")
    with pytest.raises(NodeError, match=r"x\.pt") as refused:
        taught(session, files="x.pt")
    assert (refused.value.code, refused.value.input) == ("wrong_kind", "files")
    with pytest.raises(NodeError, match="'y"):
        taught(session, files="y.pt")


@pytest.mark.parametrize("name", ["ruby.safetensors", "ruby", "stones/ruby", "stones/ruby.safetensors"])
def test_a_file_needs_no_suffix_and_no_sub_folder(session: Session, folder: Path, name: str) -> None:
    path = folder / ("stones/ruby.safetensors" if name != "ruby.safetensors" else name)
    path.parent.mkdir(exist_ok=True)
    save_file({"emb_params": torch.ones(1, 64)}, path)
    encoder, _ = taught(session, files=name)
    (file,) = encoder.embeddings.files
    assert file.digest == session.files.digest(path)


def test_a_name_that_two_files_go_by_is_refused(session: Session, folder: Path) -> None:
    for place in ("one", "two"):
        (folder / place).mkdir()
        save_file({"emb_params": torch.ones(1, 64)}, folder / place / "ruby.safetensors")
    with pytest.raises(NodeError, match=r"one/ruby.*two/ruby") as refused:
        taught(session, files="ruby")
    assert refused.value.code == "ambiguous_name"


@pytest.mark.parametrize("name", ["../../x.pt", "/etc/passwd", "a\0b"])
def test_embedding_names_cannot_leave_their_folders(home: Path, name: str) -> None:
    from engine import settings

    (home / "x.pt").parent.mkdir(parents=True, exist_ok=True)
    (home / "x.pt").write_bytes(b"x")
    inputs: dict[str, Binding] = {"encoder": From("model", "encoder"), "files": Literal(name)}
    graph = Graph({**GRAPH.nodes, "words": Entry("LoadEmbeddings@1", inputs)}, {}, GRAPH.outputs)
    with Session(settings.load(home, device="cpu"), local=False) as session:
        try:
            report = session.run(graph)
        except GraphError as refused:
            assert "is not a name inside" in str(refused)  # noqa: PT017  # either way of refusing will do
        else:
            problem = report.nodes["words"].problem
            assert problem is not None
            assert problem.code == "bad_name"


def test_a_file_that_changes_during_a_run_fails_what_would_read_it(
    session: Session, folder: Path, red: Tensor
) -> None:
    torch.save(a1111(red), folder / "ruby.pt")
    encoder, _ = taught(session)
    torch.save(a1111(-red), folder / "ruby.pt")
    with pytest.raises(NodeError, match="changed during the run"):
        encoded(session, encoder, "a <ruby>")


def test_an_embedding_made_in_the_graph_is_used_without_a_file(session: Session, red: Tensor) -> None:
    made = Embedding("v1.5 gem/x", {"clip_l": red}, step=3, base_name="tiny")
    encoder, told = taught(session, embedding=made)
    assert told == []
    expected, _ = encoded(session, encoder, "a red circle")
    for written in ("v1.5 gem/x", "<v1.5 gem/x>"):
        assert torch.equal(encoded(session, encoder, f"a {written} circle")[0], expected)


def test_a_text_encoder_with_embeddings_comes_back_from_its_bytes(
    session: Session, folder: Path, red: Tensor
) -> None:
    torch.save(a1111(red), folder / "ruby.pt")
    made = Embedding("gem", {"clip_l": -red}, step=3, notes={"a": "b"})
    encoder, _ = taught(session, embedding=made, files="ruby.pt")
    packed = encoder.pack()
    back = unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts})
    assert isinstance(back, TextEncoder)
    assert back.pack() == packed
    prompt = "a <ruby> <gem> circle"
    assert torch.equal(encoded(session, back, prompt)[0], encoded(session, encoder, prompt)[0])


def converted_file(path: Path) -> Path:
    """The file that `safelight convert` writes."""
    made = path.with_name("converted.safetensors")
    made.write_bytes(b"".join(convert(path).pieces))
    return made


@pytest.mark.parametrize("format", ["safetensors", "pt", "png"])
def test_a_saved_embedding_is_read_again_as_it_was(session: Session, red: Tensor, format: Any) -> None:
    notes = {"safelight.license": "CC0"}
    made = Embedding("usada pekora", {"clip_l": red}, 500, "abc", "tiny", notes)
    paths = [
        Path(str(run_node(session, SaveEmbedding(embedding=made, format=format))["out"])) for _ in range(2)
    ]
    outputs = session.settings.home / "outputs" / "embeddings"
    assert paths == [outputs / f"usada pekora.{format}", outputs / f"usada pekora_0002.{format}"]
    back = run_node(session, OpenEmbedding(file=str(paths[0])))["out"]
    assert isinstance(back, Embedding)
    assert (back.name, back.step, back.base_hash, back.base_name) == ("usada pekora", 500, "abc", "tiny")
    assert notes.items() <= (back.notes or {}).items()
    assert torch.equal(back.vectors["clip_l"], red)
    with safe_open(converted_file(paths[0]), "pt") as file:
        assert notes.items() <= file.metadata().items()


def test_other_tools_read_what_is_saved(session: Session, red: Tensor) -> None:
    made = Embedding("gem", {"clip_l": red})
    kohya = run_node(session, SaveEmbedding(embedding=made, path="a.safetensors"))["out"]
    with safe_open(str(kohya), "pt") as file:
        assert torch.equal(file.get_tensor("emb_params"), red)
    pickled = run_node(session, SaveEmbedding(embedding=made, format="pt"))["out"]
    a1111s = torch.load(str(pickled), weights_only=True)
    assert torch.equal(a1111s["string_to_param"]["*"], red)
    assert a1111s["name"] == "gem"
    diffusers = run_node(session, SaveEmbedding(embedding=made, format="bin"))["out"]
    assert torch.equal(torch.load(str(diffusers), weights_only=True)["gem"], red)
    both = Embedding("gem", {"clip_l": vectors(1, 768), "clip_g": vectors(1, 1280)})
    with safe_open(str(run_node(session, SaveEmbedding(embedding=both))["out"]), "pt") as file:
        assert torch.equal(file.get_tensor("clip_g"), vectors(1, 1280))
    for kind in ("pt", "bin"):
        saved = run_node(session, SaveEmbedding(embedding=both, format=kind))["out"]
        assert torch.equal(torch.load(str(saved), weights_only=True)["clip_g"], vectors(1, 1280))
    with pytest.raises(NodeError) as caught:
        run_node(session, SaveEmbedding(embedding=both, format="png"))
    assert caught.value.input == "embedding"


def hidden_in_pixels(path: Path) -> dict[str, Any]:
    """What A1111's `extract_image_data_embed` finds in the pixels, number by number."""
    with pillow.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    lit = np.asarray((pixels > 0).all(2))
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    low = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] & 15
    black = np.flatnonzero((low == 0).all((0, 2)))
    left, right = low[:, : black[0]].ravel().tolist(), low[:, black[-1] + 1 :].ravel().tolist()
    state, data = 0, bytearray()
    for lower, upper in zip(left, right, strict=True):
        state = (1664525 * state + 1013904223) % 2**32
        key = state % 255 & 15
        data.append((upper ^ key) << 4 | lower ^ key)
    found: dict[str, Any] = json.loads(zlib.decompressobj().decompress(bytes(data)))
    return found


@pytest.mark.parametrize(("height", "width"), [(64, 96), (130, 77), (512, 512)])
def test_a_picture_carries_an_embedding_in_its_pixels_and_its_chunk(
    session: Session, height: int, width: int
) -> None:
    made = Embedding("usada pekora", {"clip_l": vectors(3, 768)}, 500, "cc6cb27103", "v1-5")
    pixels = np.random.default_rng(1).integers(0, 256, (1, height, width, 3), np.uint8)
    node = SaveEmbedding(embedding=made, format="png", image=Image(pixels))
    path = Path(str(run_node(session, node)["out"]))
    found = hidden_in_pixels(path)
    assert (found["name"], found["step"], found["sd_checkpoint"]) == ("usada pekora", 500, "cc6cb27103")
    assert found["string_to_token"] == {"*": 265}
    assert torch.equal(torch.tensor(found["string_to_param"]["*"]["TORCHTENSOR"]), vectors(3, 768))
    with pillow.open(path) as picture:
        assert picture.text.keys() == {"sd-ti-embedding"}  # type: ignore[attr-defined]
        shown = np.asarray(picture)
        assert shown.shape[0] == height
        start = int(np.flatnonzero((shown == 0).all((0, 2)))[0]) + 1
        assert (shown[: height // 2, start : start + width] == pixels[0, : height // 2]).all()
        picture.convert("RGB").save(path.with_name("no-chunk.webp"), lossless=True)
    back = run_node(session, OpenEmbedding(file=str(path.with_name("no-chunk.webp"))))["out"]
    assert isinstance(back, Embedding)
    assert torch.equal(back.vectors["clip_l"], vectors(3, 768))


def test_a_picture_that_is_too_small_is_refused(session: Session, red: Tensor) -> None:
    small = Image(np.zeros((1, 32, 32, 3), np.uint8))
    node = SaveEmbedding(embedding=Embedding("x", {"clip_l": red}), format="png", image=small)
    with pytest.raises(NodeError, match="32 pixels high"):
        run_node(session, node)


def test_equal_embeddings_are_saved_as_equal_bytes() -> None:
    notes = {f"note {number}": str(number) for number in range(20)}
    made = as_safetensors(Embedding("x", {"clip_l": vectors(2, 768)}, notes=dict(reversed(notes.items()))))
    header = json.loads(made[8 : 8 + int.from_bytes(made[:8], "little")])
    assert list(header["__metadata__"]) == sorted(header["__metadata__"])
    assert notes.items() <= header["__metadata__"].items()
    assert torch.equal(load(made)["emb_params"], vectors(2, 768))


def test_nothing_is_saved_outside_the_outputs_folder(session: Session, red: Tensor) -> None:
    with pytest.raises(NodeError, match="outside"):
        run_node(session, SaveEmbedding(embedding=Embedding("x", {"clip_l": red}), path="../x"))
    evil = Embedding("../../evil", {"clip_l": red})
    with pytest.raises(NodeError) as caught:
        run_node(session, SaveEmbedding(embedding=evil))
    assert caught.value.code == "bad_name"
    assert not list(session.files.outputs.rglob("*.safetensors"))


def test_vectors_that_are_not_finite_are_not_saved(session: Session, red: Tensor) -> None:
    with pytest.raises(NodeError, match="NaN or infinity"):
        run_node(session, SaveEmbedding(embedding=Embedding("x", {"clip_l": red * float("inf")})))


def test_another_base_model_is_told_by_both_names(session: Session, folder: Path, red: Tensor) -> None:
    torch.save(a1111(red), folder / "ruby.pt")
    encoder, _ = taught(session)
    (told,) = encoded(session, encoder, "a <ruby>")[1]
    assert "v1-5-pruned [cc6cb27103]" in told
    assert "safelight-tiny" in told


def test_a_misspelt_name_in_a_connected_prompt_gets_a_near_name(
    session: Session, folder: Path, red: Tensor
) -> None:
    for name in ("meadow", "mug", "stone"):
        torch.save(a1111(red, name=name), folder / f"{name}.pt")
    prompt = From("prompt", "out")
    nodes = {
        "prompt": Entry("DynamicPrompt@1", {"prompt": Literal("a circle on a <medow>")}),
        "model": Entry("LoadModel@1", {}),
        "words": Entry("LoadEmbeddings@1", {"encoder": From("model", "encoder"), "prompt": prompt}),
        "text": Entry("EncodePrompt@2", {"encoder": From("words", "out"), "prompt": prompt}),
    }
    events: list[Event] = []
    report = session.run(Graph(nodes=nodes, outputs={"out": From("text", "out")}), emit=events.append)
    assert report.state == "done"
    (told,) = warnings(events)
    assert told.startswith("<medow> is not a loaded embedding")
    assert told.split("similar names: ")[1] == "meadow (character 15)"


PICTURES = [
    ("a <ruby> circle on a <meadow>", ("red", "circle", "green")),
    ("a ruby star on a white background", ("red", "star", "white")),
    ("a embedding:ruby heart on a meadow", ("red", "heart", "green")),
]


def test_the_example_s_words_make_what_they_were_made_of(session: Session) -> None:
    made = source.load(GRAPHS / "embeddings.json")
    session.files.beside = GRAPHS
    for prompt, wanted in PICTURES:
        report = session.run(made, {"prompt": prompt, "steps": 12})
        seen = look(pillow.fromarray(output(report).pixels[0]))
        assert (seen.colour, seen.shape, seen.background) == wanted
    drawn = {}
    for negative in ("", "red", "ruby", "<ruby>"):
        values: dict[str, Any] = {
            "prompt": "a circle on a white background",
            "negative": negative,
            "steps": 6,
        }
        drawn[negative] = output(session.run(made, values)).pixels
    assert np.array_equal(drawn["ruby"], drawn["red"])
    assert np.array_equal(drawn["<ruby>"], drawn["red"])
    assert not np.array_equal(drawn[""], drawn["red"])


def test_a_file_dropped_in_between_two_runs_is_seen_by_the_second(
    session: Session, folder: Path, red: Tensor
) -> None:
    made = source.load(GRAPHS / "text_to_image.json")
    made.nodes["words"] = Entry("LoadEmbeddings@1", {"encoder": From("model", "encoder")})
    for prompt in ("positive", "negative"):
        made.nodes[prompt].inputs["encoder"] = From("words", "out")
    values: dict[str, Any] = {"prompt": "a <my gem> circle on a white background", "steps": 12}
    events: list[Event] = []
    session.run(made, values, emit=events.append)
    assert any("<my gem>" in line for line in warnings(events))
    (blue,) = load_tokenizer(describe_folder(TINY))("blue", add_special_tokens=False).input_ids
    table = weights.load_text_encoder(describe_folder(TINY)).get_input_embeddings().weight
    for vector, colour in ((red, "red"), (table[blue].detach().clone()[None], "blue")):
        save_file({"emb_params": vector}, folder / "my gem.safetensors")
        events.clear()
        report = session.run(made, values, emit=events.append)
        assert look(pillow.fromarray(output(report).pixels[0])).colour == colour
        assert warnings(events) == []
