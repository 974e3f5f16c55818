"""The command line as a process: what it imports, how it stops, and several of it at once."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.cli.conftest import Call, Start, Write

HEAVY = ("torch", "numpy", "diffusers", "transformers", "networkx", "PIL", "safetensors")

PROBE = f"""
import sys
from engine.cli import main
code = main(sys.argv[1:])
print([name for name in {HEAVY!r} if name in sys.modules], code, file=sys.stderr)
"""


def loaded(*words: object) -> str:
    """What a process that did this had imported of the heavy packages, and its exit code."""
    root = str(Path(__file__).parents[3])
    line = [sys.executable, "-c", PROBE, *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": root}
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, check=True, timeout=100)
    return ended.stderr.splitlines()[-1]


def test_nothing_heavy_is_imported_until_a_step_must_compute(call: Call, painting: Path, home: Path) -> None:
    assert call("run", painting, "--out", "first").code == 0
    assert loaded("--help") == "[] 0"
    assert loaded("run", painting, "--help") == "[] 0"
    assert loaded("check", painting) == "[] 0"
    assert loaded("plan", painting) == "[] 0"
    assert loaded("nodes") == "[] 0"
    assert loaded("run", painting, "--out", "second") == "[] 0"
    (picture,) = Path("second").iterdir()
    assert picture.read_bytes() == (Path("first") / picture.name).read_bytes()


@pytest.fixture
def slow(write: Write) -> Path:
    """A graph that takes most of a minute, after a first step that is quick."""
    nodes = {
        "first": ("Add", {"a": 1}),
        "slow": ("Slow", {"a": {"from": "first.out"}, "steps": {"param": "steps"}}),
    }
    return write(nodes, {"steps": {"type": "int", "default": 1000}}, {"end": "slow.out"})


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    """Read stderr up to a line."""
    assert process.stderr is not None
    for said in process.stderr:
        if line in said:
            return
    pytest.fail(f"{line!r} was never said")


def intact(home: Path) -> bool:
    with sqlite3.connect(home / "store" / "index.sqlite") as index:
        answer: str = index.execute("pragma integrity_check").fetchone()[0]
    index.close()
    return answer == "ok"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_the_run_and_leaves_the_store_whole(
    call: Call, start: Start, slow: Path, home: Path, number: signal.Signals
) -> None:
    process = start("run", slow, "--json")
    wait_for(process, "slow ...")
    process.send_signal(number)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "Stopping" in err
    assert "Traceback" not in err
    assert '"state": "cancelled"' in out
    assert call("cache", "verify").out == "no result is damaged\n"
    assert intact(home)
    again = call("run", slow, "--steps", "1", "--json")
    assert again.code == 0
    assert again.json["nodes"]["first"]["state"] == "cached"
    assert again.json["outputs"]["end"]["value"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("kind", ["Stubborn", "Deep"])
def test_a_second_ctrl_c_leaves_at_once(start: Start, write: Write, home: Path, kind: str) -> None:
    graph = write({"node": (kind, {})}, outputs={"x": "node.out"})
    process = start("run", graph)
    wait_for(process, "node ...")
    process.send_signal(signal.SIGINT)
    wait_for(process, "Stopping")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert intact(home)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_after_sigterm_a_run_ends_at_the_deadline_of_the_settings(
    start: Start, write: Write, home: Path
) -> None:
    (home / "settings.json").write_text('{"stop_timeout": 0.5}')
    process = start("run", write({"node": ("Deep", {})}, outputs={"x": "node.out"}))
    wait_for(process, "node ...")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert intact(home)


def test_processes_share_one_home_and_one_folder(start: Start, painting: Path, home: Path) -> None:
    line = ("run", painting, "--out", "shared", "--json")
    processes = [start(*line, "--grey", grey) for grey in (1, 1, 2, 2)]
    errors = [process.communicate(timeout=100)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    files = sorted(Path("shared").iterdir())
    assert [file.name for file in files] == ["a-grey-square-image-0001.png", "a-grey-square-image-0002.png"]
    assert files[0].read_bytes() != files[1].read_bytes()
    assert intact(home)


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals of POSIX")
def test_on_a_terminal_there_are_bars_that_go_away(start: Start, slow: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    process = start("run", slow, "--steps", "20", "--json", stderr=theirs)
    os.close(theirs)
    drawn = b""
    try:
        while piece := os.read(ours, 65536):
            drawn += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    assert json.loads(out)["state"] == "done"
    text = drawn.decode()
    assert "run: slow" in text
    assert re.search(r"\b1?\d/20\b", text)
    assert re.search(r"\d steps/s", text)
    assert text.rstrip().endswith("\x1b[2K"), "the bars are wiped off at the end"


def test_120_quick_steps_print_no_progress(start: Start, write: Write) -> None:
    nodes = {f"n{n}": ("Add", {"a": n}) for n in range(120)}
    graph = write(nodes, outputs={f"o{n}": f"n{n}.out" for n in range(120)})
    process = start("run", graph, "--json")
    out, err = process.communicate(timeout=100)
    assert json.loads(out)["state"] == "done"
    assert err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_answer_that_nobody_can_take_is_no_traceback(start: Start) -> None:
    read, write = os.pipe()
    os.close(read)
    process = start("nodes", "--json", stdout=write)
    os.close(write)
    assert process.communicate(timeout=100)[1] == ""
    assert process.returncode == 1
    with Path("/dev/full").open("w") as full:
        process = start("nodes", stdout=full)
        assert "No space left on device" in process.communicate(timeout=100)[1]
    assert process.returncode == 1


NOISY = """
import os
import subprocess
import threading
from engine.context import Context
from engine.node import Node

