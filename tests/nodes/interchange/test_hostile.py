"""Files that want harm: importers answer with a graph, with None, or with the declared error; never else."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.document.reader import parse
from engine.document.writer import dump
from engine.errors import GraphError
from engine.picture_text import png
from engine.sources import foreign, source
from engine.sources.foreign import Foreign
from nodes.interchange import import_graph
from tests.nodes.interchange.a1111.test_import_parameters import A1111, CIVITAI
from tests.nodes.interchange.comfyui.test_convert_nodes import PROMPT, subgraphed, with_lora, workflow
from tests.nodes.interchange.invokeai.test_import_metadata import DREAM, METADATA, OLDER
from tests.nodes.interchange.invokeai.test_import_metadata import WORKFLOW as INVOKE
from tests.nodes.interchange.other_tools import png as written_png
from tests.nodes.interchange.other_tools import shelf
from tests.nodes.interchange.test_novelai import picture

NOWHERE = shelf(Path("nowhere"))
TREES = [PROMPT, workflow(), subgraphed(), with_lora(4), INVOKE]
CHUNKS: list[dict[str, Any]] = [
    {"invokeai_metadata": METADATA},
    {"sd-metadata": OLDER},
    {"Comment": json.loads(picture()["Comment"]), "Software": "NovelAI"},
    {"workflow": workflow(), "prompt": PROMPT},
    {"invokeai_workflow": INVOKE},
]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        ["KSampler", "Reroute", "-10", "3", "MODEL", "compel", "\ud800", "a.b", "../x", "#x", "__class__"]
    ),
    st.lists(st.integers(-3, 9), max_size=6),
    st.dictionaries(
        st.sampled_from(["0", "name", "id", "value", "from", "param"]), st.integers(-3, 9), max_size=3
    ),
)


def answers(file: Foreign) -> None:
    """Nothing but the declared error comes out, and every graph is a sound document."""
    try:
        found = import_graph(file, NOWHERE)
    except GraphError:
        return
    if found is not None:
        document = dump(found.graph)
        try:
            again = parse(document)
        except GraphError as error:
            if not {problem.code for problem in error.problems} <= {"too_deep", "too_large"}:
                raise
        else:
            assert again == found.graph
        assert all(problem.message.isprintable() for problem in found.problems)


def mutated(data: st.DataObject, tree: Any) -> Any:
    """A tree with some of its values, keys or items replaced, repeated or gone."""
    tree = json.loads(json.dumps(tree))
    for _ in range(data.draw(st.integers(1, 6))):
        place = tree
        while isinstance(place, dict | list) and place:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys))
            inner = place[key]
            if not (isinstance(inner, dict | list) and inner) or data.draw(st.integers(0, 5)) == 0:
                change = data.draw(st.integers(0, 3))
                if change == 0:
                    del place[key]
                elif change == 1 and isinstance(place, list):
                    place.append(inner)
                else:
                    place[key] = data.draw(ODD)
                break
            place = inner
    return tree


@given(st.data(), st.sampled_from(TREES))
def test_mutated_workflows(data: st.DataObject, tree: Any) -> None:
    answers(Foreign("x", json.dumps(mutated(data, tree))))


@given(st.data(), st.sampled_from(CHUNKS))
def test_mutated_texts_of_pictures(data: st.DataObject, chunks: dict[str, Any]) -> None:
    texts = {
        name: item if isinstance(item, str) else json.dumps(mutated(data, item))
        for name, item in chunks.items()
    }
    answers(Foreign("x", None, texts))


@given(st.data(), st.sampled_from([A1111, CIVITAI, DREAM]))
def test_mutated_lines(data: st.DataObject, line: str) -> None:
    letters = list(line)
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, len(letters)))
        piece = data.draw(st.sampled_from([*',:"\\<>{}[]()-\n\0é', "Steps: ", "<lora:", "nan", "1e999", ""]))
        letters[at : at + data.draw(st.integers(0, 9))] = piece
    text = "".join(letters)
    answers(Foreign("x", text))
    answers(Foreign("x", None, {"parameters": text, "Dream": text}))


@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    answers(Foreign("x", text.encode("utf-8", "replace").decode()))


@given(st.binary(max_size=300), st.sampled_from([b"", png.SIGNATURE, b"\xff\xd8\xff", b"{", b"RIFF    WEBP"]))
def test_any_bytes(noise: bytes, head: bytes) -> None:
    path = _kept(head + noise)
    try:
        source.read(path, lambda: [import_graph])
    except GraphError:
        pass
    finally:
        path.unlink()


def _kept(data: bytes) -> Path:
    import tempfile

    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(data)
    return Path(file.name)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"nodes": ' * 5_000,
        '{"nodes":[' + "{}," * 2_100_000 + '{}],"links":[]}',
        '{"a": ' + "9" * 5_000 + "}",
        '{"a": "' + "x" * (33 << 20) + '"}',
    ],
    ids=["brackets", "depth", "count", "digits", "bytes"],
)
def test_json_that_is_too_much(text: str) -> None:
    with pytest.raises(GraphError):
        foreign.parse(text)
    for chunk in ("workflow", "invokeai_metadata"):
        with pytest.raises(GraphError):
            import_graph(Foreign("x", None, {chunk: "{" + text[1:]}), NOWHERE)


@pytest.mark.parametrize(
    ("kind", "head"), [(b"zTXt", b"parameters\0\0"), (b"iTXt", b"workflow\0\1\0\0\0")], ids=["zTXt", "iTXt"]
)
def test_texts_that_unpack_without_end(tmp_path: Path, kind: bytes, head: bytes) -> None:
    data = head + zlib.compress(bytes(64 << 20), 9)
    chunk = len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)
    whole = written_png({})
    (tmp_path / "bomb.png").write_bytes(whole[:33] + chunk + whole[33:])
    with pytest.raises(GraphError, match="more than 32 MB of text"):
        source.read(tmp_path / "bomb.png")


def test_names_that_would_be_paths_types_or_code_stay_words() -> None:
    names = ["../../x", "a b", "#graph", "./other.json", "__import__('os')", "Denoise@1", "a" * 500, ""]
    tree = workflow()
    tree["nodes"] += [
        {"id": number, "type": name, "inputs": [], "outputs": [], "mode": 0}
        for number, name in enumerate(names, 50)
    ]
    found = import_graph(Foreign("x", json.dumps(tree)), NOWHERE)
    assert found is not None
    fresh = [
        entry
        for node, entry in found.graph.nodes.items()
        if node.rpartition("-")[2] in map(str, range(50, 60))
    ]
    assert len(fresh) == len(names)
    assert all(entry.type.startswith("comfy/") and not entry.is_graph for entry in fresh)
    assert parse(dump(found.graph)) == found.graph
