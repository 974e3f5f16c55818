"""Starting and stopping a server: refused addresses and tokens, SIGTERM, and the queue afterwards."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.client import Client
from engine.document import writer
from engine.errors import GraphError
from engine.server.security.tokens import new_token
from engine.server.serving import Options, serve
from tests.engine.server.conftest import ADD, NOISE, WAIT, RunningServer, make_home, start_server


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until a condition holds."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def refusal(options: Options) -> str:
    """The code of the problem for which a server does not start."""

    def announce(url: str, services: object) -> None:
        raise AssertionError(f"the server runs at {url}")

    with pytest.raises(GraphError) as caught:
        serve(options, announce)
    return caught.value.problems[0].code


def test_other_machines_cannot_connect_unless_both_options_say_so(tmp_path: Path) -> None:
    token = tmp_path / "token.txt"
    token.write_text(new_token())
    for host in ("0.0.0.0", "::", "192.168.1.7"):
        assert refusal(Options(tmp_path, host=host)) == "remote_refused"
        assert refusal(Options(tmp_path, host=host, allow_remote=True)) == "remote_refused"
        assert refusal(Options(tmp_path, host=host, token_file=token)) == "remote_refused"


@pytest.mark.parametrize("text", ["", "short", "a token with spaces in it, long enough", "ü" * 30, None])
def test_a_weak_token_is_refused(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "token.txt"
    if text is not None:
        file.write_text(text)
    assert refusal(Options(tmp_path, token_file=file)) == "bad_token_file"


@pytest.mark.parametrize("device", ["toaster", "cuda"])
def test_a_device_that_does_not_exist_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr("engine.devices.compute.version", lambda name: "2.13.0+cpu")
    assert refusal(Options(tmp_path, devices=("cpu", device))) == "bad_device"


def test_an_address_that_is_taken_is_refused(tmp_path: Path, server: RunningServer) -> None:
    assert refusal(Options(tmp_path, port=server.port)) == "address_in_use"
    assert not (tmp_path / "server.lock").exists()


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mug.json").write_text("{}")
    assert refusal(Options(tmp_path / "home", tmp_path / "mug.json", port=0)) == "not_a_graph"
    assert refusal(Options(tmp_path / "home", tmp_path / "no.json", port=0)) == "unreadable"


def test_sigterm_ends_it_in_time_and_the_queue_goes_on_after_the_next_start(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    file = tmp_path / "my noise.json"
    file.write_text(writer.dump(NOISE))
    first = start_server(home, str(file))
    with first.client() as client:
        assert client.info()["opened"] == "my noise"
        long = client.submit(WAIT, {"seconds": 600.0})["run"]
        waiting = client.submit(ADD, {"a": 40})["run"]
        until(lambda: client.run(long)["nodes"].get("it", {}).get("state") == "running")
    types: list[str] = []

    def follow() -> None:
        with Client(first.url, first.token) as reader:
            types.extend(event["type"] for event in reader.events())

    reader = threading.Thread(target=follow)
    reader.start()
    until(lambda: bool(types))
    begun = time.monotonic()
    assert first.stop() == 0
    assert time.monotonic() - begun < 10
    reader.join()
    assert "server.closing" in types
    assert not (home / "server.json").exists()

    token = tmp_path / "token.txt"
    token.write_text(new_token())
    second = start_server(home, "--token-file", str(token))
    assert second.token == token.read_text()
    with second.client() as client:
        run = client.wait(waiting, 60)
        assert (run["summary"]["state"], run["values"]) == ("done", {"sum": 42})
        assert client.run(long)["values"] == {"out": "stop"}  # a long step is asked to stop and keep its work
    assert second.stop() == 0


@pytest.mark.slow
def test_a_second_sigterm_ends_it_at_once_and_loses_nothing(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    first = start_server(home)
    with first.client() as client:
        long = client.submit(WAIT, {"seconds": 600.0})["run"]
        waiting = client.submit(ADD, {"a": 40})["run"]
        until(lambda: client.run(long)["nodes"].get("it", {}).get("state") == "running")
    first.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    begun = time.monotonic()
    assert first.stop() in (0, 1, -signal.SIGTERM)  # by the signal itself, if it comes while the process ends
    assert time.monotonic() - begun < 5
    second = start_server(home)
    with second.client() as client:
        assert client.run(long)["summary"]["state"] in ("done", "interrupted")
        assert client.wait(waiting, 60)["values"] == {"sum": 42}
    assert second.stop() == 0