print("at import")
os.write(1, b"at import\\n")


class Noise(Node):
    def run(self, ctx: Context) -> int:
        print("by print")
        os.write(1, b"by the system\\n")
        subprocess.run(["echo", "by a subprocess"], check=True)
        thread = threading.Thread(target=print, args=("by a thread",))
        thread.start()
        thread.join()
        os.write(1, b"without an end")
        return 3
"""


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors of POSIX")
def test_standard_output_holds_the_answer_alone(tmp_path: Path) -> None:
    (tmp_path / "home" / "nodes").mkdir(parents=True)
    (tmp_path / "home" / "nodes" / "noisy.py").write_text(NOISY)
    graph = tmp_path / "graph.json"
    graph.write_text(
        '{"safelight": 1, "outputs": {"n": {"from": "a.out"}}, "nodes": {"a": {"type": "Noise"}}}'
    )
    command = [sys.executable, "-m", "engine", "run", str(graph), "--home", str(tmp_path / "home"), "--json"]
    watched = [*command, "--events", str(tmp_path / "events")]
    done = subprocess.run(watched, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["outputs"]["n"]["value"] == 3
    printed = ["by print", "by the system", "by a subprocess", "by a thread", "without an end"]
    assert [line for line in done.stderr.splitlines() if line in printed] == printed
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    told = [(event["text"], event["node"]) for event in events if event["event"] == "printed"]
    assert told == [(line, "a") for line in printed]
    checked = [*command[:3], "check", *command[4:7], "--json"]
    done = subprocess.run(checked, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["ok"] is True, "packs print when they are imported"
    shell = " ".join(f"'{word}'" for word in command)
    for target in (">&-", "> /dev/full") if Path("/dev/full").exists() else (">&-",):
        failed = subprocess.run(f"{shell} {target}", shell=True, capture_output=True, text=True, check=False)
        assert failed.returncode == 1
        assert "Traceback" not in failed.stderr
        assert "itself failed" not in failed.stderr
        assert failed.stderr.splitlines()[-1].startswith(
            ("standard output is closed", "the answer cannot be")
        )
