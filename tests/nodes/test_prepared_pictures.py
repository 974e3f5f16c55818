"""The example that prepares pictures: which files it keeps, and what it writes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image as pillow

from engine.session import Session
from engine.sources import source
from engine.testing import run_node
from nodes.dataset.load_dataset import LoadDataset
from nodes.values import Dataset
from tests.nodes.conftest import GRAPHS
from tests.nodes.sd.tiny.unsorted import unsorted_files


def test_the_shipped_files_are_those_of_the_generator() -> None:
    made = unsorted_files()
    assert {path.name for path in (GRAPHS / "unsorted").iterdir()} == made.keys()
    for name, data in made.items():
        path = GRAPHS / "unsorted" / name
        if path.suffix == ".png" and data.startswith(b"\x89PNG"):
            with pillow.open(path) as shipped, pillow.open(BytesIO(data)) as drawn:
                assert np.array_equal(np.asarray(shipped), np.asarray(drawn)), name
        elif path.suffix != ".jpg":
            assert path.read_bytes() == data


def test_what_cannot_be_used_is_left_out_and_the_rest_gets_one_size(session: Session) -> None:
    graph = source.load(GRAPHS / "prepare_dataset.json")
    session.files.beside = GRAPHS
    before = {path.name: path.read_bytes() for path in (GRAPHS / "unsorted").iterdir()}
    report = session.run(graph)
    assert report.state == "done"
    found = report.outputs["report"].meta
    assert isinstance(found, dict)
    assert (found["pictures"], found["kept"]) == (8, 5)
    assert found["problems"] == {"near_duplicate": 1, "mirrored_copy": 1, "small": 1, "unreadable": 1}

    folder = Path(str(report.outputs["folder"].meta))
    dataset = run_node(session, LoadDataset(folder=str(folder)))["out"]
    assert isinstance(dataset, Dataset)
    captions = {
        picture.name.partition("-")[2].partition(".")[0]: picture.caption for picture in dataset.pictures
    }
    pieces = {f"{number}-IMG_0005": "green shapes, white ground, flat colours" for number in range(4)}
    assert captions == {
        "0-08-an orange ring": "an orange ring, flat colours",
        "0-IMG_0001": "a red star, blue background, flat colours",
        "0-IMG_0003": "a red star, blue background, flat colours",
        "0-IMG_0004": "a yellow moon, purple background, flat colours",
        **pieces,
    }
    pictures = {picture.name: dataset.open(session.files, picture) for picture in dataset.pictures}
    assert {picture.size for picture in pictures.values()} == {(128, 128)}
    masks = [dataset.mask(session.files, picture) for picture in dataset.pictures]
    assert [mask is not None for mask in masks] == [True] + [False] * 7
    turned = np.asarray(pictures["00003-0-IMG_0004.png"]).astype(int)
    yellow = np.argwhere((turned[:, :, 0] > 200) & (turned[:, :, 2] < 120))
    assert yellow.mean(0)[0] < 64, "the moon is in the upper half, as a viewer shows the file"
    assert {path.name: path.read_bytes() for path in (GRAPHS / "unsorted").iterdir()} == before
