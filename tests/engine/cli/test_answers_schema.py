"""The answers of every command against `answers.schema.json`, which documents them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from engine import cli
from tests.engine.cli.conftest import Answer, Call, Write

SCHEMA = json.loads((Path(cli.__file__).parent / "answers.schema.json").read_text(encoding="utf-8"))


def fits(answer: Answer | Any, name: str) -> None:
    """Check an answer against the definition of its command."""
    tree = answer.json if isinstance(answer, Answer) else answer
    jsonschema.Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{name}"}).validate(tree)


@pytest.fixture
def rich(write: Write) -> Path:
    """A graph whose run has pictures, values, lists, warnings and a failure."""
    nodes = {
        "paint": ("Paint", {"grey": {"param": "grey"}}),
        "say": ("Say", {"text": "warn of rain"}),
        "bad": ("Fail", {"a": {"param": "grey"}}),
        "after": ("Add", {"a": {"from": "bad.out"}}),
    }
    inputs = {"grey": {"type": "int", "default": 1}}
    outputs = {"image": "paint.out", "said": "say.out", "bad": "after.out"}
    return write(nodes, inputs, outputs)


def test_the_schema_is_valid_and_every_field_is_described() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def undescribed(tree: Any, place: str) -> list[str]:
        if not isinstance(tree, dict):
            return []
        found = [
            f"{place}.{name}"
            for name, item in tree.get("properties", {}).items()
            if "description" not in item and "$ref" not in item
        ]
        return found + [line for name, item in tree.items() for line in undescribed(item, f"{place}.{name}")]

    assert undescribed(SCHEMA, "") == []


@pytest.mark.parametrize("options", [[], ["--trace", "trace.json"], ["--sweep", "grey=1,2"]])
def test_run(call: Call, rich: Path, home: Path, options: list[str]) -> None:
    (home / "nodes" / "broken.py").write_text("import nothing_of_this_name")
    answer = call("run", rich, "--json", *options)
    assert answer.json["state"] == "failed"
    fits(answer, "run")
    fits(call("run", rich, "--to", "paint", "--json", *options), "run")


def test_a_refusal(call: Call, rich: Path) -> None:
    for words in (["run", rich, "--nope"], ["plan", "nowhere"], ["diff", rich], ["nodes", "Nope"]):
        answer = call(*words, "--json")
        assert answer.code == 2
        fits(answer, "refusal")
    fits(call("run", rich, "--grey", "x", "--json"), "run")


def test_check_and_plan(call: Call, rich: Path, write: Write) -> None:
    fits(call("check", rich, "--json"), "check")
    wrong = write({"add": ("Add", {"b": "x"})}, outputs={"sum": "add.nothing"}, name="wrong.json")
    fits(call("check", wrong, "--json"), "check")
    fits(call("check", "nowhere", "--json"), "check")
    fits(call("plan", rich, "--sweep", "grey=1,2", "--json"), "plan")


def test_diff(call: Call, write: Write) -> None:
    one = write({"add": ("Add", {"a": 1})}, title="One", name="one.json")
    two = write({"add": ("Add", {"a": 2}), "say": ("Say", {})}, title="Two", name="two.json")
    answer = call("diff", one, two, "--all", "--json")
    assert len(answer.json["changes"]) >= 3
    fits(answer, "diff")


def test_graphs_models_and_nodes(call: Call, home: Path) -> None:
    (home / "graphs").mkdir()
    (home / "graphs" / "torn.json").write_text("{")
    fits(call("graphs", "--json"), "graphs")
    (home / "models" / "loras").mkdir(parents=True)
    (home / "models" / "loras" / "torn.safetensors").write_bytes(b"torn")
    answer = call("models", "--json")
    assert answer.json["models"]
    fits(answer, "models")
    fits(call("nodes", "--json"), "nodes")
    fits(call("nodes", "Add", "--json"), "node_type")
    fits(call("nodes", "new", "Blur", "--json"), "new_node")


def test_cache(call: Call, rich: Path, home: Path) -> None:
    call("run", rich)
    answer = call("cache", "--json")
    assert answer.json["types"]
    fits(answer, "cache")
    index = sqlite3.connect(home / "store" / "index.sqlite", isolation_level=None)
    index.execute("UPDATE entries SET seconds = seconds + 1 WHERE id = 1")
    index.close()
    answer = call("cache", "verify", "--json")
    assert answer.json["damaged"]
    fits(answer, "cache_verify")
    fits(call("cache", "clear", "--json"), "cache_clear")


def test_import_and_convert(call: Call, painting: Path) -> None:
    fits(call("import", painting, "--json"), "import")
    fits(call("import", painting, "--out", "copy.json", "--json"), "import")
    lora = Path(__file__).parents[3] / "graphs" / "loras" / "red-to-blue.safetensors"
    fits(call("convert", lora, "--out", "copy.safetensors", "--json"), "convert")


def test_devices(call: Call, home: Path) -> None:
    answer = call("devices", "--json", "--device", "cpu").json
    fits(answer, "devices")
    assert (answer["device"], answer["settings"]["offload"], answer["workers"]) == ("cpu", "none", None)
    assert [row["device"] for row in answer["devices"]] == ["cpu"]
    assert answer["devices"][0]["free"] <= answer["devices"][0]["total"]
    assert "cpu" in call("devices").out
    (home / "settings.json").write_text('{"offload": "blocks", "loaded_budget": 1000}')
    answer = call("devices", "--json").json
    assert (answer["settings"]["offload"], answer["devices"][0]["budget"]) == ("blocks", 1000)
