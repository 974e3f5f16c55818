"""ComfyUI's API, through the PyPI client `comfy-api-simplified`, a WebSocket, and hostile requests."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import websockets
from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper
from PIL import Image

from engine.server.compat.comfyui_runs import picture_name
from nodes.interchange.comfyui.node_types import NODE_TYPES
from nodes.interchange.comfyui.object_info import NODES, SAVERS, comfyui_lists
from nodes.interchange.comfyui.widget_values import WIDGETS
from tests.engine.server.asking import Ask, answer
from tests.engine.server.compat.prompts import node, plain, text_to_image
from tests.engine.server.conftest import ADD, WAIT, App, RunningServer
from tests.engine.server.test_serving import until
from tests.nodes.interchange.other_tools import shelf


@pytest.fixture
def comfy(server: RunningServer) -> ComfyApiWrapper:
    return ComfyApiWrapper(server.url, user="any", password=server.token)


def opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.convert("RGB")


def post(server: RunningServer, path: str, body: Any, **more: Any) -> requests.Response:
    return requests.post(server.url + path, json=body, auth=("any", server.token), timeout=60, **more)


def test_a_client_draws_a_picture(comfy: ComfyApiWrapper, server: RunningServer) -> None:
    prompt = text_to_image(7)
    workflow = ComfyWorkflowWrapper(prompt)
    workflow.set_node_param("Positive", "text", "a blue square")
    ((name, data),) = comfy.queue_and_wait_images(workflow, "Save Image").items()
    assert opened(data).size == (64, 64)
    with server.client() as client:
        graph = client.import_file("mine.json", json.dumps(workflow).encode())["graph"]
        (row,) = client.wait(client.submit(graph)["run"], 60)["outputs"]
        assert opened(client.download(row["url"])).tobytes() == opened(data).tobytes()
        assert name in {picture_name(row["id"], row["media"]) for row in client.get("/outputs")["outputs"]}


def test_a_client_sends_a_picture_by_either_name(
    comfy: ComfyApiWrapper, server: RunningServer, tmp_path: Path
) -> None:
    sent = Image.effect_noise((24, 16), 80).convert("RGB")
    sent.save(tmp_path / "mine.png")
    named = comfy.upload_image(tmp_path / "mine.png", subfolder="folder")
    assert named["type"] == "input"
    for name in (named["name"], "folder/mine.png"):
        prompt = {
            "1": node("LoadImage", image=name),
            "2": node("ImageInvert", image=["1", 0]),
            "3": node("SaveImage", "Save Image", images=["2", 0]),
        }
        ((_, data),) = comfy.queue_and_wait_images(ComfyWorkflowWrapper(prompt), "Save Image").items()
        assert opened(data).tobytes() == bytes(255 - value for value in sent.tobytes())
    assert opened(comfy.get_image(named["name"], "", "input")).tobytes() == sent.tobytes()
    assert list(server.home.rglob("mine.png")) == [], "the client's name is no path"


def test_the_history_has_the_pictures_of_a_batch_in_order(comfy: ComfyApiWrapper) -> None:
    prompt_id = comfy.queue_prompt(plain(0x3366CC, count=3))["prompt_id"]
    until(lambda: bool(comfy.get_history(prompt_id)))
    entry = comfy.get_history(prompt_id)[prompt_id]
    assert entry["status"] == {**entry["status"], "status_str": "success", "completed": True}
    assert entry["prompt"][1:3] == [prompt_id, plain(0x3366CC, count=3)]
    images = entry["outputs"]["9"]["images"]
    assert len(images) == 3
    assert [image["filename"] for image in images] == sorted(image["filename"] for image in images)
    for image in images:
        data = comfy.get_image(image["filename"], image["subfolder"], image["type"])
        assert opened(data).getpixel((5, 5)) == (0x33, 0x66, 0xCC)


async def heard(server: RunningServer, client: str, prompt: Mapping[str, Any], **extra: Any) -> list[Any]:
    """The messages about a prompt, up to its end; binary ones as bytes."""
    uri = server.url.replace("http://", f"ws://any:{server.token}@") + f"/ws?clientId={client}"
    async with websockets.connect(uri) as socket:
        first = json.loads(await socket.recv())
        assert (first["type"], first["data"]["sid"]) == ("status", client)
        body = {"prompt": prompt, "client_id": client, **extra}
        id = (await asyncio.to_thread(post, server, "/prompt", body)).json()["prompt_id"]
        found: list[Any] = []
        while True:
            message = await asyncio.wait_for(socket.recv(), 60)
            if isinstance(message, bytes):
                found.append(message)
                continue
            tree = json.loads(message)
            if tree["type"] != "status":
                assert tree["data"]["prompt_id"] == id
                found.append(tree)
            if tree["type"] == "executing" and tree["data"]["node"] is None:
                return found


def test_the_socket_tells_a_client_of_its_own_runs_in_order(server: RunningServer) -> None:
    with server.client() as client:
        client.submit(ADD, {"a": 5})  # a run of the canvas is no affair of this client
    found = asyncio.run(heard(server, "one", plain(0x010203)))
    types = [message["type"] for message in found]
    assert [types[0], types[1]] == ["execution_start", "execution_cached"]
    assert types[-3:] == ["executed", "execution_success", "executing"]
    (begun,) = [item["data"]["node"] for item in found if item["type"] == "executing"][:-1]
    assert begun == "3"
    assert found[-3]["data"]["node"] == "9"
    again = asyncio.run(heard(server, "one", plain(0x010203)))
    assert [item["data"]["nodes"] for item in again if item["type"] == "execution_cached"] == [["3"]]


def test_previews_come_only_if_the_client_asks_for_them(server: RunningServer) -> None:
    prompt = text_to_image(99, steps=6)
    assert not any(isinstance(item, bytes) for item in asyncio.run(heard(server, "two", prompt)))
    prompt = text_to_image(100, steps=6)
    extra = {"preview_method": "auto"}
    found = asyncio.run(heard(server, "two", prompt, extra_data=extra))
    previews = [item for item in found if isinstance(item, bytes)]
    assert previews
    assert opened(previews[0][8:]).width > 0
    assert any(
        item["type"] == "progress" and item["data"]["max"] == 6 for item in found if isinstance(item, dict)
    )


def test_a_client_that_connects_after_its_run_hears_of_it(server: RunningServer) -> None:
    body = {"prompt": plain(0x0F0F0F), "client_id": "late"}
    id = post(server, "/prompt", body).json()["prompt_id"]
    with server.client() as client:
        client.wait(id, 60)

    async def listen() -> list[str]:
        uri = server.url.replace("http://", f"ws://any:{server.token}@") + "/ws?clientId=late"
        async with websockets.connect(uri) as socket:
            types: list[str] = []
            while "execution_success" not in types:
                types.append(json.loads(await asyncio.wait_for(socket.recv(), 30))["type"])
            return types

    assert "executed" in asyncio.run(listen())


@pytest.mark.parametrize("token", ["", "any:wrong@"])
def test_the_socket_needs_the_token(server: RunningServer, token: str) -> None:
    async def connect(**more: Any) -> None:
        async with websockets.connect(server.url.replace("http://", f"ws://{token}") + "/ws", **more):
            pass

    with pytest.raises(websockets.InvalidStatus) as refused:
        asyncio.run(connect())
    assert refused.value.response.status_code == 403


def test_the_socket_refuses_a_page_of_another_site(server: RunningServer) -> None:
    async def connect() -> None:
        uri = server.url.replace("http://", f"ws://any:{server.token}@") + "/ws"
        async with websockets.connect(uri, origin="https://evil.example"):  # type: ignore[arg-type]
            pass

    with pytest.raises(websockets.InvalidStatus) as refused:
        asyncio.run(connect())
    assert refused.value.response.status_code == 403


def wired_to(node_type: str) -> dict[str, Any]:
    return {"1": node(node_type), "2": node("SaveImage", images=["1", 0])}


REFUSED: dict[str, tuple[Any, int, str, str | None]] = {
    "no prompt": ({}, 400, "no_prompt", None),
    "an empty prompt": ({"prompt": {}}, 400, "no_prompt", None),
    "a list": ({"prompt": []}, 400, "no_prompt", None),
    "the editor's format": ({"prompt": {"nodes": [], "links": []}}, 400, "invalid_prompt", "nodes"),
    "a node without a type": ({"prompt": {"1": {"inputs": {}}}}, 400, "invalid_prompt", "1"),
    "a node type without a counterpart": ({"prompt": wired_to("HyperNode")}, 400, "unknown_node", "1"),
    "no output": ({"prompt": {"1": plain(1)["3"]}}, 400, "no_output", None),
    "a missing model": (
        {"prompt": {**text_to_image(1), "4": node("CheckpointLoaderSimple", ckpt_name="no.safetensors")}},
        400,
        "missing_model",
        None,
    ),
    "a missing picture": (
        {"prompt": {**plain(1), "3": node("LoadImage", image="../../etc/passwd")}},
        400,
        "missing_picture",
        None,
    ),
    "an unknown sampler": (
        {"prompt": {**text_to_image(1), "3": {**text_to_image(1)["3"], "inputs": {
            **text_to_image(1)["3"]["inputs"], "sampler_name": "magic"}}}},
        400,
        "left_out",
        None,
    ),
    "a value of a wrong type": (
        {"prompt": {**plain(1), "3": node("EmptyImage", width="wide", height=8, batch_size=1, color=1)}},
        400,
        "type_mismatch",
        "3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_prompt_that_cannot_run_is_refused(app_with_compat: App, name: str) -> None:
    body, status, code, place = REFUSED[name]
    refused = app_with_compat.web.post("/prompt", json=body)
    tree = refused.json()
    assert (refused.status_code, tree["error"]["type"]) == (status, code)
    assert place is None or place in tree["node_errors"]
    assert app_with_compat.services.queue.status().pending == 0


def form(parts: str | bytes, boundary: str = "xx") -> tuple[bytes, str]:
    data = parts.encode() if isinstance(parts, str) else parts
    return data, f"multipart/form-data; boundary={boundary}"


FORMS: dict[str, tuple[bytes, str]] = {
    "empty": form(""),
    "no boundary": (b"--xx", "multipart/form-data"),
    "a boundary of 71 characters": (b"--xx", "multipart/form-data; boundary=" + "x" * 71),
    "another type": (b"--xx", "image/png"),
    "another boundary": form("--yy\r\n\r\n--yy--\r\n"),
    "only boundaries": form("--xx" * 100_000),
    "no end": form('--xx\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\nabc'),
    "no name": form("--xx\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--xx--\r\n"),
    "no file": form('--xx\r\nContent-Disposition: form-data; name="type"\r\n\r\nabc\r\n--xx--\r\n'),
    "a long head": form("--xx\r\nX: " + "a" * 5000 + "\r\n\r\nabc\r\n--xx--\r\n"),
    "many parts": form(
        "".join(f'--xx\r\nX: form-data; name="{n}"\r\n\r\na\r\n' for n in range(30)) + "--xx--\r\n"
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_hostile_form_is_refused(app_with_compat: App, name: str) -> None:
    body, type = FORMS[name]
    refused = app_with_compat.web.post("/upload/image", content=body, headers={"Content-Type": type})
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] in ("bad_form", "empty_file")


def test_a_file_that_is_no_picture_is_refused(app_with_compat: App) -> None:
    body, type = form('--xx\r\nX: form-data; name="image"; filename="a.png"\r\n\r\n<svg/>\r\n--xx--\r\n')
    refused = app_with_compat.web.post("/upload/image", content=body, headers={"Content-Type": type})
    assert (refused.status_code, refused.json()["error"]["type"]) == (422, "not_a_picture")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../../etc/passwd",
        "ComfyUI_00000_.png",
        "ComfyUI_99999999_.png",
        "a" * 900,
        "_9" * 100 + "_.png",
    ],
)
@pytest.mark.parametrize("type", ["output", "input", "temp"])
def test_no_name_leads_to_another_file(app_with_compat: App, name: str, type: str) -> None:
    found = app_with_compat.web.get("/view", params={"filename": name, "type": type, "subfolder": "../.."})
    assert found.status_code == 404


def test_the_queue_is_cleared_of_the_runs_of_this_api_only(app_with_compat: App) -> None:
    web = app_with_compat.web
    queue = app_with_compat.services.queue
    own = web.post("/api/v1/runs", json={"graph_id": "wait"}).json()["run"]
    ids = [web.post("/api/prompt", json={"prompt": plain(n)}).json()["prompt_id"] for n in range(3)]
    assert [entry[1] for entry in web.get("/queue").json()["queue_pending"]] == [own, *ids]
    assert web.get("/prompt").json() == {"exec_info": {"queue_remaining": 4}}
    web.post("/queue", json={"delete": [ids[1]]})
    assert queue.run(ids[1]).summary.state == "cancelled"
    web.post("/queue", json={"clear": True})
    assert [run.id for run in queue.runs("queued")] == [own]
    queue.cancel(own)
    (entry,) = web.get(f"/history/{ids[0]}").json().values()
    assert entry["status"]["status_str"] == "error"
    assert web.get("/history/nothing").json() == {}
    assert ids[0] in web.get("/history").json()


def test_interrupt_stops_the_runs_of_this_api_only(server: RunningServer, comfy: ComfyApiWrapper) -> None:
    with server.client() as client:
        own = client.submit(WAIT, {"seconds": 600.0})["run"]
        until(lambda: client.run(own)["nodes"].get("it", {}).get("state") == "running")
        comfy.interrupt()
        assert client.run(own)["summary"]["state"] == "running"
        assert post(server, "/interrupt", {"prompt_id": own}).status_code == 200
        assert client.wait(own, 30)["summary"]["state"] == "cancelled"


def test_json_may_come_without_its_type_but_not_from_a_browser(app_with_compat: App) -> None:
    body = json.dumps({"prompt": plain(77)}).encode()
    form_type = ("content-type", "application/x-www-form-urlencoded")
    for headers, status in (
        ([], 200),
        ([form_type], 200),
        ([form_type, ("sec-fetch-site", "same-origin")], 415),
    ):
        asked = Ask("POST", "/prompt", headers, body, host="testserver")
        assert answer(app_with_compat.asgi, asked).status == status
    app_with_compat.web.post("/queue", json={"clear": True})


def test_every_convertible_type_is_described_as_comfyui_describes_it(tmp_path: Path) -> None:
    described = comfyui_lists(shelf(tmp_path))["object_info"]
    assert described.keys() >= NODE_TYPES.keys()
    for name, tree in described.items():
        inputs = [*tree["input_order"]["required"], *tree["input_order"]["optional"]]
        if name in NODE_TYPES and not name.startswith("Sampler"):
            assert len(tree["output"]) >= len(NODE_TYPES[name].outputs), name
        values = [value for value in WIDGETS.get(name, ()) if value != "upload"]
        assert [value for value in inputs if value in values] == values, name
    assert {name for name, tree in described.items() if tree["output_node"]} == set(SAVERS)
    assert NODES.keys() == described.keys()
    rotations = described["ImageRotate"]["input"]["required"]["rotation"][0]
    assert rotations == ["none", "90 degrees", "180 degrees", "270 degrees"]


def test_the_lists_name_the_users_files(comfy: ComfyApiWrapper) -> None:
    info = comfy.get_object_info("KSampler")["KSampler"]
    assert "euler" in info["input"]["required"]["sampler_name"][0]
    loader = comfy.get_object_info("CheckpointLoaderSimple")["CheckpointLoaderSimple"]
    assert loader["input"]["required"]["ckpt_name"][0] == ["safelight-tiny"]
    assert comfy.get_embeddings() == []
    assert comfy.get_system_stats()["system"]["ram_total"] > 0


def test_the_api_is_off_unless_it_is_asked_for(app: App) -> None:
    for path in ("/prompt", "/queue", "/history", "/object_info", "/sdapi/v1/options", "/view"):
        assert app.web.get(path).status_code == 404
    assert app.web.post("/prompt", json={"prompt": plain(1)}).status_code == 404
