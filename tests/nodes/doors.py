"""Gives hostile files and prompts to every node and command that reads such files, and measures the cost.

    python -m tests.nodes.doors HOME FILES PROMPTS.json all|one

With `all`, each file goes to each node and command, and each prompt to each dialect; with `one`, to one of
them in turn.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ACCEPTED = "was accepted"


def cost() -> tuple[float, int]:
    """The CPU seconds and peak KiB of this process and its children so far."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in both), max(use.ru_maxrss for use in both)


def main(home: Path, files: Path, prompts: Path, *, every: bool) -> None:
    """Print a line of JSON for each attempt: reader, file or prompt, message, CPU seconds, additional KiB."""
    for door, name, attempt in _attempts(home, files, json.loads(prompts.read_text("utf-8")), every):
        before = cost()
        message = attempt()
        after = cost()
        answer = [door, name, message, round(after[0] - before[0], 3), after[1] - before[1]]
        print(json.dumps(answer), flush=True)


def _attempts(
    home: Path, files: Path, prompts: dict[str, list[str]], every: bool
) -> Iterator[tuple[str, str, Callable[[], str]]]:
    from engine import settings
    from engine.cli import main as safelight
    from engine.errors import NodeError
    from engine.node import Node
    from engine.session import Session
    from engine.testing import run_node
    from nodes.model.embeddings import LoadEmbeddings
    from nodes.model.load import LoadModel
    from nodes.model.lora import ApplyLoRA
    from nodes.prompt.encode_prompt import EncodePrompt

    def listed(path: Path, kind: str) -> str:
        place = home / "models" / kind / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            safelight(["models", "--home", str(home), "--json"])
        place.unlink()
        rows = [row for row in json.loads(out.getvalue())["models"] if row["file"] == path.name]
        problems = [row["problem"]["message"] for row in rows if row["problem"]]
        return problems[0] if problems else ACCEPTED if rows else "no model"

    def converted(path: Path) -> str:
        err = io.StringIO()
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            code = safelight(["convert", str(path), "-o", str(home / "out.safetensors")])
        (home / "out.safetensors").unlink(missing_ok=True)
        return err.getvalue() if code else ACCEPTED

    def ran(node_type: type[Node], inputs: dict[str, Any]) -> str:
        try:
            run_node(session, node_type(**inputs))
        except NodeError as error:
            return str(error)
        return ACCEPTED

    with Session(settings.load(home, device="cpu")) as session:
        loaded: dict[str, Any] = dict(run_node(session, LoadModel()))
        model, encoder = loaded["model"], loaded["encoder"]
        run_node(
            session, EncodePrompt(encoder=encoder, prompt="a mug")
        )  # so that the first measured prompt does not pay for imports
        run_node(session, EncodePrompt(encoder=encoder, prompt="a mug", dialect="compel"))
        for number, path in enumerate(sorted(files.iterdir())):
            words: dict[str, Any] = {"encoder": encoder, "files": str(path)}
            patch: dict[str, Any] = {"model": model, "encoder": encoder, "lora": str(path)}
            readers = [
                ("models embeddings", partial(listed, path, "embeddings")),
                ("models loras", partial(listed, path, "loras")),
                ("convert", partial(converted, path)),
                ("LoadEmbeddings", partial(ran, LoadEmbeddings, words)),
                ("ApplyLoRA", partial(ran, ApplyLoRA, patch)),
            ]
            for door, attempt in readers if every else [readers[number % len(readers)]]:
                yield door, path.name, attempt
        for turn, (dialect, texts) in enumerate(prompts.items()):
            for number, text in enumerate(texts):
                if every or number % len(prompts) == turn:
                    read: dict[str, Any] = {"encoder": encoder, "prompt": text, "dialect": dialect}
                    yield f"EncodePrompt {dialect}", text[:20], partial(ran, EncodePrompt, read)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(*map(Path, sys.argv[1:4]), every=sys.argv[4] == "all")
