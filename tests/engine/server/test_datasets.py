"""The addresses of datasets in this process."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from tests.engine.server.conftest import App

API = "/api/v1/datasets"


def body(folder: str = "cups", node: str = "load", **more: Any) -> dict[str, Any]:
    load = {"type": "LoadDataset@2", "inputs": {"folder": {"param": "folder"}}}
    inputs = {"folder": {"type": "text", "default": "nowhere"}}
    graph = {"safelight": 1, "inputs": inputs, "nodes": {"load": load}}
    return {"graph": graph, "inputs": {"folder": folder}, "node": node, **more}


@pytest.fixture
def cups(app: App) -> None:
    folder = app.services.settings.home / "inputs" / "cups"
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (300, 200), "green").save(folder / "1.png")
    (folder / "1.txt").write_text("a cup")


@pytest.mark.usefixtures("cups")
def test_a_dataset_and_its_thumbnails_are_read(app: App) -> None:
    listed = app.web.post(API, json=body()).json()
    (row,) = listed["pictures"]
    assert (row["name"], row["caption"], row["caption_source"]) == ("1.png", "a cup", "txt")
    assert (row["file_width"], row["file_height"]) == (300, 200)
    answer = app.web.get(f"{API}/{listed['id']}/pictures/0?w=100")
    assert answer.headers["content-type"] == "image/webp"
    assert "immutable" in answer.headers["cache-control"]
    assert Image.open(io.BytesIO(answer.content)).size == (128, 85)


@pytest.mark.usefixtures("cups")
def test_the_folders_that_pictures_can_be_in_are_listed(app: App) -> None:
    inputs = app.services.settings.home / "inputs"
    for name in ("cups/blue", ".hidden/x", "blobs/x", "kept", "bowls/kept"):
        (inputs / name).mkdir(parents=True, exist_ok=True)
    listed = app.web.get(f"{API}/folders").json()["folders"]
    names = [row["name"] for row in listed]
    assert {"cups", "cups/blue", "bowls", "bowls/kept"} <= set(names)
    assert not {".hidden", ".hidden/x", "blobs", "blobs/x", "kept"} & set(names)
    assert names == sorted(names)
    assert {row["place"] for row in listed} == {str(inputs)}
    assert app.web.post(API, json=body("cups/blue")).json()["problems"][0]["code"] == "empty_dataset"


@pytest.mark.usefixtures("cups")
def test_a_folder_elsewhere_is_refused_with_the_path_of_the_inputs(app: App) -> None:
    (problem,) = app.web.post(API, json=body("/nowhere/at all")).json()["problems"]
    assert problem["code"] == "bad_name"
    assert str(app.services.settings.home / "inputs") in problem["hint"]


@pytest.mark.usefixtures("cups")
def test_what_cannot_be_read_is_refused(app: App) -> None:
    def refusal(answer: Any) -> tuple[int, str]:
        return answer.status_code, answer.json()["problems"][0]["code"]

    assert refusal(app.web.post(API, json=body("none")))[0] == 422
    assert refusal(app.web.post(API, json=body("/etc")))[0] == 422
    assert refusal(app.web.post(API, json=body(node="lode"))) == (422, "unknown_node")
    assert refusal(app.web.post(API, json=body(path="/etc"))) == (422, "bad_request")
    assert refusal(app.web.get(f"{API}/{'0' * 64}/pictures/0")) == (404, "unknown_dataset")
    assert refusal(app.web.get(f"{API}/..%2f..%2fetc/pictures/0"))[0] in (404, 422)
    id = app.web.post(API, json=body()).json()["id"]
    assert refusal(app.web.get(f"{API}/{id}/pictures/1")) == (404, "unknown_dataset")
    assert refusal(app.web.get(f"{API}/{id}/pictures/0?w=5000")) == (422, "bad_request")
    (app.services.settings.home / "inputs" / "cups" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nother")
    assert refusal(app.web.get(f"{API}/{id}/pictures/0")) == (422, "changed_file")
