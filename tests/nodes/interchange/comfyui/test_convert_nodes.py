"""ComfyUI's workflows, as its editor and its API write them, made into graphs."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from engine.check.check import check
from engine.document.reader import parse
from engine.document.writer import dump
from engine.errors import GraphError
from nodes.interchange.comfyui import graph_data
from nodes.sd.sampling.noise_table import NoiseTable
from nodes.sd.sampling.schedules import schedule
from tests.nodes.interchange.other_tools import REGISTRY, checked, codes, defaults, imported, told, values

PROMPT: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 156680208700286,
            "steps": 20,
            "cfg": 8,
            "sampler_name": "dpmpp_2m_sde_gpu",
            "scheduler": "karras",
            "denoise": 1,
            "model": ["10", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
        "_meta": {"title": "KSampler"},
        "is_changed": [float("nan")],
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sub\\dream_8.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 2}},
    "6": {
        "class_type": "CLIPTextEncode",
        "inputs": {"text": "a (cat:1.2), embedding:easy", "clip": ["11", 0]},
    },
    "7": {
        "class_type": "CLIPTextEncode",
        "inputs": {"text": "blurry", "clip": ["4", 1]},
        "_meta": {"title": "Not"},
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "../../x", "images": ["8", 0]}},
    "10": {
        "class_type": "LoraLoader",
        "inputs": {
            "lora_name": "ink.safetensors",
            "strength_model": 0.8,
            "strength_clip": 0.5,
            "model": ["4", 0],
            "clip": ["4", 1],
        },
    },
    "11": {"class_type": "CLIPSetLastLayer", "inputs": {"stop_at_clip_layer": -2, "clip": ["10", 1]}},
}


def node(number: int, kind: str, widgets: Any = (), **more: Any) -> dict[str, Any]:
    inputs = [
        {"name": name, "type": wire, "link": link} for name, (wire, link) in more.pop("inputs", {}).items()
    ]
    outputs = [{"name": name, "type": name, "links": []} for name in more.pop("outputs", ())]
    widgets = widgets if isinstance(widgets, dict) else list(widgets)
    return {
        "id": number,
        "type": kind,
        "pos": [number * 100, 50.4],
        "size": {"0": 1, "1": 2},
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": inputs,
        "outputs": outputs,
        "properties": {"Node name for S&R": kind},
        "widgets_values": widgets,
        **more,
    }


def workflow() -> dict[str, Any]:
    return {
        "last_node_id": 20,
        "last_link_id": 20,
        "nodes": [
            node(
                3,
                "KSampler",
                (5, "randomize", 20, 8, "euler", "normal", 1),
                inputs={
                    "model": ("MODEL", 1),
                    "positive": ("CONDITIONING", 4),
                    "negative": ("CONDITIONING", 6),
                    "latent_image": ("LATENT", 2),
                },
                outputs=("LATENT",),
            ),
            node(4, "CheckpointLoaderSimple", ("dream_8.safetensors",), outputs=("MODEL", "CLIP", "VAE")),
            node(5, "EmptyLatentImage", (128, 64, 1), outputs=("LATENT",)),
            node(
                6,
                "CLIPTextEncode",
                ("a red circle",),
                inputs={"clip": ("CLIP", 3)},
                outputs=("CONDITIONING",),
            ),
            node(7, "CLIPTextEncode", ("blurry",), inputs={"clip": ("CLIP", 5)}, outputs=("CONDITIONING",)),
            node(8, "VAEDecode", inputs={"samples": ("LATENT", 7), "vae": ("VAE", 8)}, outputs=("IMAGE",)),
            node(9, "SaveImage", ("ComfyUI",), inputs={"images": ("IMAGE", 9)}),
            node(12, "Note", ("for people",)),
        ],
        "links": [
            [1, 4, 0, 3, 0, "MODEL"],
            [2, 5, 0, 3, 3, "LATENT"],
            [3, 4, 1, 6, 0, "CLIP"],
            [4, 6, 0, 3, 1, "CONDITIONING"],
            [5, 4, 1, 7, 0, "CLIP"],
            [6, 7, 0, 3, 2, "CONDITIONING"],
            [7, 3, 0, 8, 0, "LATENT"],
            [8, 4, 2, 8, 1, "VAE"],
            [9, 8, 0, 9, 0, "IMAGE"],
        ],
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def test_the_api_form() -> None:
    found = imported(PROMPT)
    graph = found.graph
    assert found.origin == "ComfyUI's workflow in the API format"
    assert defaults(graph) == {
        "model": None,
        "prompt": "a (cat:1.2), embedding:easy",
        "negative": "blurry",
        "seed": 156680208700286,
        "steps": 20,
        "guidance": 8,
        "width": 512,
        "height": 768,
    }
    assert values(graph, "denoise-3") == {
        "model": "lora-10.model",
        "positive": "prompt-6.out",
        "negative": "prompt-7.out",
        "latent": "canvas-5.out",
        "seed": 156680208700286,
        "steps": 20,
        "guidance": 8,
        "sampler": "dpmpp_2m_sde",
        "schedule": "karras",
        "noise": "comfyui_gpu",
        "follow": "comfyui",
    }
    assert values(graph, "lora-10") == {
        "model": "model-4.model",
        "encoder": "model-4.encoder",
        "lora": "ink.safetensors",
        "weight": 0.8,
        "encoder_weight": 0.5,
        "on": False,
    }
    positive = values(graph, "prompt-6")
    assert (positive["dialect"], positive["clip_skip"]) == ("comfy", 2)
    assert values(graph, positive["encoder"].partition(".")[0]) == {"encoder": "lora-10.encoder"}
    assert "clip_skip" not in values(graph, "prompt-7")
    assert graph.nodes["prompt-7"].title == "Not"
    assert values(graph, "canvas-5")["batch"] == 2
    assert {name: str(link) for name, link in graph.outputs.items()} == {"image": "decode-8.out"}
    assert sorted(codes(found)) == [
        "missing_embedding",
        "missing_lora",
        "missing_model",
    ]
    assert checked(graph, model="safelight-tiny").ok


def test_imported_prompts_equal_those_sent_to_comfyui_s_server() -> None:
    assert imported({"client_id": "x", "prompt": PROMPT}).graph == imported(PROMPT).graph


def test_the_form_of_the_editor_keeps_its_layout() -> None:
    graph = imported(workflow()).graph
    assert graph.layout["denoise-3"] == [300, 50]
    assert set(graph.layout) == set(graph.nodes) == {
        "denoise-3", "model-4", "canvas-5", "prompt-6", "prompt-7", "decode-8"
    }  # fmt: skip
    assert values(graph, "denoise-3") == {
        "model": "model-4.model",
        "positive": "prompt-6.out",
        "negative": "prompt-7.out",
        "latent": "canvas-5.out",
        "seed": 5,
        "steps": 20,
        "guidance": 8,
        "sampler": "euler",
        "schedule": "normal",
        "noise": "comfyui",
        "follow": "comfyui",
    }
    assert (defaults(graph)["width"], defaults(graph)["height"]) == (128, 64)
    assert checked(graph, model="safelight-tiny").ok


@pytest.mark.parametrize("second", ["fixed", True, None])
def test_the_control_word_after_a_seed_is_not_a_value(second: Any) -> None:
    tree = workflow()
    widgets = [5, second, 20, 8, "euler", "normal", 1]
    tree["nodes"][0]["widgets_values"] = widgets if second is not None else [5, *widgets[2:]]
    said = values(imported(tree).graph, "denoise-3")
    assert (said["seed"], said["steps"], said["sampler"]) == (5, 20, "euler")


def test_a_picture_has_layout_from_the_one_and_names_from_the_other() -> None:
    tree, api = workflow(), copy.deepcopy(PROMPT)
    tree["nodes"].append(node(20, "Upscaler", [2, "soft"], inputs={"image": ("IMAGE", 9)}))
    api["20"] = {"class_type": "Upscaler", "inputs": {"scale": 2, "mode": "soft", "image": ["8", 0]}}
    api["3"]["inputs"]["seed"] = 77
    found = imported({"workflow": json.dumps(tree), "prompt": json.dumps(api)})
    assert found.origin == "the workflow that ComfyUI wrote"
    assert values(found.graph, "Upscaler-20") == {"scale": 2, "mode": "soft", "image": "decode-8.out"}
    assert defaults(found.graph)["seed"] == 77
    assert "denoise-3" in found.graph.layout
    assert imported({"prompt": json.dumps(api)}).origin == "the prompt that ComfyUI wrote"
    assert imported({"workflow": "{broken", "prompt": json.dumps(api)}).graph.nodes


def test_unknown_nodes_keep_all_and_only_running_them_is_a_problem() -> None:
    tree = workflow()
    odd = {"a": [1, {"b": None}], "from": "x"}
    tree["nodes"].append(
        node(
            20,
            "Detailer (pack.v2)",
            [odd, 1.5],
            inputs={"image": ("IMAGE", 10)},
            outputs=("IMAGE", "a.b", "IMAGE"),
        )
    )
    tree["nodes"].append(node(21, "PreviewImage", inputs={"images": ("IMAGE", 11)}))
    tree["links"] += [[10, 8, 0, 20, 0, "IMAGE"], [11, 20, 1, 21, 0, "IMAGE"]]
    found = imported(tree)
    graph = found.graph
    (name,) = (name for name, entry in graph.nodes.items() if entry.type.startswith("comfy/"))
    assert graph.nodes[name].type == "comfy/Detailer_pack.v2_"
    assert graph.nodes[name].title == "Detailer (pack.v2)"
    assert values(graph, name) == {"widgets_values": [odd, 1.5], "image": "decode-8.out"}
    assert str(graph.outputs["preview"]) == f"{name}.a_b"
    assert parse(dump(graph)) == graph
    assert [problem.code for problem in checked(graph, model="safelight-tiny").problems] == ["unknown_type"]
    assert "unknown_node" in codes(found)
    without = check(parse(dump(graph)), REGISTRY, {"model": "safelight-tiny"})
    assert "decode-8" in without.steps, "all that does not need it is sound"


def test_a_type_of_ours_by_another_pack_is_not_taken_for_ours() -> None:
    graph = imported({**PROMPT, "30": {"class_type": "Grid", "inputs": {"images": ["8", 0]}}}).graph
    assert graph.nodes["Grid-30"].type == "comfy/Grid"


def test_bends_and_primitives_vanish() -> None:
    tree = workflow()
    tree["nodes"] += [
        node(13, "Reroute", inputs={"": ("*", 1)}, outputs=("MODEL",)),
        node(14, "Reroute", inputs={"": ("*", 13)}, outputs=("MODEL",)),
        node(15, "PrimitiveNode", (31, "fixed"), outputs=("INT",)),
        node(16, "PrimitiveString", ("a star",), outputs=("STRING",)),
    ]
    sampler, prompt = tree["nodes"][0], tree["nodes"][3]
    sampler["inputs"][0]["link"] = 14
    sampler["inputs"].append({"name": "steps", "type": "INT", "widget": {"name": "steps"}, "link": 15})
    prompt["inputs"].append({"name": "text", "type": "STRING", "widget": {"name": "text"}, "link": 16})
    tree["links"] += [
        [13, 13, 0, 14, 0, "MODEL"],
        [14, 14, 0, 3, 0, "MODEL"],
        [15, 15, 0, 3, 4, "INT"],
        [16, 16, 0, 6, 1, "STRING"],
    ]
    graph = imported(tree).graph
    assert values(graph, "denoise-3")["model"] == "model-4.model"
    assert (defaults(graph)["steps"], defaults(graph)["prompt"]) == (31, "a star")
    assert not any("reroute" in name.lower() or "primitive" in name.lower() for name in graph.nodes)


def with_lora(mode: int) -> dict[str, Any]:
    tree = workflow()
    lora = node(
        10,
        "LoraLoader",
        ("ink.safetensors", 0.8, 0.8),
        inputs={"model": ("MODEL", 1), "clip": ("CLIP", 3)},
        outputs=("MODEL", "CLIP"),
        mode=mode,
    )
    tree["nodes"].append(lora)
    tree["links"] += [[20, 10, 0, 3, 0, "MODEL"], [21, 10, 1, 6, 0, "CLIP"]]
    tree["nodes"][0]["inputs"][0]["link"] = 20
    tree["nodes"][3]["inputs"][0]["link"] = 21
    return tree


@pytest.mark.parametrize("mode", [2, 4])
def test_a_lora_that_is_off_is_stepped_around(mode: int) -> None:
    graph = imported(with_lora(mode)).graph
    assert graph.nodes["lora-10"].off
    sound = checked(graph, model="safelight-tiny")
    assert sound.ok
    assert str(sound.steps["denoise-3"].links["model"]) == "model-4.model"
    assert str(sound.steps["prompt-6"].links["encoder"]) == "model-4.encoder"
    assert not imported(with_lora(0)).graph.nodes["lora-10"].off


def test_a_bypassed_node_hands_on_the_wire_of_its_type() -> None:
    tree = workflow()
    tree["nodes"].append(
        node(
            20,
            "FaceDetailer",
            (512,),
            inputs={"mask": ("MASK", None), "image": ("IMAGE", 9)},
            outputs=("IMAGE",),
            mode=4,
        )
    )
    tree["links"].append([20, 20, 0, 9, 0, "IMAGE"])
    tree["nodes"][6]["inputs"][0]["link"] = 20
    found = imported(tree)
    assert str(found.graph.outputs["image"]) == "decode-8.out"
    assert found.graph.nodes["FaceDetailer-20"].off
    assert checked(found.graph, model="safelight-tiny").ok


def test_a_muted_saver_saves_nothing() -> None:
    tree = workflow()
    tree["nodes"][6]["mode"] = 2
    found = imported(tree)
    assert found.graph.outputs == {}
    assert "no_output" in codes(found)


def test_a_lora_for_the_model_alone_leaves_the_encoder() -> None:
    api = copy.deepcopy(PROMPT)
    api["10"] = {
        "class_type": "LoraLoaderModelOnly",
        "inputs": {"lora_name": "ink", "strength_model": 0.8, "model": ["4", 0]},
    }
    api["11"]["inputs"]["clip"] = ["4", 1]
    said = values(imported(api).graph, "lora-10")
    assert (said["encoder"], said["weight"], said["encoder_weight"]) == ("model-4.encoder", 0.8, 0)


@pytest.mark.parametrize(
    ("steps", "share"), [(20, 0.5), (20, 0.75), (8, 0.33), (30, 0.999), (1, 0.5), (20, 0.04)]
)
def test_a_share_of_the_steps_runs_the_very_steps_of_comfy(steps: int, share: float) -> None:
    api = copy.deepcopy(PROMPT)
    api["3"]["inputs"] |= {"steps": steps, "denoise": share}
    said = values(imported(api).graph, "denoise-3")
    table = NoiseTable()
    whole = schedule("karras", int(steps / share), table).sigmas  # ComfyUI's KSampler.set_steps
    ours = schedule("karras", said["steps"], table).for_strength(said.get("strength", 1.0)).sigmas
    assert ours.tolist() == whole[-steps - 1 :].tolist()


@pytest.mark.parametrize("begin", [0, 1, 7, 19])
def test_the_sampler_with_more_switches_runs_its_last_steps(begin: int) -> None:
    api = copy.deepcopy(PROMPT)
    inputs = api["3"]["inputs"]
    inputs |= {"noise_seed": 9, "add_noise": "enable", "start_at_step": begin, "end_at_step": 10000}
    inputs |= {"return_with_leftover_noise": "disable"}
    api["3"]["class_type"] = "KSamplerAdvanced"
    said = values(imported(api).graph, "denoise-3")
    assert (said["seed"], said["steps"], said.get("start_step", 0)) == (9, 20, begin)
    assert not {"end_step", "add_noise", "keep_noise", "strength"} & said.keys()
    inputs |= {"add_noise": "disable", "return_with_leftover_noise": "enable", "end_at_step": 19}
    said = values(imported(api).graph, "denoise-3")
    if begin < 19:
        assert (said["add_noise"], said["keep_noise"], said["end_step"]) == (False, True, 19)
    else:
        assert imported(api).graph.nodes["denoise-3"].type == "comfy/KSamplerAdvanced", "no step is left"


def test_image_to_image_asks_for_its_picture(tmp_path: Path) -> None:
    api = copy.deepcopy(PROMPT)
    api["5"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["13", 0], "vae": ["4", 2]}}
    api["12"] = {"class_type": "LoadImage", "inputs": {"image": "start.png", "upload": "image"}}
    scale = {"upscale_method": "lanczos", "width": 512, "height": 512, "crop": "center", "image": ["12", 0]}
    api["13"] = {"class_type": "ImageScale", "inputs": scale}
    graph = imported(api, tmp_path).graph
    assert graph.inputs["image"].required
    assert values(graph, "resize-13") == {
        "image": "picture-12.out",
        "width": 512,
        "height": 512,
        "fit": "crop",
    }
    assert values(graph, "encode-5") == {"vae": "model-4.vae", "image": "resize-13.out"}
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "start.png").write_bytes(b"x")
    assert defaults(imported(api, tmp_path).graph)["image"] == "start.png"
    api["13"]["inputs"]["width"] = 0
    assert values(imported(api).graph, "resize-13")["width"] == 0


def subgraphed() -> dict[str, Any]:
    """The sampler and the decoder in a subgraph with two promoted widgets, as editors since 2025 write it."""
    tree = workflow()
    inner_nodes = [tree["nodes"].pop(0), tree["nodes"].pop(4)]
    assert [item["type"] for item in inner_nodes] == ["KSampler", "VAEDecode"]
    for item, numbers in zip(inner_nodes, ((1, 2, 3, 4), (5, 6)), strict=True):
        for given, link in zip(item["inputs"], numbers, strict=True):
            given["link"] = link
    inner_nodes[0]["inputs"].append({"name": "cfg", "type": "FLOAT", "widget": {"name": "cfg"}, "link": 8})

    def wire(number: int, origin: int, slot: int, target: int, place: int) -> dict[str, Any]:
        ends = {"origin_id": origin, "origin_slot": slot, "target_id": target, "target_slot": place}
        return {"id": number, **ends, "type": "*"}

    names = ("model", "positive", "negative", "latent_image", "vae", "cfg")
    links = [wire(n + 1, -10, n, 3, n) for n in range(4)]
    links += [wire(5, 3, 0, 8, 0), wire(6, -10, 4, 8, 1), wire(7, 8, 0, -20, 0), wire(8, -10, 5, 3, 4)]
    tree["definitions"] = {
        "subgraphs": [
            {
                "id": "f2fdebf6-dfaf-43b6-9eb2-7f70613cfdc1",
                "version": 1,
                "name": "Draw",
                "inputNode": {"id": -10},
                "outputNode": {"id": -20},
                "inputs": [{"id": name, "name": name, "type": "*"} for name in names],
                "outputs": [{"id": "i", "name": "IMAGE", "type": "IMAGE"}],
                "nodes": inner_nodes,
                "links": links,
            }
        ]
    }
    outer = {
        "model": ("MODEL", 1), "positive": ("CONDITIONING", 4), "negative": ("CONDITIONING", 6),
        "latent_image": ("LATENT", 2), "vae": ("VAE", 8),
    }  # fmt: skip
    tree["nodes"].append(
        node(
            30,
            "f2fdebf6-dfaf-43b6-9eb2-7f70613cfdc1",
            (4.5, 1234),
            inputs=outer,
            outputs=("IMAGE",),
            properties={"proxyWidgets": [["-1", "cfg"], ["3", "seed"]]},
        )
    )
    tree["links"].append([30, 30, 0, 9, 0, "IMAGE"])
    tree["nodes"][4]["inputs"][0]["link"] = 30
    return tree


def test_subgraphs_are_written_out() -> None:
    found = imported(subgraphed())
    graph = found.graph
    assert codes(found) == ["missing_model"]
    assert values(graph, "denoise-30-3") == {
        "model": "model-4.model",
        "positive": "prompt-6.out",
        "negative": "prompt-7.out",
        "latent": "canvas-5.out",
        "seed": 1234,
        "steps": 20,
        "guidance": 4.5,
        "sampler": "euler",
        "schedule": "normal",
        "noise": "comfyui",
        "follow": "comfyui",
    }
    assert str(graph.outputs["image"]) == "decode-30-8.out"
    assert checked(graph, model="safelight-tiny").ok


def test_subgraphs_without_end_are_refused() -> None:
    tree = subgraphed()
    inner = tree["definitions"]["subgraphs"][0]
    inner["nodes"].append(node(40, inner["id"]))
    with pytest.raises(GraphError, match="deep"):
        imported(tree)
    inner["nodes"].pop()
    tree["nodes"] += [
        {**tree["nodes"][-1], "id": number} for number in range(100, 100 + graph_data.MAX_NODES // 2)
    ]
    with pytest.raises(GraphError, match="more than"):
        imported(tree)


def test_subgraphs_cannot_multiply_what_they_hold() -> None:
    tree = subgraphed()
    tree["definitions"]["subgraphs"][0]["nodes"][0]["properties"] = {"x": "x" * 1_000_000}
    tree["nodes"] += [{**tree["nodes"][-1], "id": number} for number in range(100, 140)]
    with pytest.raises(GraphError) as caught:
        imported(tree)
    assert [problem.code for problem in caught.value.problems] == ["too_large"]


def test_values_that_wires_spread_are_bounded() -> None:
    tree = workflow()
    tree["nodes"].append(node(50, "PrimitiveNode", ("x" * 1_000_000,), outputs=("STRING",)))
    for number in range(60, 90):
        tree["nodes"].append(node(number, "CLIPTextEncode", ("",), inputs={"text": ("STRING", number)}))
        tree["links"].append([number, 50, 0, number, 0, "STRING"])
    found = imported(tree)
    assert len(dump(found.graph)) < 10_000_000
    assert "too_large" in codes(found)


def test_a_seed_that_is_too_large_becomes_another_and_says_so() -> None:
    api = copy.deepcopy(PROMPT)
    api["3"]["inputs"]["seed"] = 2**64 - 1
    found = imported(api)
    assert defaults(found.graph)["seed"] == 2**53 - 1
    assert "the seed 18446744073709551615 is larger" in told(found)
    assert checked(found.graph, model="safelight-tiny").ok


def test_samplers_without_counterpart_are_named() -> None:
    api = copy.deepcopy(PROMPT)
    api["3"]["inputs"] |= {"sampler_name": "kohaku", "scheduler": "turbo"}
    found = imported(api)
    assert codes(found).count("left_out") == 2
    assert "kohaku" in told(found)
    assert checked(found.graph, model="safelight-tiny").ok


def test_wires_in_circles_end() -> None:
    tree = workflow()
    tree["nodes"] += [
        node(13, "Reroute", inputs={"": ("*", 14)}, outputs=("MODEL",)),
        node(14, "Reroute", inputs={"": ("*", 13)}, outputs=("MODEL",)),
    ]
    tree["links"] += [[13, 13, 0, 14, 0, "*"], [14, 14, 0, 13, 0, "*"], [15, 13, 0, 3, 0, "*"]]
    tree["nodes"][0]["inputs"][0]["link"] = 15
    graph = imported(tree).graph
    assert "model" not in values(graph, "denoise-3")
    assert "missing_input" in [problem.code for problem in checked(graph, model="safelight-tiny").problems]
