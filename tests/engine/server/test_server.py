"""A real server: runs, events, files and calls over a socket, as programs use it."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine import cli
from engine.document.graph import GraphInput
from engine.errors import GraphError
from engine.server.address_file import NAME
from tests.engine.server.conftest import NOISE, WAIT, RunningServer, graph


def code_of(call: Any, *given: Any, **named: Any) -> str:
    """The code of the problem for which the server refuses a call."""
    with pytest.raises(GraphError) as caught:
        call(*given, **named)
    return caught.value.problems[0].code


def test_only_the_user_can_read_the_token(server: RunningServer) -> None:
    assert stat.S_IMODE((server.home / NAME).stat().st_mode) == 0o600
    assert server.token in server.line


def test_a_call_returns_the_outputs(server: RunningServer) -> None:
    with server.client() as client:
        answer = client.call("add", {"a": 20, "b": 3})
        assert (answer["state"], answer["outputs"]["sum"]["value"]) == ("done", 23)
        picture = client.call("noise", {"seed": 3})["outputs"]["image"]
        (file,) = picture["files"]
        data = client.download(file["url"])
        assert (picture["type"], file["media"], data[:4]) == ("Image", "image/png", b"\x89PNG")
        assert data == client.download(f"/api/v1/blobs/{file['digest']}")
        assert client.download(f"{file['url']}?w=64")[8:12] == b"WEBP"


def test_a_call_refuses_what_does_not_fit_and_reports_what_fails(server: RunningServer) -> None:
    with server.client() as client:
        assert code_of(client.call, "add", {"a": "one"}) == "invalid_value"
        assert code_of(client.call, "add", {"c": 1}) == "unknown_param"
        assert code_of(client.call, "nothing") == "unknown_graph"
        with pytest.raises(GraphError) as caught:
            client.call("fail", {"text": "out of paint"})
        assert (caught.value.problems[0].node, caught.value.problems[0].code) == ("it", "node_failed")


@pytest.mark.parametrize("raises", [False, True])
def test_a_node_that_returns_or_raises_half_of_a_character_fails_with_its_place(
    server: RunningServer, raises: bool
) -> None:
    half = graph("Half", raises=GraphInput("bool", raises, False))
    with server.client() as client:
        ended = client.wait(client.submit(half)["run"])
        assert ended["summary"]["state"] == "failed"
        (problem,) = ended["problems"]
        assert (problem["code"], problem["node"]) == ("node_failed", "it")
        assert "small.py" in problem["hint"]
        assert ended["nodes"]["it"]["warnings"] == ["half \\ud83d"]
        assert client.run(ended["summary"]["id"]) == ended


def test_a_call_that_takes_longer_answers_with_the_run(server: RunningServer) -> None:
    with server.client() as client:
        answer = client.call("wait", {"seconds": 600.0}, timeout=0.1)
        assert answer["state"] in ("queued", "running")
        assert answer["outputs"] == {}
        client.cancel(answer["run"])
        assert client.wait(answer["run"], 30)["summary"]["state"] == "cancelled"


def test_a_run_is_followed_by_its_events_and_replayed_after_a_lost_connection(server: RunningServer) -> None:
    with server.client() as client:
        submitted = client.submit(NOISE, {"seed": 11})
        events: list[dict[str, Any]] = []
        for event in client.events(since=submitted["since"], timeout=20):
            events.append(event)
            if event["type"] == "run.finished":
                break
        mine = [event for event in events if event["run"] == submitted["run"]]
        types = [event["type"] for event in mine]
        order = ["run.queued", "run.started", "run.plan", "node.started", "node.done", "run.finished"]
        assert [name for name in types if name in order] == order
        assert [event["seq"] for event in events[1:]] == sorted({event["seq"] for event in events[1:]})
        (preview,) = [event["data"] for event in mine if event["type"] == "node.preview"] or [None]
        if preview is not None:  # a newer run may have replaced it
            assert client.download(f"/api/v1/previews/{preview['id']}")[:2] == b"\xff\xd8"
        middle = mine[2]
        place = f"{events[0]['data']['server_id']}-{middle['seq']}"
        again = [
            event for event in client.events(since=place, timeout=0.5) if event["run"] == submitted["run"]
        ]
        assert again == [event for event in mine if event["seq"] > middle["seq"]]


def test_a_reader_of_another_server_is_told_to_look_again(server: RunningServer) -> None:
    with server.client() as client:
        (hello,) = client.events(since="abc-12", timeout=0.3)
        assert hello["data"]["missed"]


def test_random_seeds_are_drawn_once_and_recorded(server: RunningServer) -> None:
    with server.client() as client:
        submitted = client.submit(NOISE, {"seed": "random"}, key="one-picture")
        seed = submitted["inputs"]["seed"]
        assert isinstance(seed, int)
        again = client.submit(NOISE, {"seed": "random"}, key="one-picture")
        assert (again["run"], again["inputs"]["seed"], again["is_new"]) == (submitted["run"], seed, False)
        assert code_of(client.submit, NOISE, {"seed": 1}, key="one-picture") == "key_reused"
        run = client.wait(submitted["run"], 60)
        assert run["inputs"]["seed"] == seed


def test_several_runs_draw_a_seed_each(server: RunningServer) -> None:
    with server.client() as client:
        submitted = client.submit(NOISE, {"seed": "random"}, times=3)
        seeds = {client.wait(run, 60)["inputs"]["seed"] for run in submitted["runs"]}
        assert len(seeds) == 3
        assert code_of(client.submit, NOISE, {"seed": 1}, times=3) == "no_random_seed"


def test_a_run_repeats_until_it_is_stopped(server: RunningServer) -> None:
    with server.client() as client:
        repeat = client.submit(NOISE, {"seed": "random"}, until_stopped=True)["repeat"]
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            (row,) = client.get("/repeats")["repeats"]
            if row["count"] > 2:
                break
            time.sleep(0.02)
        assert row["count"] > 2
        seeds = {client.wait(repeat, 60)["inputs"]["seed"], client.wait(row["run"], 60)["inputs"]["seed"]}
        assert len(seeds) == 2
        client.post(f"/repeats/{repeat}/stop")
        assert client.get("/repeats")["repeats"] == []


def test_a_sweep_is_one_run_with_many_outputs(server: RunningServer) -> None:
    with server.client() as client:
        run = client.wait(client.submit(NOISE, sweep={"seed": [1, 2, 3]})["run"], 60)
        assert [row["values"] for row in run["outputs"]] == [{"seed": 1}, {"seed": 2}, {"seed": 3}]


def test_the_history_is_searched_starred_and_gives_back_the_graph(server: RunningServer) -> None:
    with server.client() as client:
        client.call("noise", {"seed": 99, "caption": "a lighthouse"})
        (row,) = client.get("/outputs?q=lighthouse")["outputs"]
        marked = client.patch(f"/outputs/{row['id']}", {"star": True, "tags": ["sea"]})
        assert (marked["star"], marked["tags"]) == (True, ["sea"])
        assert [item["id"] for item in client.get("/outputs?star=true")["outputs"]] == [row["id"]]
        graph = client.get(f"/outputs/{row['id']}/graph")["graph"]
        again = client.wait(client.submit(graph)["run"], 60)
        assert again["outputs"][0]["digest"] == row["digest"]
        assert {node["cache"] for node in again["nodes"].values()} <= {"memory", "disk"}
        imported = client.import_file("picture.png", client.download(row["url"]))
        assert imported["graph"]["inputs"]["seed"]["default"] == 99


def test_a_training_takes_requests(server: RunningServer) -> None:
    with server.client() as client:
        run = client.submit(WAIT, {"seconds": 60.0})["run"]
        body = {"node": "it", "request": "checkpoint"}
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if client.run(run)["nodes"].get("it", {}).get("state") == "running":
                break
            time.sleep(0.02)
        client.post(f"/runs/{run}/control", body)
        assert client.wait(run, 30)["values"]["out"] == "checkpoint"
        assert code_of(client.post, f"/runs/{run}/control", body) == "not_running"


def test_published_files_are_listed_read_and_kept(server: RunningServer) -> None:
    with server.client() as client:
        run = client.submit(graph("Publish", title="publish"))["run"]
        client.wait(run, 60)
        first, second = client.get(f"/runs/{run}/published")["files"]
        assert (first["step"], first["name"], first["size"]) == ("it", "checkpoints/1.bin", 3)
        assert client.download(second["url"]) == b"two"
        kept = client.post(f"/runs/{run}/published/keep", {"step": "it", "name": "checkpoints/2.bin"})
        assert client.download(f"/api/v1/blobs/{kept['file'].removeprefix('sha256:')}") == b"two"
        for name in ("checkpoints/3.bin", "../server.json", "/etc/passwd", str(server.home / "server.json")):
            body = {"step": "it", "name": name}
            assert code_of(client.post, f"/runs/{run}/published/keep", body) == "unknown_file"


def test_a_file_that_a_node_saved_is_an_output_that_is_downloaded_under_its_name(
    server: RunningServer,
) -> None:
    with server.client() as client:
        run = client.submit(graph("Save", path=GraphInput("text", "words/a b.bin", False)))["run"]
        answer = client.wait(run, 60)
        (row,) = answer["outputs"]
        assert (row["output"], row["type"], row["size"]) == ("out", "json", len(b"trained"))
        assert answer["values"]["out"] == str(server.home / "outputs/words/a b.bin")
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", row["url"], headers={"Authorization": f"Bearer {server.token}"})
        file = connection.getresponse()
        assert file.read() == b"trained"
        assert file.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%20b.bin"
        connection.close()


def test_an_output_larger_than_an_upload_is_kept_for_graphs_as_long_as_it_is_what_the_run_wrote(
    server: RunningServer,
) -> None:
    times = (64 << 20) // len(b"trained") + 1
    path = GraphInput("text", "large.bin", False)
    with server.client() as client:
        assert times * len(b"trained") > client.info()["limits"]["blob_bytes"]
        run = client.submit(graph("Save", path=path, times=GraphInput("int", times, False)))["run"]
        (row,) = client.wait(run, 60)["outputs"]
        kept = client.post(f"/outputs/{row['id']}/keep")
        assert kept == {"file": f"sha256:{row['digest']}", "size": row["size"]}
        data = client.download(f"/api/v1/blobs/{row['digest']}")
        assert hashlib.sha256(data).hexdigest() == row["digest"]
        assert code_of(client.download, f"{row['url']}?w=64") == "not_a_picture"
        file = server.home / "outputs" / "large.bin"
        file.write_bytes(b"replaced")
        assert code_of(client.post, f"/outputs/{row['id']}/keep") == "changed_file"
        file.unlink()
        assert code_of(client.post, f"/outputs/{row['id']}/keep") == "missing_file"
        assert client.download(f"/api/v1/blobs/{row['digest']}") == data
        (server.home / "inputs" / "blobs" / row["digest"]).unlink()


def test_uploads_are_inputs_and_never_pages(server: RunningServer) -> None:
    with server.client() as client:
        page = b"<script>alert(1)</script>"
        name = client.upload(page)
        assert (server.home / "inputs/blobs" / name.removeprefix("sha256:")).read_bytes() == page
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        path = f"/api/v1/blobs/{name.removeprefix('sha256:')}"
        connection.request("GET", path, headers={"Authorization": f"Bearer {server.token}"})
        answer = connection.getresponse()
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        connection.close()


def test_a_second_server_is_refused_and_no_server_imports_torch_or_packs(server: RunningServer) -> None:
    words = [sys.executable, "-X", "importtime", "-m", "engine", "serve", "--home", str(server.home)]
    second = subprocess.run([*words, "--port", "0"], capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert f"(process {server.process.pid})" in second.stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in second.stderr.splitlines()}
    assert {"engine", "fastapi", "uvicorn"} <= imported
    assert not {"torch", "nodes", "diffusers", "transformers"} & imported
    assert "torch" not in Path(f"/proc/{server.process.pid}/maps").read_text()  # also after its first runs


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_calls_a_graph(server: RunningServer) -> None:
    words = [
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--header",
        f"Authorization: Bearer {server.token}",
    ]
    body = ["--header", "Content-Type: application/json", "--data", '{"a": 2, "b": 40}']
    url = f"{server.url}/api/v1/graphs/add/call?timeout=60"
    done = subprocess.run([*words, *body, url], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["outputs"]["sum"]["value"] == 42
    words = ["curl", "--silent", "--location", "--cookie", "", "--write-out", "%{http_code}"]
    page = subprocess.run(
        [*words, f"{server.url}/?token={server.token}"], capture_output=True, text=True, check=True
    )
    assert page.stdout.endswith("200")


def test_a_reader_that_never_reads_does_not_hold_up_the_others(server: RunningServer) -> None:
    lazy = socket.create_connection(("127.0.0.1", server.port))
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    head = f"GET /api/v1/events?since=0 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
    head += f"Authorization: Bearer {server.token}\r\n\r\n"
    lazy.sendall(head.encode())
    with server.client() as client:
        begun = time.monotonic()
        for _ in range(5):
            client.call("add", {"a": 1, "b": 1})
        assert time.monotonic() - begun < 20
    lazy.close()


def test_a_client_that_sends_half_a_request_is_cut_off(server: RunningServer) -> None:
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
    for item in sockets:
        item.sendall(b"GET / HTTP/1.1\r\nHost: ")
    with server.client() as client:
        assert client.info()["api"] == 1
    for item in sockets:
        item.close()


def test_the_devices_of_the_workers_are_listed_here_and_on_the_command_line(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with server.client() as client:
        (worker,) = client.devices()
        assert worker["device"] == "cpu"
        assert worker["pid"] == client.info()["devices"][0]["pid"]
    assert cli.main(["devices", "--json", "--home", str(server.home)]) == 0
    (seen,) = json.loads(capsys.readouterr().out)["workers"]
    assert seen["pid"] == worker["pid"]
