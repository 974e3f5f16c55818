"""ComfyUI's nodes that merge models, made into nodes of ours."""

from __future__ import annotations

from typing import Any

import pytest

from engine.check.check import check
from tests.nodes.interchange.other_tools import REGISTRY, imported, values

LOADERS = {
    key: {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "safelight-tiny.safetensors"}}
    for key in ("1", "2")
}
MODELS = {"model1": ["1", 0], "model2": ["2", 0]}
CLIPS = {"clip1": ["1", 1], "clip2": ["2", 1]}


@pytest.mark.parametrize(
    ("kind", "inputs", "wanted"),
    [
        ("ModelMergeSimple", {**MODELS, "ratio": 0.7}, {"amount": 0.3}),
        ("ModelMergeAdd", MODELS, {"method": "add", "amount": 1.0}),
        ("ModelMergeSubtract", {**MODELS, "multiplier": -2.0}, {"method": "subtract", "amount": -2.0}),
        ("CLIPMergeSimple", {**CLIPS, "ratio": 1.0}, {"amount": 0.0}),
    ],
)
def test_a_merge_becomes_its_counterpart(kind: str, inputs: dict[str, Any], wanted: dict[str, Any]) -> None:
    graph = imported({**LOADERS, "3": {"class_type": kind, "inputs": inputs}}).graph
    output = "encoder" if kind.startswith("CLIP") else "model"
    ends = {"a": f"model-1.{output}", "b": f"model-2.{output}"}
    assert values(graph, "merge-3") == {**ends, **wanted}
    assert not [problem for problem in check(graph, REGISTRY).problems if problem.node == "merge-3"]


def test_a_ratio_that_is_computed_is_kept_as_it_is() -> None:
    merge = {"class_type": "ModelMergeSimple", "inputs": {**MODELS, "ratio": ["9", 0]}}
    assert imported({**LOADERS, "3": merge}).graph.nodes["merge-3"].type == "comfy/ModelMergeSimple"
