"""A client that is generated from the OpenAPI document by another program."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.document import writer
from engine.server.write_openapi import FILE
from tests.engine.server.conftest import ADD, RunningServer
from tests.engine.server.test_serving import until

GENERATE = "from clientele.cli import cli_group; cli_group()"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the generated package `safelight_client`."""
    folder = tmp_path_factory.mktemp("generated")
    document = json.loads(FILE.read_text())
    for path in document["paths"].values():
        for operation in path.values():  # this generator knows no ranges of statuses
            responses = operation["responses"]
            responses["404"] = responses["422"] = responses.pop("4XX")
            del responses["5XX"]
    (folder / "openapi.json").write_text(json.dumps(document))
    words = [sys.executable, "-c", GENERATE, "start-api", "-f", "openapi.json", "-o", "safelight_client"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    return folder


def test_a_generated_client_runs_a_graph(
    generated: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(generated)
    monkeypatch.setenv("BASE_URL", server.url)
    monkeypatch.setenv("HEADERS", json.dumps({"Authorization": f"Bearer {server.token}"}))
    client: Any = importlib.import_module("safelight_client.client")
    schemas: Any = importlib.import_module("safelight_client.schemas")
    assert client.read_info().api == 1
    graph = json.loads(writer.dump(ADD))
    blank = dict.fromkeys(("graph_id", "document", "idempotency_key"))
    fields = {"graph": graph, "inputs": {"a": 40, "b": 2}, "sweep": {}, "targets": [], **blank}
    submit = schemas.SubmitRun.model_validate(fields)  # it takes every field without a default as required
    run = client.submit_run(data=submit).run
    until(lambda: client.read_run(id=run).summary.state == "done")
    assert client.read_run(id=run).values == {"sum": 42}
    refused = client.read_run(id="no-such-run")
    assert isinstance(refused, schemas.ProblemsBody)
    assert refused.problems[0].code == "unknown_run"
    client.client.close()
