"""The routes in this process: saving from two tabs, the catalogue, the queue, and the shape of refusals."""

from __future__ import annotations

import io
import json
import shutil
from typing import Any

import pytest
from numpy import zeros
from PIL import Image
from safetensors.numpy import save_file

from engine.document import writer
from engine.document.graph import Graph
from tests.engine.server.conftest import ADD, FAIL, NOISE, App
from tests.engine.server.test_thumbnails import bomb, encoded

API = "/api/v1"


def tree(graph: Graph) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(writer.dump(graph))
    return document


def test_two_tabs_cannot_overwrite_each_other(app: App) -> None:
    first = app.web.put(f"{API}/graphs/shared", json={"graph": tree(ADD), "by": "tab-1"})
    assert first.status_code == 200
    tag = {"If-Match": first.headers["ETag"]}
    seen = app.services.queue.events.seq
    assert app.web.put(
        f"{API}/graphs/shared", json={"graph": tree(FAIL), "by": "tab-2"}, headers=tag
    ).is_success
    late = app.web.put(f"{API}/graphs/shared", json={"graph": tree(NOISE)}, headers=tag)
    current = app.web.get(f"{API}/graphs/shared")
    assert (late.status_code, late.json()["problems"][0]["code"]) == (412, "other_revision")
    assert late.headers["ETag"] == current.headers["ETag"]
    assert current.json()["graph"] == tree(FAIL)
    (event, *_), _ = app.services.queue.events.after(seen, 10)
    assert (event.type, event.as_json()["data"]) == (
        "graph.changed",
        {"id": "shared", "revision": current.json()["revision"], "by": "tab-2"},
    )
    assert [row["version"] for row in app.web.get(f"{API}/graphs/shared/versions").json()["versions"]] == [
        2,
        1,
    ]
    restored = app.web.post(
        f"{API}/graphs/shared/restore", json={"version": 1}, headers={"If-Match": current.headers["ETag"]}
    )
    assert restored.json()["graph"] == tree(ADD)
    assert app.web.delete(f"{API}/graphs/shared").status_code == 204
    assert app.web.get(f"{API}/graphs/shared").status_code == 404


def test_unknown_types_and_markup_are_saved_unharmed(app: App) -> None:
    document = tree(ADD)
    document["nodes"]["it"] = {
        "type": "Unheard@3",
        "title": "<script>alert(1)</script>",
        "inputs": {"x": [1]},
    }
    saved = app.web.put(f"{API}/graphs/strange", json={"graph": document})
    assert saved.json()["graph"] == document
    checked = app.web.post(f"{API}/graphs/validate", json={"graph": document}).json()
    assert not checked["ok"]
    assert "unknown_type" in {problem["code"] for problem in checked["problems"]}


