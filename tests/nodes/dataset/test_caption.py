"""Caption and LoadCaptioner with a tiny BLIP of random weights, and with a captioner of another pack."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from PIL import Image as pillow
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BlipConfig, BlipForConditionalGeneration

from engine import settings
from engine.context import Context
from engine.devices.compute import ComputeSettings
from engine.document.graph import Entry, From, Graph, Literal
from engine.errors import NodeError
from engine.events import Event
from engine.files import Files
from engine.node import Node
from engine.run.report import Report
from engine.session import Session
from engine.testing import computed, run_node
from engine.values import Json, Packed
from nodes.dataset.caption import Caption, LoadCaptioner
from nodes.dataset.load_dataset import LoadDataset
from nodes.picture_sets.captioner import Captioner
from nodes.values import Dataset
from tests.nodes.conftest import output, warnings

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz", "photo", "[DEC]"]
SIDE = 32


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as BLIP's authors publish it, with random weights."""
    place = tmp_path_factory.mktemp("blip")
    sizes: dict[str, Any] = {
        **{"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    }
    text = {
        **sizes,
        **{"vocab_size": len(WORDS), "encoder_hidden_size": 16, "max_position_embeddings": 64},
        **{"bos_token_id": len(WORDS) - 1, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0},
    }
    config = BlipConfig(text_config=text, vision_config={**sizes, "image_size": SIDE, "patch_size": 16})
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = BlipForConditionalGeneration(config)
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=1.2)  # so that captions depend on the picture
    model.save_pretrained(place)
    tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[DEC]"])
    special = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    tokenizer.save(str(place / "tokenizer.json"))
    (place / "preprocessor_config.json").write_text(json.dumps({"size": {"height": SIDE, "width": SIDE}}))
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    place.mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 40, (40, 50, 3), np.uint8)
        pixels = noise + np.uint8(100 * number)
        pillow.fromarray(pixels).save(place / f"{number} IMG.png")
    (place / "1 IMG.txt").write_text("my own words")
    return place


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a test wanted to connect to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def graph(folder: Path, blip: Path, **inputs: Json) -> Graph:
    options = {name: Literal(value) for name, value in inputs.items()}
    return Graph(
        nodes={
            "load": Entry("LoadDataset@2", {"folder": Literal(str(folder))}),
            "blip": Entry(
                "LoadCaptioner@1",
                {"captioner": Literal(str(blip)), "shortest": Literal(6), "longest": Literal(10)},
            ),
            "caption": Entry(
                "Caption@1",
                {"dataset": From("load", "out"), "captioner": From("blip", "out"), **options},
            ),
        },
        outputs={"image": From("caption", "out")},
    )


def captions(report: Report) -> list[str]:
    dataset = output(report)
    assert isinstance(dataset, Dataset)
    return [picture.caption for picture in dataset.pictures]


def expected(blip: Path, path: Path, **options: Any) -> str:
    """The caption by transformers alone, with pixels scaled by the formula of CLIP."""
    model = BlipForConditionalGeneration.from_pretrained(blip).eval()
    with pillow.open(path) as picture:
        small = picture.convert("RGB").resize((SIDE, SIDE), pillow.Resampling.BICUBIC)
    mean = np.array([0.48145466, 0.4578275, 0.40821073])
    deviation = np.array([0.26862954, 0.26130258, 0.27577711])
    pixels = torch.tensor((np.asarray(small) / 255 - mean) / deviation, dtype=torch.float32)
    ids = model.generate(
        pixel_values=pixels.permute(2, 0, 1)[None],
        max_length=10,
        **{"min_length": 6, "num_beams": 1, "do_sample": False, **options},
    )[0].tolist()
    return " ".join(WORDS[n] for n in ids if WORDS[n] not in ("[PAD]", "[CLS]", "[SEP]", "[DEC]"))


def test_pictures_without_captions_get_those_of_the_model(session: Session, folder: Path, blip: Path) -> None:
    first, second, third = captions(session.run(graph(folder, blip)))
    assert second == "my own words"
    assert first == expected(blip, folder / "0 IMG.png")
    assert third == expected(blip, folder / "2 IMG.png")
    assert first != third
    again = captions(session.run(graph(folder, blip, existing="append")))
    assert again[1] == f"my own words, {expected(blip, folder / '1 IMG.png')}"
    assert again[0] == first


def test_only_new_pictures_are_described(session: Session, folder: Path, blip: Path) -> None:
    assert session.run(graph(folder, blip)).state == "done"
    shutil.copy(folder / "0 IMG.png", folder / "3 new.png")
    (step,) = (step for step in computed(session.run(graph(folder, blip))) if "[" in step)
    assert step.endswith("[3]")


