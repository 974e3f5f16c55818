"""The log of a server: lines of JSON, with the run that they are about, and without secrets."""

from __future__ import annotations

import json
from typing import Any

import requests

from engine.server.server_log import NAME
from tests.engine.server.conftest import ADD, FAIL, RunningServer
from tests.engine.server.test_serving import until


def lines(server: RunningServer) -> list[dict[str, Any]]:
    text = (server.home / "server" / NAME).read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_the_lines_of_a_run_have_its_id(server: RunningServer) -> None:
    with server.client() as client:
        good, bad = (client.submit(graph)["run"] for graph in (ADD, FAIL))
        for run in (good, bad):
            client.wait(run, 60)
    until(lambda: any(line.get("run") == bad and line["event"] == "run.finished" for line in lines(server)))
    written = {run: [line for line in lines(server) if line.get("run") == run] for run in (good, bad)}
    assert [line["event"] for line in written[good]] == ["run.queued", "run.started", "run.finished"]
    assert [line["event"] for line in written[bad]][-2:] == ["node.failed", "run.finished"]
    assert written[bad][-1]["level"] == "warning"
    assert written[bad][-2]["node"] == "it"


def test_a_refused_request_is_written_without_its_token(server: RunningServer) -> None:
    token = "a-token-that-is-wrong"
    for path in ("/api/v1/runs", f"/?token={token}"):
        answer = requests.get(server.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=10)
        assert answer.status_code == 401
    refused = [line for line in lines(server) if line["event"] == "request.refused"]
    assert [line["path"] for line in refused[-2:]] == ["/api/v1/runs", "/"]
    text = (server.home / "server" / NAME).read_text()
    assert token not in text
    assert server.token not in text
