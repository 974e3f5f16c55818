"""What ComfyUI's editor resolves before a run: subgraph values, wires without nodes, comments, choices."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from engine.sources.foreign import Imported
from nodes.interchange.comfyui.prompt_text import resolve_prompt
from tests.nodes.interchange.comfyui.test_convert_nodes import PROMPT, node, workflow
from tests.nodes.interchange.other_tools import checked, codes, defaults, imported, values

WORKFLOWS = Path(__file__).parent / "workflows"


def imported_file(name: str, home: Path | None = None) -> Imported:
    return imported(json.loads((WORKFLOWS / f"{name}.json").read_text()), home)


def test_values_of_a_card_follow_the_order_of_the_subgraphs_inputs() -> None:
    found = imported_file("promoted_in_order")
    given = defaults(found.graph)
    assert (given["steps"], given["guidance"], given["seed"]) == (6, 3.5, 99)
    assert codes(found) == []


def test_a_file_name_that_a_wire_brings_goes_before_the_loaders_own(tmp_path: Path) -> None:
    loras = tmp_path / "models" / "loras"
    loras.mkdir(parents=True)
    for name in ("red", "blue"):
        (loras / f"{name}.safetensors").write_bytes(b"x")
    found = imported_file("names_by_wire", tmp_path)
    assert values(found.graph, "lora-2")["lora"] == "blue.safetensors"
    assert defaults(found.graph)["model"] == "safelight-tiny"
    assert codes(found) == []


def test_comments_do_not_reach_the_text_encoder() -> None:
    found = imported_file("comments")
    assert defaults(found.graph)["prompt"] == "a red circle \n on white"
    assert codes(found) == []


def test_a_choice_takes_its_first_option_and_warns() -> None:
    found = imported_file("choices")
    assert defaults(found.graph)["prompt"] == "a red circle"
    assert codes(found) == ["first_choice"]


def test_the_noise_of_a_batch_is_drawn_as_in_comfyui() -> None:
    found = imported_file("batch_of_4")
    assert codes(found) == []
    denoise = next(id for id, node in found.graph.nodes.items() if node.type.startswith("Denoise"))
    assert values(found.graph, denoise)["noise"] == "comfyui"
    assert values(found.graph, "canvas-4")["batch"] == 4


def test_an_embedding_with_a_dot_in_its_name_is_found(tmp_path: Path) -> None:
    assert codes(imported_file("dotted_embedding", tmp_path)) == ["missing_embedding"]
    folder = tmp_path / "models" / "embeddings"
    folder.mkdir(parents=True)
    (folder / "bad_v1.5.safetensors").write_bytes(b"x")
    assert codes(imported_file("dotted_embedding", tmp_path)) == []


@pytest.mark.parametrize("written", ["bad_v1.5.safetensors", "bad_v1.5", "sub/bad_v1.5"])
def test_an_embedding_may_have_its_suffix_and_folder(tmp_path: Path, written: str) -> None:
    folder = tmp_path / "models" / "embeddings"
    folder.mkdir(parents=True)
    (folder / "bad_v1.5.safetensors").write_bytes(b"x")
    api = copy.deepcopy(PROMPT)
    api["6"]["inputs"]["text"] = f"a cat, (embedding:{written}:1.2), blurry"
    assert "missing_embedding" not in codes(imported(api, tmp_path))


@pytest.mark.parametrize(
    ("text", "resolved", "choices"),
    [
        ("a // b\nc", "a \nc", ()),
        ("a /* b\nc */ d", "a  d", ()),
        ("see https://x", "see https:", ()),
        ("{a|b} c", "a c", ("{a|b}",)),
        ("{|b} c", " c", ("{|b}",)),
        ("{a{x|y}|b{z|w}} c", "ax c", ("{a{x|y}|b{z|w}}",)),
        (r"\{a|b\} {c\|d|e}", "{a|b} c|d", (r"{c\|d|e}",)),
        ("{a|b", "a", ("{a|b",)),
        ("a} | b", "a} | b", ()),
        ("{{{a", "a", ("{{{a",)),
    ],
)
def test_prompts_are_resolved_as_the_editor_does(text: str, resolved: str, choices: tuple[str, ...]) -> None:
    assert resolve_prompt(text) == (resolved, choices)


def test_text_in_the_api_format_is_resolved_already() -> None:
    api = copy.deepcopy(PROMPT)
    api["6"]["inputs"]["text"] = "a {red|blue} // circle"
    found = imported(api)
    assert defaults(found.graph)["prompt"] == "a {red|blue} // circle"
    assert "first_choice" not in codes(found)


@pytest.mark.parametrize(
    ("kind", "prompt"), [("PrimitiveNode", "a red circle"), ("PrimitiveString", "a {red|blue} circle")]
)
def test_text_of_a_node_that_the_server_runs_stays(kind: str, prompt: str) -> None:
    tree = workflow()
    tree["nodes"].append(node(16, kind, ("a {red|blue} circle",), outputs=("STRING",)))
    given = {"name": "text", "type": "STRING", "widget": {"name": "text"}, "link": 16}
    tree["nodes"][3]["inputs"].append(given)
    tree["links"].append([16, 16, 0, 6, 1, "STRING"])
    assert defaults(imported(tree).graph)["prompt"] == prompt


def through_reroutes(count: int, kind: str = "Reroute") -> dict[str, Any]:
    tree = workflow()
    first = 1000
    for number in range(count):
        tree["nodes"].append(node(first + number, kind, inputs={"": ("*", first + number)}, outputs=("*",)))
        before = (first + number - 1, 0) if number else (4, 0)
        tree["links"].append([first + number, *before, first + number, 0, "MODEL"])
    tree["links"].append([5000, first + count - 1, 0, 3, 0, "MODEL"])
    tree["nodes"][0]["inputs"][0]["link"] = 5000
    return tree


@pytest.mark.parametrize("kind", ["Reroute", "Reroute (rgthree)"])
def test_a_thousand_reroutes_in_a_row(kind: str) -> None:
    graph = imported(through_reroutes(1000, kind)).graph
    assert values(graph, "denoise-3")["model"] == "model-4.model"
    assert len(graph.nodes) == 6


def with_set_and_get(tree: dict[str, Any], name: str = "the model") -> dict[str, Any]:
    tree["nodes"] += [
        node(20, "SetNode", ("the model",), inputs={"MODEL": ("MODEL", 20)}, outputs=("*",)),
        node(21, "GetNode", (name,), outputs=("MODEL",)),
    ]
    tree["links"] += [[20, 4, 0, 20, 0, "MODEL"], [21, 21, 0, 3, 0, "MODEL"]]
    tree["nodes"][0]["inputs"][0]["link"] = 21
    return tree


def test_set_and_get_nodes_are_a_wire() -> None:
    graph = imported(with_set_and_get(workflow())).graph
    assert values(graph, "denoise-3")["model"] == "model-4.model"
    assert not any("SetNode" in entry.type or "GetNode" in entry.type for entry in graph.nodes.values())
    assert "model" not in values(imported(with_set_and_get(workflow(), "other")).graph, "denoise-3")


def test_a_get_node_finds_its_set_node_outside_of_its_subgraph() -> None:
    tree = with_set_and_get(workflow())
    sampler, getter = tree["nodes"].pop(0), tree["nodes"].pop()
    inner_links = [
        {"id": n, "origin_id": -10, "origin_slot": n, "target_id": 3, "target_slot": n + 1} for n in range(3)
    ]
    for number, given in enumerate(sampler["inputs"][1:]):
        given["link"] = number
    inner_links += [
        {"id": 21, "origin_id": 21, "origin_slot": 0, "target_id": 3, "target_slot": 0},
        {"id": 22, "origin_id": 3, "origin_slot": 0, "target_id": -20, "target_slot": 0},
    ]
    names = ("positive", "negative", "latent_image")
    inner = {
        "id": "box",
        "nodes": [sampler, getter],
        "links": inner_links,
        "inputs": [{"name": name} for name in names],
        "outputs": [{"name": "LATENT"}],
    }
    tree["definitions"] = {"subgraphs": [inner]}
    wired = {"positive": ("CONDITIONING", 4), "negative": ("CONDITIONING", 6), "latent_image": ("LATENT", 2)}
    tree["nodes"].append(node(30, "box", inputs=wired, outputs=("LATENT",)))
    for link in tree["links"]:
        if link[1] == 3:
            link[1] = 30
    graph = imported(tree).graph
    assert values(graph, "denoise-30-3")["model"] == "model-4.model"
    assert values(graph, "decode-8")["latent"] == "denoise-30-3.latent"


def grouped(card_values: list[Any]) -> dict[str, Any]:
    """A sampler with its primitive seed and the decoder in an old group node."""
    tree = workflow()
    sampler, decoder = tree["nodes"].pop(0), tree["nodes"].pop(4)
    assert decoder["type"] == "VAEDecode"
    for given in [*sampler["inputs"], *decoder["inputs"]]:
        given["link"] = None
    sampler["inputs"].append({"name": "steps", "type": "INT", "widget": {"name": "steps"}, "link": None})
    sampler["inputs"].append({"name": "cfg", "type": "FLOAT", "widget": {"name": "cfg"}, "link": None})
    primitive = node(50, "PrimitiveNode", (12, "fixed"), outputs=("INT",))
    tree["extra"]["groupNodes"] = {
        "Draw": {
            "nodes": [primitive, sampler, decoder],
            "links": [
                [None, 0, 1, 0, 4, "MODEL"],
                [0, 0, 1, 4, 50, "INT"],
                [1, 0, 2, 0, 3, "LATENT"],
            ],
            "external": [[2, 0, "IMAGE"]],
        }
    }
    tree["extra"]["groupNodes"]["Draw"]["links"].pop(0)
    wired = {
        "model": ("MODEL", 1),
        "positive": ("CONDITIONING", 4),
        "negative": ("CONDITIONING", 6),
        "latent_image": ("LATENT", 2),
        "VAEDecode vae": ("VAE", 8),
    }
    tree["nodes"].append(node(30, "workflow>Draw", card_values, inputs=wired, outputs=("IMAGE",)))
    for link in tree["links"]:
        if link[1] == 8:
            link[1] = 30
    return tree


@pytest.mark.parametrize(
    ("card", "steps", "seed", "guidance"),
    [
        ([31, "fixed", 77, "fixed", "euler", "karras", 1, 4.5], 31, 77, 4.5),
        ([31, "fixed", 77, "fixed", "euler", "karras", 1], 31, 77, 8),
        ([31, "fixed"], 12, 5, 8),
    ],
    ids=["with turned inputs", "without", "too few"],
)
def test_an_old_group_node_is_written_out(card: list[Any], steps: int, seed: int, guidance: float) -> None:
    found = imported(grouped(card))
    graph = found.graph
    assert values(graph, "denoise-30-1") | {"steps": steps} == {
        "model": "model-4.model",
        "positive": "prompt-6.out",
        "negative": "prompt-7.out",
        "latent": "canvas-5.out",
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
        "sampler": "euler",
        "schedule": "karras" if len(card) > 2 else "normal",
        "noise": "comfyui",
        "follow": "comfyui",
    }
    assert values(graph, "denoise-30-1")["steps"] == steps
    assert values(graph, "decode-30-2") == {"vae": "model-4.vae", "latent": "denoise-30-1.latent"}
    assert str(graph.outputs["image"]) == "decode-30-2.out"
    assert codes(found) == ["missing_model"]
    assert checked(graph, model="safelight-tiny").ok


def test_a_group_node_takes_its_values_from_the_api_format_of_the_same_picture() -> None:
    tree = grouped([31, "fixed", 77, "fixed", "euler", "karras", 1])
    api = {"30:1": {"class_type": "KSampler", "inputs": {"seed": 3, "steps": 9}}}
    found = imported({"workflow": json.dumps(tree), "prompt": json.dumps(api)})
    assert values(found.graph, "denoise-30-1")["seed"] == 3


def test_a_lora_whose_name_no_file_can_have_keeps_a_name() -> None:
    api = copy.deepcopy(PROMPT)
    api["10"]["inputs"]["lora_name"] = "ink: style"
    lora = values(imported(api).graph, "lora-10")
    assert (lora["lora"], lora["on"]) == ("ink_ style", False)