def test_node_types_are_sent_once(app: App) -> None:
    first = app.web.get(f"{API}/node-types")
    names = [item["type"] for item in first.json()["types"]]
    assert {"Add@1", "Denoise@3"} <= set(names)
    again = app.web.get(f"{API}/node-types", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_check_says_what_a_run_would_do(app: App) -> None:
    checked = app.web.post(f"{API}/graphs/validate", json={"graph": tree(ADD), "inputs": {"a": 4}}).json()
    assert (checked["ok"], checked["inputs"], checked["targets"]) == (True, {"a": 4, "b": 2}, ["it"])
    ((node, action),) = [(step["node"], step["action"]) for step in checked["plan"]]
    assert (node, action) == ("it", "run")


def test_a_check_counts_the_tokens_of_prompts(app: App) -> None:
    graph = app.web.get(f"{API}/graphs/text_to_image").json()["graph"]
    body = {"graph": graph, "inputs": {"prompt": "a red circle BREAK blue <lora:ink:1>"}}
    checked = app.web.post(f"{API}/graphs/validate", json=body).json()
    assert {text["node"]: text["chunks"] for text in checked["texts"]} == {
        "positive": [3, 1],
        "negative": [0],
    }
    (problem,) = checked["problems"]
    assert (problem["severity"], problem["node"], problem["input"]) == ("warning", "positive", "prompt")
    assert app.web.post(f"{API}/graphs/validate", json=body | {"plan": False}).json()["texts"] == []


@pytest.mark.parametrize(
    ("document", "codes"),
    [("lora_stack", set()), ("lora_stack#tab", set()), ("#tab", {"missing_file"}), (None, {"missing_file"})],
)
def test_a_changed_example_finds_the_files_beside_the_example(
    app: App, document: str | None, codes: set[str]
) -> None:
    graph = app.web.get(f"{API}/graphs/lora_stack").json()["graph"]
    body = {"graph": graph | {"title": "Changed"}, "document": document, "plan": False}
    checked = app.web.post(f"{API}/graphs/validate", json=body).json()
    assert {problem["code"] for problem in checked["problems"]} == codes


def graph_of(type: str, **inputs: str) -> dict[str, Any]:
    """A request to run a graph of one node."""
    return {"graph": {"safelight": 1, "nodes": {"a": {"type": type, "inputs": inputs}}}}


REFUSED: dict[str, tuple[str, str, Any, int, str]] = {
    "graph with errors": ("POST", "/runs", graph_of("No@1"), 422, "unknown_type"),
    "no graph": ("POST", "/runs", {"graph": {}}, 422, "not_a_graph"),
    "neither graph nor id": ("POST", "/runs", {}, 422, "bad_request"),
    "unknown saved graph": ("POST", "/runs", {"graph_id": "nothing"}, 404, "unknown_graph"),
    "unknown key": ("POST", "/runs", {"graph_id": "add", "out": "/etc"}, 422, "bad_request"),
    "text for a number": ("POST", "/runs", {"graph_id": "add", "priority": "1"}, 422, "bad_request"),
    "value and sweep": (
        "POST",
        "/runs",
        {"graph_id": "add", "inputs": {"a": 1}, "sweep": {"a": [1]}},
        422,
        "bad_request",
    ),
    "unknown run": ("GET", "/runs/nothing", None, 404, "unknown_run"),
    "cancel nothing": ("POST", "/runs/nothing/cancel", {}, 404, "unknown_run"),
    "cancel without a body": ("POST", "/runs/nothing/cancel", None, 422, "bad_request"),
    "unknown address": ("GET", "/nothing", None, 404, "unknown_address"),
    "unknown method": ("DELETE", "/runs", None, 405, "bad_method"),
    "unknown digest": ("GET", f"/blobs/{'0' * 64}", None, 404, "unknown_file"),
    "digest with a path": ("GET", "/blobs/..%2F..%2Fqueue.sqlite", None, 404, "unknown_address"),
    "tab with a path": ("PUT", "/drafts/..%2Fx", {"graph": {}}, 404, "unknown_address"),
    "bad event id": ("GET", "/events?since=x", None, 422, "bad_request"),
    "file of no output": ("GET", "/outputs/999/file", None, 404, "unknown_output"),
    "preview that is gone": ("GET", "/previews/abc", None, 404, "unknown_preview"),
    "graph that leads out": ("PUT", "/graphs/..", {"graph": {"safelight": 1}}, 404, "unknown_address"),
    "stop what is not repeated": ("POST", "/repeats/x/stop", {}, 404, "unknown_repeat"),
    "file outside the home": (
        "POST",
        "/runs",
        graph_of("LoadImage@1", image="/etc/passwd"),
        422,
        "bad_name",
    ),
    "unknown target": ("POST", "/runs", {"graph_id": "add", "targets": ["no"]}, 422, "unknown_node"),
    "subgraph outside the graphs": ("POST", "/runs", graph_of("../../secret.json"), 422, "forbidden"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_has_a_status_and_problems(app: App, name: str) -> None:
    method, path, body, status, code = REFUSED[name]
    given = {} if body is None else {"json": body}
    answered = app.web.request(method, API + path, **given)
    assert (answered.status_code, answered.json()["problems"][0]["code"]) == (status, code)
    assert set(answered.json()["problems"][0]) == {
        "code",
        "severity",
        "node",
        "input",
        "message",
        "hint",
        "fix",
    }


def test_a_broken_node_that_no_output_needs_stops_no_run(app: App) -> None:
    uploaded = app.web.post(f"{API}/blobs", content=b"no picture").json()["hash"]
    load = {"type": "LoadImage@1", "inputs": {"image": f"sha256:{uploaded}"}}
    graph = {**tree(ADD), "nodes": {**tree(ADD)["nodes"], "load": load}}
    accepted = app.web.post(f"{API}/runs", json={"graph": graph})
    assert accepted.status_code == 202
    (warning,) = accepted.json()["warnings"]
    assert (warning["severity"], warning["node"], warning["code"]) == ("warning", "load", "bad_picture")
    needed = app.web.post(f"{API}/runs", json={"graph": graph, "targets": ["load"]})
    assert needed.status_code == 422
    assert [problem["node"] for problem in needed.json()["problems"]] == ["load"]


def test_runs_wait_move_and_are_cancelled(app: App) -> None:
    bodies = [{"graph_id": "add", "inputs": {"a": n}} for n in range(3)]
    runs = [app.web.post(f"{API}/runs", json=body).json()["run"] for body in bodies]
    waiting = app.web.get(f"{API}/runs?state=queued").json()["runs"]
    assert [row["id"] for row in waiting][-3:] == runs
    assert app.web.post(f"{API}/runs/{runs[2]}/move", json={"before": runs[0]}).is_success
    assert app.web.post(f"{API}/runs/{runs[0]}/cancel", json={}).json()["state"] == "cancelled"
    waiting = app.web.get(f"{API}/runs?state=queued").json()["runs"]
    assert [row["id"] for row in waiting][-2:] == [runs[2], runs[1]]
    assert app.web.post(f"{API}/runs/{runs[0]}/retry", json={}).status_code == 202
    paused = app.web.put(f"{API}/queue", json={"paused": True}).json()["paused"]
    assert paused
    assert app.web.put(f"{API}/queue", json={"paused": False}).json()["paused"] is None


def test_a_draft_survives_its_tab(app: App) -> None:
    assert app.web.put(f"{API}/drafts/tab-1", json={"graph": tree(ADD), "document": "add"}).status_code == 204
    (draft,) = app.web.get(f"{API}/drafts").json()["drafts"]
    assert (draft["tab"], draft["graph"]) == ("tab-1", tree(ADD))
    assert app.web.delete(f"{API}/drafts/tab-1").status_code == 204
    assert app.web.put(f"{API}/drafts/tab-1", json={"graph": {"nodes": 1}}).status_code == 422


def test_files_of_other_programs_become_graphs(app: App) -> None:
    text = b"a red circle\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x512"
    imported = app.web.post(f"{API}/import?name=old.txt", content=text).json()
    assert imported["origin"] != "its own document"
    assert "a red circle" in json.dumps(imported["graph"])
    assert app.web.post(f"{API}/import", content=b"nothing").status_code == 422


def test_a_model_has_a_thumbnail_if_its_picture_can_be_decoded(app: App) -> None:
    folder = app.services.settings.home / "models" / "loras"
    folder.mkdir(parents=True, exist_ok=True)
    pair = {
        f"lora_unet_mid_block_x.lora_{side}.weight": zeros((64, 64), "float32") for side in ("up", "down")
    }
    pictures = {
        "good": encoded((2048, 1024), "JPEG"),
        "bomb": bomb(),
        "vector": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "gif": encoded((8, 8), "GIF"),
        "torn": encoded((256, 256), "PNG")[:100],
    }
    for name, data in pictures.items():
        save_file(pair, folder / f"{name}.safetensors")
        (folder / f"{name}.png").write_bytes(data)
    rows = app.web.get(f"{API}/models?kind=lora").json()["models"]
    assert {row["file"] for row in rows} == {f"{name}.safetensors" for name in pictures}
    assert str(folder) not in json.dumps(rows)
    for row in rows:
        answer = app.web.get(row["thumb"])
        if row["file"] != "good.safetensors":
            assert (answer.status_code, answer.json()["problems"][0]["code"]) == (404, "unknown_file")
            continue
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/webp")
        picture = Image.open(io.BytesIO(answer.content))
        assert (picture.format, picture.size) == ("WEBP", (256, 128))
    assert app.web.get(f"{API}/models/thumbs/{'0' * 32}").status_code == 404
    shutil.rmtree(folder)
    assert app.web.get(rows[0]["thumb"]).status_code == 404


def test_the_page_and_the_monitoring_answer(app: App) -> None:
    page = app.web.get("/")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in page.headers["Content-Security-Policy"]
    assert "safelight_runs_queued" in app.web.get("/metrics").text
    assert app.web.get(f"{API}/complete?q=x").json() == {"completions": []}
