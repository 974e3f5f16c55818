"""Lets hostile files and prompts in by every door that a user has; `python -m` weighs what each costs."""

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

MEANT_WELL = "was let in"


def cost() -> tuple[float, int]:
    """CPU seconds and KiB at most so far, of this process and its children."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in both), max(use.ru_maxrss for use in both)


def main(home: Path, files: Path, prompts: Path) -> None:
    """A line of JSON for each door and each thing: door, name, what was said, seconds, KiB more."""
    for door, name, refused in _doors(home, files, json.loads(prompts.read_text("utf-8"))):
        before = cost()
        said = refused()
        after = cost()
        answer = [door, name, said, round(after[0] - before[0], 3), after[1] - before[1]]
        print(json.dumps(answer), flush=True)


def _doors(
    home: Path, files: Path, prompts: dict[str, list[str]]
) -> Iterator[tuple[str, str, Callable[[], str]]]:
    from engine import settings
    from engine.cli import main as safelight
    from engine.errors import NodeError
    from engine.node import Node
    from engine.session import Session
    from engine.testing import run_node
    from nodes.embeddings import LoadEmbeddings
    from nodes.load import LoadModel
    from nodes.lora import ApplyLoRA
    from nodes.prompt import EncodePrompt

    def listed(path: Path, kind: str) -> str:
        place = home / "models" / kind / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            safelight(["models", "--home", str(home), "--json"])
        place.unlink()
        rows = json.loads(out.getvalue())["models"]
        problems = [row["problem"]["message"] for row in rows if row["problem"]]
        return problems[0] if problems else MEANT_WELL if rows else "no model"

    def converted(path: Path) -> str:
        err = io.StringIO()
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            code = safelight(["convert", str(path), "-o", str(home / "out.safetensors")])
        (home / "out.safetensors").unlink(missing_ok=True)
        return err.getvalue() if code else MEANT_WELL

    def ran(node_type: type[Node], inputs: dict[str, Any]) -> str:
        try:
            run_node(session, node_type(**inputs))
        except NodeError as error:
            return str(error)
        return MEANT_WELL

    with Session(settings.load(home, device="cpu")) as session:
        loaded: dict[str, Any] = dict(run_node(session, LoadModel()))
        model, encoder = loaded["model"], loaded["encoder"]
        run_node(session, EncodePrompt(encoder=encoder, prompt="a mug"))  # what every start costs
        run_node(session, EncodePrompt(encoder=encoder, prompt="a mug", dialect="compel"))
        for path in sorted(files.iterdir()):
            yield "models embeddings", path.name, partial(listed, path, "embeddings")
            yield "models loras", path.name, partial(listed, path, "loras")
            yield "convert", path.name, partial(converted, path)
            words: dict[str, Any] = {"encoder": encoder, "files": str(path)}
            yield "LoadEmbeddings", path.name, partial(ran, LoadEmbeddings, words)
            over: dict[str, Any] = {"model": model, "encoder": encoder, "lora": str(path)}
            yield "ApplyLoRA", path.name, partial(ran, ApplyLoRA, over)
        for dialect, texts in prompts.items():
            for text in texts:
                read: dict[str, Any] = {"encoder": encoder, "prompt": text, "dialect": dialect}
                yield f"EncodePrompt {dialect}", text[:20], partial(ran, EncodePrompt, read)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(*map(Path, sys.argv[1:]))