def loaded(session: Session, blip: Path, **inputs: Any) -> Captioner:
    captioner = run_node(session, LoadCaptioner(captioner=str(blip), **inputs))["out"]
    assert isinstance(captioner, Captioner)
    return captioner


def one(session: Session, folder: Path) -> Dataset:
    dataset: Any = run_node(session, LoadDataset(folder=str(folder), captions="names"))["out"]
    return Dataset(dataset.pictures[:1])


def described(session: Session, dataset: Dataset, captioner: Captioner) -> str:
    after: Any = run_node(session, Caption(dataset=dataset, captioner=captioner))["out"]
    return str(after.pictures[0].caption)


def test_a_caption_begins_with_the_prompt(session: Session, folder: Path, blip: Path) -> None:
    captioner = loaded(session, blip, prompt="a photo", beams=2, shortest=0, longest=10)
    caption = described(session, one(session, folder), captioner)
    assert caption.startswith("a photo")
    prompt = torch.tensor([[2, WORDS.index("a"), WORDS.index("photo"), 3]])
    assert caption == expected(blip, folder / "0 IMG.png", num_beams=2, min_length=0, input_ids=prompt)


def test_weights_may_be_a_pickle_and_the_folder_may_move(
    session: Session, home: Path, folder: Path, blip: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    settings.load(home).store_folder.mkdir(parents=True)  # where the places of files are kept
    place = tmp_path / "pickled"
    shutil.copytree(blip, place)
    torch.save(load_file(place / "model.safetensors"), place / "pytorch_model.bin")
    (place / "model.safetensors").unlink()
    captioner = loaded(session, place, shortest=6, longest=10)
    place.rename(tmp_path / "moved")
    assert loaded(session, tmp_path / "moved", shortest=6, longest=10) == captioner
    wanted = expected(blip, folder / "0 IMG.png")
    assert described(session, one(session, folder), captioner) == wanted


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("tokenizer.json", None, "missing_file"),
        ("model.safetensors", b"no tensors", "bad_captioner"),
        ("config.json", b"{", "bad_captioner"),
        ("config.json", b'{"model_type": "blip"}', "bad_captioner"),
        ("tokenizer.json", b"{}", "bad_captioner"),
    ],
)
def test_a_broken_folder_is_refused(
    session: Session, folder: Path, blip: Path, tmp_path: Path, name: str, data: bytes | None, code: str
) -> None:
    place = tmp_path / "broken"
    shutil.copytree(blip, place)
    (place / name).unlink()
    if data is not None:
        (place / name).write_bytes(data)
    with pytest.raises(NodeError) as caught:
        described(session, one(session, folder), loaded(session, place))
    assert (caught.value.code, caught.value.input) == (code, "captioner")


def test_wrong_lengths_are_refused(session: Session, blip: Path) -> None:
    with pytest.raises(NodeError) as caught:
        loaded(session, blip, shortest=50, longest=10)
    assert caught.value.input == "shortest"


@dataclass(frozen=True)
class Colour(Captioner, wire="tests/Colour", lossless=True):
    """A captioner of another pack: it tells the brightest channel."""

    suffix: str

    @property
    def identity(self) -> str:
        return "colour"

    def load(self, compute: ComputeSettings, files: Files) -> tuple[list[str], int]:
        return ["red", "green", "blue"], 0

    def describe(self, loaded: list[str], picture: pillow.Image) -> str:
        return loaded[int(np.asarray(picture).mean(axis=(0, 1)).argmax())] + self.suffix

    def pack(self) -> Packed:
        return Packed(self.wire, self.suffix)

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        return cls(str(meta))


class LoadColour(Node, category="test"):
    def run(self, ctx: Context) -> Colour:
        return Colour("!")


def test_a_captioner_of_another_pack_fits(session: Session, folder: Path, blip: Path) -> None:
    pillow.new("RGB", (20, 20), (10, 90, 20)).save(folder / "0 IMG.png")
    session.registry.add(LoadColour)
    own = graph(folder, blip, existing="prepend")
    own.nodes["blip"] = Entry("LoadColour@1")
    first, second, _ = captions(session.run(own))
    assert first == "green!"
    assert second.endswith("!, my own words")


def test_a_picture_that_cannot_be_read_is_left_out(session: Session, folder: Path) -> None:
    path = folder / "0 IMG.png"
    path.write_bytes(path.read_bytes()[:2000])
    events: list[Event] = []
    node = Caption(dataset=one(session, folder), captioner=Colour(""))
    after: Any = run_node(session, node, emit=events.append)["out"]
    assert len(after) == 0
    assert [file.name for file in after.left_out] == ["0 IMG.png"]
    assert len(warnings(events)) == 1
