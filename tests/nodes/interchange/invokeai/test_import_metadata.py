"""Metadata and workflows of InvokeAI's ages, made into graphs."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from nodes.interchange.sampler_names import INVOKE_SCHEDULERS
from tests.nodes.interchange.other_tools import checked, codes, defaults, imported, told, values

METADATA: dict[str, Any] = {
    "generation_mode": "txt2img",
    "positive_prompt": "a lighthouse++ at (dusk)1.2",
    "negative_prompt": "fog",
    "width": 512,
    "height": 768,
    "seed": 3405691582,
    "rand_device": "cpu",
    "cfg_scale": 7.5,
    "cfg_rescale_multiplier": 0,
    "steps": 30,
    "scheduler": "dpmpp_2m_k",
    "clip_skip": 1,
    "model": {
        "key": "4ba1f3e0",
        "hash": "blake3:0011",
        "name": "stable-diffusion-v1-5",
        "base": "sd-1",
        "type": "main",
    },
    "loras": [{"model": {"key": "x", "hash": "blake3:22", "name": "ink", "base": "sd-1"}, "weight": 0.6}],
    "app_version": "5.4.2",
}
OLDER = {
    "model": "stable diffusion",
    "model_weights": "stable-diffusion-1.5",
    "model_hash": "cc6cb27103417325",
    "app_id": "invoke-ai/InvokeAI",
    "app_version": "2.3.5",
    "image": {
        "prompt": [{"prompt": "a lighthouse [fog, rain] at dusk [dull]", "weight": 1}],
        "steps": 50,
        "cfg_scale": 7.5,
        "threshold": 0,
        "perlin": 0,
        "height": 512,
        "width": 640,
        "seed": 1818,
        "seamless": False,
        "hires_fix": False,
        "type": "txt2img",
        "postprocessing": None,
        "sampler": "k_euler_a",
        "variations": [],
    },
}
DREAM = '"a lighthouse [fog] at \\"dusk\\"" -s 50 -S 1818 -W 640 -H 512 -C 7.5 -A k_lms'


def test_metadata() -> None:
    found = imported({"invokeai_metadata": json.dumps(METADATA)})
    graph = found.graph
    assert found.origin == "InvokeAI's metadata"
    assert defaults(graph) == {
        "prompt": "a lighthouse++ at (dusk)1.2",
        "negative": "fog",
        "model": None,
        "width": 512,
        "height": 768,
        "seed": 3405691582,
        "steps": 30,
        "guidance": 7.5,
    }
    for node in ("positive", "negative"):
        assert (values(graph, node)["dialect"], values(graph, node)["clip_skip"]) == ("compel", 2)
    said = values(graph, "denoise")
    assert (said["sampler"], said["schedule"]) == ("dpmpp_2m", "karras")
    assert values(graph, "lora")["weight"] == 0.6
    assert sorted(codes(found)) == ["missing_lora", "missing_model"]
    assert "stable-diffusion-v1-5" in told(found)
    assert checked(graph, model="safelight-tiny").ok


def test_invokeai_adapters_give_warnings() -> None:
    metadata = {
        **METADATA,
        "generation_mode": "img2img",
        "strength": 0.55,
        "init_image": "a.png",
        "controlnets": [{"image": {}}],
        "vae": {"name": "mse"},
        "scheduler": "unipc",
        "rand_device": "cuda",
    }
    found = imported({"invokeai_metadata": json.dumps(metadata)})
    for field in ("controlnets", "vae", "scheduler: unipc"):
        assert field in told(found)
    assert values(found.graph, "denoise")["noise"] == "nv"
    assert defaults(found.graph)["strength"] == 0.55
    assert found.graph.inputs["image"].required
    assert checked(found.graph, model="safelight-tiny", image="a.png").ok


def test_version_3_0_names_models_otherwise() -> None:
    metadata = {
        **METADATA,
        "model": {"model_name": "dream_8", "base_model": "sd-1"},
        "loras": [{"lora": {"model_name": "ink", "base_model": "sd-1"}, "weight": 0.5}],
    }
    found = imported({"invokeai_metadata": json.dumps(metadata)})
    assert "dream_8" in told(found)
    assert values(found.graph, "lora")["lora"] == "ink"


def test_older_metadata_has_its_negative_prompt_in_brackets() -> None:
    found = imported({"sd-metadata": json.dumps(OLDER), "Dream": DREAM})
    assert found.origin == "InvokeAI's older metadata"
    assert defaults(found.graph) == {
        "prompt": "a lighthouse at dusk",
        "negative": "fog, rain dull",
        "model": None,
        "width": 640,
        "height": 512,
        "seed": 1818,
        "steps": 50,
        "guidance": 7.5,
    }
    assert values(found.graph, "denoise")["sampler"] == "euler_ancestral"
    assert codes(found) == ["missing_model"]
    assert checked(found.graph, model="safelight-tiny").ok


@pytest.mark.parametrize("line", [DREAM, DREAM.replace("-s 50", "-s50").replace("-C 7.5", "-C7.5")])
def test_the_oldest_is_a_command_line(line: str) -> None:
    found = imported({"Dream": line})
    assert (found.origin, defaults(found.graph)["prompt"]) == ("InvokeAI's Dream", 'a lighthouse at "dusk"')
    assert defaults(found.graph) | {"model": None} == {
        "prompt": 'a lighthouse at "dusk"',
        "negative": "fog",
        "model": None,
        "width": 640,
        "height": 512,
        "seed": 1818,
        "steps": 50,
        "guidance": 7.5,
    }
    assert values(found.graph, "denoise")["sampler"] == "lms"


def field(name: str, value: Any = None) -> dict[str, Any]:
    return {"name": name, "label": ""} | ({} if value is None else {"value": value})


def invocation(name: str, kind: str, intermediate: bool = True, **inputs: Any) -> dict[str, Any]:
    return {
        "id": name,
        "type": "invocation",
        "data": {
            "id": name,
            "version": "1.0.0",
            "label": "",
            "notes": "",
            "type": kind,
            "inputs": {key: field(key, value) for key, value in inputs.items()},
            "isOpen": True,
            "isIntermediate": intermediate,
            "useCache": True,
        },
        "position": {"x": 600.4, "y": -25},
    }


def edge(source: str, out: str, target: str, into: str) -> dict[str, str]:
    ends = {"source": source, "sourceHandle": out, "target": target, "targetHandle": into}
    return {"id": f"{source}-{target}", "type": "default", **ends}


WORKFLOW: dict[str, Any] = {
    "name": "Text to Image - SD1.5, LoRA",
    "author": "InvokeAI",
    "description": "Simple text to image workflow with a LoRA",
    "meta": {"version": "3.0.0", "category": "default"},
    "exposedFields": [],
    "nodes": [
        invocation("l2i-1", "l2i", False, tiled=False, fp32=True),
        invocation("pos-1", "compel", prompt="a tiger cub"),
        invocation("lora-1", "lora_loader", lora={"name": "ink"}, weight=0.5),
        invocation("load-1", "main_model_loader", model={"key": "k", "name": "dream_8", "base": "sd-1"}),
        invocation("skip-1", "clip_skip", skipped_layers=1),
        invocation("neg-1", "compel", prompt=""),
        invocation(
            "den-1",
            "denoise_latents",
            steps=30,
            cfg_scale=7.5,
            denoising_start=0,
            denoising_end=1,
            scheduler="euler",
            cfg_rescale_multiplier=0,
        ),
        invocation("noise-1", "noise", seed=0, width=512, height=768, use_cpu=True),
        invocation("rand-1", "rand_int", low=0, high=2147483647),
        {"id": "n", "type": "notes", "data": {"type": "notes"}, "position": {"x": 0, "y": 0}},
    ],
    "edges": [
        {"id": "c", "type": "collapsed", "source": "rand-1", "target": "noise-1"},
        edge("load-1", "unet", "lora-1", "unet"),
        edge("load-1", "clip", "skip-1", "clip"),
        edge("skip-1", "clip", "lora-1", "clip"),
        edge("lora-1", "clip", "pos-1", "clip"),
        edge("lora-1", "clip", "neg-1", "clip"),
        edge("lora-1", "unet", "den-1", "unet"),
        edge("pos-1", "conditioning", "den-1", "positive_conditioning"),
        edge("neg-1", "conditioning", "den-1", "negative_conditioning"),
        edge("noise-1", "noise", "den-1", "noise"),
        edge("rand-1", "value", "noise-1", "seed"),
        edge("den-1", "latents", "l2i-1", "latents"),
        edge("load-1", "vae", "l2i-1", "vae"),
    ],
}


def test_the_workflow_of_the_editor() -> None:
    found = imported(WORKFLOW)
    graph = found.graph
    assert (found.origin, graph.title) == ("InvokeAI's workflow", "Text to Image - SD1.5, LoRA")
    kinds = {node.partition("-")[0]: node for node in graph.nodes}
    assert values(graph, kinds["denoise"]) == {
        "model": f"{kinds['lora']}.model",
        "positive": "prompt-2.out",
        "negative": "prompt-5.out",
        "latent": f"{kinds['canvas']}.out",
        "seed": 0,
        "steps": 30,
        "guidance": 7.5,
        "sampler": "euler",
        "schedule": "ddim_diffusers",
    }
    assert values(graph, "prompt-2")["clip_skip"] == 2
    assert values(graph, kinds["lora"])["encoder"] == f"{kinds['model']}.encoder"
    assert str(graph.outputs["image"]) == f"{kinds['decode']}.out"
    assert graph.layout[kinds["model"]] == [600, -25]
    assert set(defaults(graph)) == {
        "model",
        "prompt",
        "negative",
        "seed",
        "steps",
        "guidance",
        "width",
        "height",
    }
    assert sorted(codes(found)) == ["missing_lora", "missing_model", "random"]
    assert checked(graph, model="safelight-tiny").ok


def test_the_graph_that_was_run() -> None:
    nodes: dict[str, dict[str, Any]] = {}
    for item in WORKFLOW["nodes"][:-1]:
        data = item["data"]
        plain = {name: given["value"] for name, given in data["inputs"].items() if "value" in given}
        shown = {"is_intermediate": data["isIntermediate"], "use_cache": True}
        nodes[item["id"]] = {"id": item["id"], "type": data["type"], **shown, **plain}
    edges = [
        {
            "source": {"node_id": one["source"], "field": one["sourceHandle"]},
            "destination": {"node_id": one["target"], "field": one["targetHandle"]},
        }
        for one in WORKFLOW["edges"][1:]
    ]
    graph = imported({"invokeai_graph": json.dumps({"id": "g", "nodes": nodes, "edges": edges})}).graph
    assert graph.nodes == imported(WORKFLOW).graph.nodes
    assert graph.inputs == imported(WORKFLOW).graph.inputs


def test_unknown_invocations_keep_their_values_and_wires() -> None:
    tree = copy.deepcopy(WORKFLOW)
    tree["nodes"].append(invocation("up-1", "esrgan", model_name="x4.pth", tile_size=400))
    tree["edges"].append(edge("l2i-1", "image", "up-1", "image"))
    tree["nodes"].append(invocation("save-1", "save_image", board="auto"))
    tree["edges"].append(edge("up-1", "image", "save-1", "image"))
    found = imported(tree)
    (node,) = (name for name, entry in found.graph.nodes.items() if entry.type == "invokeai/esrgan")
    said = values(found.graph, node)
    assert (said["model_name"], said["tile_size"]) == ("x4.pth", 400)
    assert said["image"].startswith("decode-")
    assert f"{node}.image" in [str(link) for link in found.graph.outputs.values()]
    assert [problem.code for problem in checked(found.graph, model="safelight-tiny").problems] == [
        "unknown_type"
    ]


def test_guided_sampling_is_no_plain_sampling() -> None:
    tree = copy.deepcopy(WORKFLOW)
    tree["nodes"].append(invocation("cn-1", "controlnet", control_weight=1))
    tree["edges"].append(edge("cn-1", "control", "den-1", "control"))
    kinds = {entry.type for entry in imported(tree).graph.nodes.values()}
    assert {"invokeai/denoise_latents", "invokeai/controlnet"} <= kinds


def test_metadata_says_more_than_a_workflow_that_draws_its_seed() -> None:
    both = {"invokeai_metadata": json.dumps(METADATA), "invokeai_workflow": json.dumps(WORKFLOW)}
    assert imported(both).origin == "InvokeAI's metadata"
    both["invokeai_metadata"] = json.dumps({"app_version": "5"})
    assert imported(both).origin == "the workflow of InvokeAI"


@pytest.mark.parametrize("name", INVOKE_SCHEDULERS)
def test_every_scheduler_is_one_of_ours(name: str) -> None:
    found = imported({"invokeai_metadata": json.dumps({**METADATA, "scheduler": name})})
    assert checked(found.graph, model="safelight-tiny").ok
    assert "left_out" not in codes(found)
