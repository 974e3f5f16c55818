"""Files of other tools from the command line: imported, checked, planned, run; the red circle comes out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as pillow

from engine.cli import main
from engine.errors import GraphError
from engine.packs.registry import Registry
from engine.picture_text import png
from engine.sources import foreign, source
from tests.nodes.interchange.comfyui.test_convert_nodes import workflow
from tests.nodes.interchange.invokeai.test_import_metadata import METADATA
from tests.nodes.interchange.invokeai.test_import_metadata import WORKFLOW as INVOKE
from tests.nodes.interchange.other_tools import png as written_png
from tests.nodes.interchange.other_tools import with_comment
from tests.nodes.sd.tiny.judge import look

PARAMETERS = (
    "a red circle on a white background\nNegative prompt: blurry\n"
    "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 4, Seed: 5, Size: 128x128, Model hash: 6ce0161689,"
    " Model: v1-5-pruned-emaonly, RNG: CPU, Hires upscale: 2, Version: v1.6.0"
)
COMMENT = b"UNICODE\0" + PARAMETERS.encode("utf-16-be")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("SAFELIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def pixels(out: str) -> pillow.Image:
    """The picture that a command says it wrote."""
    with pillow.open(out.strip()) as picture:
        return picture.convert("RGB")


def a1111_files(folder: Path) -> list[Path]:
    files = {
        "picture.png": written_png({"parameters": PARAMETERS}),
        "picture.jpg": with_comment(COMMENT),
        "little.jpg": with_comment(b"UNICODE\0" + PARAMETERS.encode("utf-16-le")),
        "picture.webp": with_comment(COMMENT, "WEBP"),
        "picture.txt": PARAMETERS.encode(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def test_a_text_gives_the_same_graph_from_every_file_format(tmp_path: Path, call: Call) -> None:
    documents = set()
    for path in a1111_files(tmp_path):
        code, out, err = call("import", path)
        assert code == 0
        assert "read from A1111's parameters" in err
        assert "Hires upscale 2" in err
        assert "v1-5-pruned-emaonly [6ce0161689]" in err
        documents.add(out.replace(f'"title": "{path.stem}"', '"title": "picture"'))
    assert len(documents) == 1
    assert json.loads(documents.pop())["safelight"] == 1


def test_a_stranger_s_picture_runs_on_the_model_that_is_there(tmp_path: Path, call: Call) -> None:
    path, *_ = a1111_files(tmp_path)
    code, _, err = call("run", path, "--quiet", "--seed", 5)
    assert code == 2
    assert "--model" in err
    code, out, err = call(
        "run", path, "--model", "safelight-tiny", "--seed", 5, "--quiet", "--out", tmp_path / "o"
    )
    assert code == 0, err
    picture = pixels(out)
    seen = look(picture)
    assert (seen.colour, seen.shape, seen.background, picture.size) == ("red", "circle", "white", (128, 128))
    again = source.read(Path(out.strip()))
    assert again.origin == source.OWN
    assert again.graph.inputs["seed"].default == 5
    # What we say in A1111's words is the same graph once more, and the very same picture.
    parameters = png.read_text(Path(out.strip()).read_bytes())["parameters"]
    (tmp_path / "ours.png").write_bytes(written_png({"parameters": parameters}))
    code, ours, err = call("run", tmp_path / "ours.png", "--quiet", "--out", tmp_path / "o")
    assert code == 0, err
    assert pixels(ours).tobytes() == picture.tobytes()


def test_comfy_runs_too(tmp_path: Path, call: Call) -> None:
    tree = workflow()
    tree["nodes"][0]["widgets_values"] = [5, "fixed", 20, 4, "dpmpp_2m", "karras", 1]
    tree["nodes"][2]["widgets_values"] = [128, 128, 1]
    tree["nodes"][3]["widgets_values"] = ["a red circle on a white background"]
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(tree))
    code, out, err = call("run", path, "--model", "safelight-tiny", "--quiet", "--out", tmp_path / "o")
    assert code == 0, err
    seen = look(pixels(out))
    assert (seen.colour, seen.shape, seen.background) == ("red", "circle", "white")


def test_check_plan_and_help_read_the_same_arguments(tmp_path: Path, call: Call) -> None:
    for path in a1111_files(tmp_path)[:2]:
        shutil.rmtree(tmp_path / "home", ignore_errors=True)
        code, out, err = call("check", path, "--model", "safelight-tiny")
        assert not (tmp_path / "home" / "store").exists(), "checking makes no store"
        assert (code, "6 nodes, no errors" in out) == (0, True)
        assert "warning: Hires fix" in err
        code, out, _ = call("plan", path, "--model", "safelight-tiny", "--json")
        assert code == 0
        assert json.loads(out)["to_run"] == 6
        code, out, _ = call("run", path, "--help")
        assert code == 0
        assert "a red circle on a white background" in out


def test_import_writes_a_file_that_is_a_graph(tmp_path: Path, call: Call) -> None:
    path, *_ = a1111_files(tmp_path)
    out = tmp_path / "graph.json"
    code, said, err = call("import", path, "-o", out)
    assert code == 0
    assert "6 nodes, read from A1111's parameters" in said
    assert "Hires" in err
    assert source.read(out).origin == source.OWN
    assert call("check", out)[0] == 2, "no model is named"
    assert call("check", out, "--model", "safelight-tiny")[0] == 0
    code, _, err = call("import", path, "-o", out)
    assert (code, "--overwrite" in err) == (2, True)
    assert call("import", path, "-o", out, "--overwrite")[0] == 0
    code, _, err = call("import", path, "-o", tmp_path / "no" / "folder.json")
    assert (code, "cannot be written" in err) == (2, True)


def test_import_as_json(tmp_path: Path, call: Call) -> None:
    path, *_ = a1111_files(tmp_path)
    code, out, err = call("import", path, "--json")
    answer = json.loads(out)
    assert (code, err) == (0, "")
    assert answer["origin"] == "A1111's parameters"
    assert answer["graph"]["title"] == "picture"
    assert {problem["code"] for problem in answer["problems"]} == {"left_out", "missing_model"}
    code, out, _ = call("import", tmp_path / "gone.png", "--json")
    assert (code, json.loads(out)["problems"][0]["code"]) == (2, "unreadable")


def test_our_own_graph_is_that(tmp_path: Path, call: Call) -> None:
    own = '{"safelight": 1, "nodes": {}}'
    (tmp_path / "both.png").write_bytes(written_png({"parameters": PARAMETERS, "safelight": own}))
    code, out, _ = call("import", tmp_path / "both.png", "--json")
    assert (code, json.loads(out)["origin"]) == (0, "its own document")
    (tmp_path / "broken.json").write_text('{"safelight": 1, "nodes": [], "links": []}')
    code, _, err = call("import", tmp_path / "broken.json")
    assert (code, "unknown key 'links'" in err) == (2, True)


@pytest.mark.parametrize(
    ("texts", "origin"),
    [
        ({"workflow": json.dumps(workflow())}, "the workflow that ComfyUI wrote"),
        ({"invokeai_metadata": json.dumps(METADATA)}, "InvokeAI's metadata"),
        ({"invokeai_workflow": json.dumps(INVOKE)}, "the workflow of InvokeAI"),
        ({"parameters": PARAMETERS, "prompt": "not json"}, "A1111's parameters"),
        ({"parameters": PARAMETERS + " 猫"}, "A1111's parameters"),
    ],
)
def test_import_names_the_source_of_each_graph(tmp_path: Path, texts: dict[str, str], origin: str) -> None:
    (tmp_path / "picture.png").write_bytes(written_png(texts))
    assert source.read(tmp_path / "picture.png", lambda: Registry.find().importers).origin == origin


@pytest.mark.parametrize(
    "texts", [{}, {"Comment": "x"}, {"parameters": "only words"}, {"parameters": '{"sui_image_params": {}}'}]
)
def test_a_picture_that_says_nothing_is_refused(tmp_path: Path, texts: dict[str, str]) -> None:
    (tmp_path / "picture.png").write_bytes(written_png(texts))
    with pytest.raises(GraphError) as caught:
        source.read(tmp_path / "picture.png", lambda: Registry.find().importers)
    assert caught.value.problems[0].code in ("no_graph", "other_program")


def test_a_pack_of_the_user_s_may_bring_an_importer(tmp_path: Path, call: Call) -> None:
    pack = tmp_path / "home" / "nodes" / "words.py"
    pack.parent.mkdir(parents=True)
    pack.write_text(
        "from engine.context import Context\nfrom engine.sources.foreign import Imported\n"
        "from engine.document.graph import Entry, Graph\nfrom engine.node import Node\n\n\n"
        "class Word(Node):\n    def run(self, ctx: Context) -> str:\n        return 'w'\n\n\n"
        "def import_graph(foreign, files):\n"
        "    if foreign.text != 'magic':\n        return None\n"
        "    return Imported(Graph({'word': Entry('Word@1')}), 'a magic word')\n"
    )
    (tmp_path / "spell.txt").write_text("magic")
    code, out, _ = call("import", tmp_path / "spell.txt", "--json")
    assert (code, json.loads(out)["origin"]) == (0, "a magic word")
    assert len(Registry.find([pack.parent]).importers) == 2


def test_an_importer_is_held_to_the_rules_of_a_document(tmp_path: Path) -> None:
    (tmp_path / "spell.txt").write_text("magic")

    def importer(found: foreign.Foreign, files: Any) -> foreign.Imported:
        from engine.document.graph import Entry, Graph

        return foreign.Imported(Graph({"no id!": Entry("Denoise@1")}), "nowhere")

    with pytest.raises(GraphError, match="is not a valid id"):
        source.read(tmp_path / "spell.txt", lambda: [importer])


def read_picture(path: Path) -> foreign.Imported:
    return source.read(path, lambda: Registry.find().importers)


def test_a_picture_whose_comfyui_text_is_damaged_gives_its_parameters(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(written_png({"workflow": '{"nodes": [', "parameters": PARAMETERS}))
    result = read_picture(tmp_path / "picture.png")
    assert result.origin == "A1111's parameters"
    assert result.problems[0].code == "other_text"


def test_a_picture_whose_workflow_cannot_be_run_gives_its_parameters(tmp_path: Path) -> None:
    tree = workflow()
    tree["nodes"][0]["type"] = "SamplerOfAPack"
    texts = {"workflow": json.dumps(tree)}
    (tmp_path / "workflow.png").write_bytes(written_png(texts))
    (tmp_path / "both.png").write_bytes(written_png({**texts, "parameters": PARAMETERS}))
    assert read_picture(tmp_path / "workflow.png").origin == "the workflow that ComfyUI wrote"
    result = read_picture(tmp_path / "both.png")
    assert result.origin == "A1111's parameters"
    assert "other_text" in [problem.code for problem in result.problems]
