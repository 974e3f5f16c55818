"""Workflows of other programs, as those programs write them: refused by their own names."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from engine.errors import GraphError, Problem
from engine.sources import foreign, source

COMFY_API: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 5, "steps": 20, "model": ["4", 0]},
        "_meta": {"title": "KSampler"},
        "is_changed": [float("nan")],
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5.safetensors"}},
}
COMFY = {
    "last_node_id": 9,
    "nodes": [{"id": 3, "type": "KSampler", "pos": [1, 2], "widgets_values": [5]}],
    "links": [[1, 4, 0, 3, 0, "MODEL"]],
    "groups": [],
    "version": 0.4,
}
INVOKE = {
    "name": "Text to image",
    "meta": {"version": "3.0.0", "category": "default"},
    "nodes": [{"id": "a", "type": "invocation", "data": {"type": "noise", "inputs": {}}}],
    "edges": [{"source": "a", "target": "b", "type": "default"}],
    "exposedFields": [],
}
INVOKE_GRAPH = {"id": "1", "nodes": {"a": {"type": "noise", "id": "a"}}, "edges": []}
A1111 = (
    "a cat, (fluffy:1.2)\nNegative prompt: blurry\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model hash: abc, Version: v1.10.1"
)

KNOWN = [
    (json.dumps(COMFY_API), "a ComfyUI workflow in the API format"),
    (json.dumps({"client_id": "x", "prompt": COMFY_API}), "a ComfyUI workflow in the API format"),
    (json.dumps(COMFY), "a ComfyUI workflow"),
    ("\ufeff" + json.dumps(INVOKE), "an InvokeAI workflow"),
    (json.dumps(INVOKE_GRAPH), "an InvokeAI workflow"),
    (A1111, "the generation parameters of A1111"),
]
UNKNOWN = [
    "{}",
    "[]",
    "[1",
    '{"nodes": {}}',
    '{"nodes": [], "links": {}}',
    "Steps: walk on",
    "",
    "{" * 99_999,
]


def refusal(path: Path) -> Problem:
    with pytest.raises(GraphError) as caught:
        source.load(path)
    return caught.value.problems[0]


@pytest.mark.parametrize(("text", "what"), KNOWN)
def test_a_file_of_another_program_is_called_by_its_name(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "graph.json"
    path.write_text(text)
    problem = refusal(path)
    assert problem.code == "other_program"
    assert problem.message == f"{path} is {what}, not a Safelight graph"
    assert problem.hint == "convert it with safelight import"


@pytest.mark.parametrize("text", UNKNOWN)
def test_files_without_an_importer_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "graph.json"
    path.write_text(text)
    assert foreign.recognised(text) is None
    assert refusal(path).code != "other_program"


def test_a_broken_graph_of_our_own_is_not_taken_for_anothers(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text(json.dumps({"safelight": 1, "nodes": [], "links": [], "edges": []}))
    assert refusal(path).code == "unknown_key"


@pytest.mark.parametrize(
    ("chunks", "program"),
    [
        ({"prompt": json.dumps(COMFY_API), "workflow": json.dumps(COMFY)}, "ComfyUI"),
        ({"parameters": A1111}, "A1111"),
        ({"invokeai_metadata": "{}", "invokeai_workflow": "{}"}, "InvokeAI"),
    ],
)
def test_a_picture_of_another_program_says_whose_it_is(
    tmp_path: Path, chunks: dict[str, str], program: str
) -> None:
    texts = PngInfo()
    for keyword, text in chunks.items():
        texts.add_text(keyword, text)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=texts)
    path = tmp_path / "picture.png"
    path.write_bytes(file.getvalue())
    problem = refusal(path)
    assert problem.code == "other_program"
    assert program in problem.message
