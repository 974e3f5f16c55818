"""Every node and command refuses hostile files and prompts with a reason, cheaply and without damage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from engine.errors import NodeError
from engine.session import Session
from engine.testing import run_node
from nodes.model.embeddings import LoadEmbeddings
from nodes.model.load import LoadModel
from nodes.model.lora import ApplyLoRA
from nodes.sd.prompts import dialects
from tests.nodes import doors
from tests.nodes.sd.formats import hostile
from tests.nodes.sd.formats.test_picture import BOMBS as PICTURES
from tests.nodes.sd.formats.test_picture import png_with
from tests.nodes.sd.formats.tools import a1111
from tests.nodes.sd.prompts.test_tags_and_parts import BOMBS as PROMPTS

SECONDS, KIB = 4.0, 200 << 10
"""The limits of the reader stop each file after about a second of CPU, or two on a slow machine."""
BAD = torch.full((2, 64), torch.nan)
DOORS = ("models embeddings", "models loras", "convert", "LoadEmbeddings", "ApplyLoRA")


@dataclass(frozen=True)
class Answer:
    """The answer of one node or command to a file or prompt, and its cost."""

    door: str
    what: str
    message: str
    seconds: float
    """CPU seconds."""
    kib: int
    """Additional memory."""


def files(marker: Path) -> dict[str, bytes]:
    """Files that every reader refuses."""
    made = {name: data for name, (data, _) in hostile.everything(marker).items()}
    made |= {f"picture: {name}": png_with(b"zTXt", data) for name, data in PICTURES.items()}
    return made


@pytest.fixture(scope="module", params=["one", pytest.param("all", marks=pytest.mark.slow)])
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    """The answers to every file and prompt in one process, which writes nothing outside its home.

    Each file goes to one of the readers and each prompt to one dialect; in `make slow`, to all of them.
    """
    place = tmp_path_factory.mktemp("hostile")
    (place / "files").mkdir()
    names = {}
    for number, (name, data) in enumerate(files(place / "marker").items()):
        file = f"{number:03}{'.png' if name.startswith('picture') else '.pt'}"
        (place / "files" / file).write_bytes(data)
        names[file] = name
    os.mkfifo(place / "files" / "pipe.pt")
    (place / "files" / "device.pt").symlink_to("/dev/zero")
    (place / "files" / "nowhere.pt").symlink_to("nowhere")
    (place / "files" / "circle.pt").symlink_to("circle.pt")
    bombs = {dialect: [_bomb(bomb) for bomb in PROMPTS] for dialect in ("a1111", "comfy", "compel", "plain")}
    (place / "prompts.json").write_text(json.dumps(bombs))
    given = ("home", "files", "prompts.json")
    before = {path.name for path in place.iterdir()}
    ended = subprocess.run(
        [sys.executable, "-m", doors.__name__, *(str(place / name) for name in given), request.param],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert {path.name for path in place.iterdir()} == before | {"home"}, "something lies outside the home"
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    return [Answer(door, names.get(what, what), *more) for door, what, *more in lines]


def _bomb(piece: str) -> str:
    return piece * (dialects.LONGEST // len(piece))


def test_every_hostile_file_is_refused_with_a_reason(answers: list[Answer]) -> None:
    readings = [answer for answer in answers if answer.door in DOORS]
    assert {answer.door for answer in readings} == set(DOORS)
    assert len({answer.what for answer in readings}) == len(files(Path("x"))) + 4
    for answer in readings:
        if answer.what.startswith("picture") and answer.door == "models loras":
            assert answer.message == "no model", answer  # pictures may be embeddings only
        else:
            assert answer.message not in (doors.ACCEPTED, "no model", ""), answer


def test_hostile_files_cost_at_most_seconds_and_200_mb(answers: list[Answer]) -> None:
    assert {answer.door for answer in answers if answer.door.startswith("EncodePrompt")} == {
        f"EncodePrompt {dialect}" for dialect in ("a1111", "comfy", "compel", "plain")
    }
    assert [answer for answer in answers if answer.seconds >= SECONDS or answer.kib >= KIB] == []


@pytest.mark.parametrize("name", ["NaN embedding", "infinity in a LoRA", "NaN in a LoRA"])
def test_numbers_that_are_none_are_refused_by_name(session: Session, home: Path, name: str) -> None:
    loaded = run_node(session, LoadModel())
    key = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    folder = home / "models" / ("embeddings" if "embedding" in name else "loras")
    folder.mkdir(parents=True)
    bad = BAD if "NaN" in name else BAD.nan_to_num(torch.inf)
    node: LoadEmbeddings | ApplyLoRA
    if "embedding" in name:
        torch.save(a1111(bad), folder / "x.pt")
        node = LoadEmbeddings.model_validate({"encoder": loaded["encoder"], "files": "x.pt"})
    else:
        pair = {f"{key}.lora_up.weight": bad.T.contiguous(), f"{key}.lora_down.weight": bad}
        (folder / "x.safetensors").write_bytes(save(pair))
        given = {"model": loaded["model"], "encoder": loaded["encoder"], "lora": "x.safetensors"}
        node = ApplyLoRA.model_validate(given)
    with pytest.raises(NodeError, match=r"x.* NaN"):
        run_node(session, node)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "C:/x", "a\0b", "~/x", "\\\\host\\x"])
def test_a_name_that_leads_out_is_no_file_to_a_server(session: Session, home: Path, name: str) -> None:
    from engine import settings

    (home / "models" / "loras").mkdir(parents=True)
    (home / "models" / "x").write_bytes(b"x")
    loaded = run_node(session, LoadModel())
    with Session(settings.load(home, device="cpu"), local=False) as server:
        for node in (
            LoadEmbeddings.model_validate({"encoder": loaded["encoder"], "files": name}),
            ApplyLoRA.model_validate({**_models(loaded), "lora": name}),
        ):
            with pytest.raises(NodeError, match=r"is not a name inside|there is no '~/x'"):
                run_node(server, node)


def _models(loaded: object) -> dict[str, object]:
    assert isinstance(loaded, dict)
    return {part: loaded[part] for part in ("model", "encoder")}
