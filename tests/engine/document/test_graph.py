"""The document: canonical, its own inverse, migrated, strict, and just as its published schema says."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import strict_json
from engine.document import format, reader, writer
from engine.document.graph import Entry, From, Graph, GraphInput, Literal, Param
from engine.document.json_schema import json_schema
from engine.document.view import Frame, Note, View
from engine.errors import GraphError
from engine.sources import source

GRAPHS = Path(__file__).parents[3] / "graphs"

ids = st.from_regex(rf"\A{format.ID}\Z")
types = st.from_regex(rf"\A{format.TYPE}\Z") | st.sampled_from(["Mix@1", "a/Up@3", "./up.json", "#in"])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
jsons: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
ends = st.builds(From, ids, ids)
bindings = st.builds(Literal, jsons) | ends | st.builds(Param, texts)
entries = st.builds(
    Entry,
    types,
    st.dictionaries(texts, bindings, max_size=3),
    texts,
    st.booleans(),
    st.sampled_from(format.LIFTS),
)


points = st.tuples(st.integers(), st.integers())
colours = st.just("") | st.from_regex(rf"\A(?:{format.COLOUR})\Z")
names = st.lists(texts, max_size=2)
frames = st.builds(
    Frame,
    texts,
    colours,
    names.map(tuple),
    names.map(tuple),
    names.map(tuple),
    st.none() | st.tuples(*[st.integers()] * 4),
)
notes = st.builds(Note, texts, points, st.none() | points, colours)
wires = st.builds("{}.{}".format, ids, ids)
views = st.just(View()) | st.builds(
    View,
    st.dictionaries(ids, frames, max_size=1),
    st.dictionaries(ids, notes, max_size=1),
    names,
    st.dictionaries(wires, st.lists(points, max_size=2), max_size=1),
)


@st.composite
def graph_inputs(draw: st.DrawFn) -> GraphInput:
    kind = draw(st.sampled_from([*format.INPUT_TYPES, "Image", "list of acme/Mesh"]))
    required = draw(st.booleans())
    choices = tuple(draw(st.lists(jsons, min_size=1, max_size=3))) if kind == "choice" else ()
    if not required and draw(st.integers(0, 3)) == 0:
        values = draw(st.lists(jsons, max_size=3))
        return GraphInput(kind, values, False, draw(texts), choices, draw(st.integers(1, 3)))
    return GraphInput(kind, None if required else draw(jsons), required, draw(texts), choices)


def graph_with(inner: st.SearchStrategy[dict[str, Graph]]) -> st.SearchStrategy[Graph]:
    return st.builds(
        Graph,
        st.dictionaries(ids, entries, max_size=3),
        st.dictionaries(ids, graph_inputs(), max_size=3),
        st.dictionaries(ids, ends, max_size=3),
        texts,
        texts,
        st.dictionaries(texts, st.lists(st.integers(), min_size=2, max_size=2), max_size=3),
        st.dictionaries(texts, texts, max_size=2),
        inner,
        views,
    )


@st.composite
def whole_graphs(draw: st.DrawFn) -> Graph:
    inner = st.dictionaries(ids, graph_with(st.just({})), min_size=1, max_size=1)
    graph = draw(graph_with(st.just({}) | inner))
    graph.made_with = draw(st.dictionaries(texts, texts, max_size=2))
    return graph


graphs = whole_graphs()


@settings(max_examples=80, deadline=None)
@given(graphs)
def test_a_written_graph_reads_back_equal(graph: Graph) -> None:
    text = writer.dump(graph)
    read = reader.parse(text)
    assert read == graph
    assert list(read.nodes) == list(graph.nodes), "in the order they were made"
    assert writer.dump(read) == text
    assert json.loads(text)["safelight"] == format.FORMAT


@settings(max_examples=30, deadline=None)
@given(graphs, st.randoms(use_true_random=False))
def test_a_moved_card_changes_one_line_and_only_of_the_layout(graph: Graph, random: Any) -> None:
    graph.nodes["moved"] = Entry("Mix@1")
    graph.layout["moved"] = [0, 0]
    before = writer.dump(graph).splitlines()
    graph.layout["moved"] = [random.randrange(1, 999), -5]
    after = writer.dump(graph).splitlines()
    changed = [n for n, (one, two) in enumerate(zip(before, after, strict=True)) if one != two]
    assert len(changed) == 1
    assert before[changed[0]].startswith('    "moved": [')


@pytest.mark.parametrize(
    ("view", "place"),
    [
        ({"frames": {"f": {"nodes": "a"}}}, "'f'"),
        ({"frames": {"f": {"box": [1, 2, 3]}}}, "'f'"),
        ({"frames": {"f": {"colour": "red;}"}}}, "'f'"),
        ({"notes": {"n": {"at": [0, 0]}}}, "'n'"),
        ({"notes": {"n": {"text": "a", "at": [0.5, 0]}}}, "'n'"),
        ({"notes": {"no id": {"text": "a", "at": [0, 0]}}}, "'no id'"),
        ({"collapsed": [1]}, "collapsed"),
        ({"waypoints": {"a": []}}, "'a'"),
        ({"waypoints": {"a.b": [[1]]}}, "a.b"),
        ({"zoom": 2}, "'zoom'"),
    ],
)
def test_a_view_that_cannot_be_read_is_refused_by_name(view: Any, place: str) -> None:
    with pytest.raises(GraphError) as caught:
        reader.from_json({"safelight": 1, "view": view})
    (problem,) = caught.value.problems
    assert problem.code in ("bad_view", "bad_id", "bad_document", "unknown_key")
    assert place in problem.message


def test_no_id_may_be_the_prototype_of_an_object() -> None:
    for key in ("nodes", "inputs", "outputs", "graphs"):
        with pytest.raises(GraphError) as caught:
            reader.from_json({"safelight": 1, key: {"__proto__": {"type": "int", "from": "a.b"}}})
        assert caught.value.problems[0].code == "bad_id"
    assert "__proto__s" in reader.from_json({"safelight": 1, "nodes": {"__proto__s": {"type": "Mix"}}}).nodes


@pytest.mark.parametrize("path", sorted(GRAPHS.glob("*.json")), ids=lambda path: path.name)
def test_the_saved_graphs_are_canonical_and_as_the_schema_says(path: Path) -> None:
    if path.name == "graph.schema.json":
        return
    text = path.read_text("utf-8")
    assert writer.dump(source.load(path)) == text
    jsonschema.validate(json.loads(text), json_schema())


def test_the_published_schema_is_the_one_in_the_code() -> None:
    """Run `python -m tests.engine.document.test_graph` to write it anew."""
    published = json.loads((GRAPHS / "graph.schema.json").read_text("utf-8"))
    assert published == json_schema()
    jsonschema.Draft202012Validator.check_schema(published)


# In a pattern of JSON Schema `$` is the end; in Python it may also stand before a last line feed.
VALIDATOR = jsonschema.Draft202012Validator(json.loads(json.dumps(json_schema()).replace('$"', '\\\\Z"')))


def reads(tree: Any) -> bool:
    try:
        reader.from_json(copy.deepcopy(tree))
    except GraphError:
        return False
    return True


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    found = [path]
    if isinstance(tree, dict):
        for key, item in tree.items():
            found += places(item, (*path, key))
    elif isinstance(tree, list):
        for n, item in enumerate(tree):
            found += places(item, (*path, n))
    return found


odd = jsons | st.sampled_from(
    [
        {"from": "a.b"},
        {"from": "a"},
        {"from": "a.b.c"},
        {"from": 1},
        {"from": "a.b", "more": 1},
        {"param": "x"},
        {"param": 1},
        {"value": {}},
        {"value": 1, "param": "x"},
        {"type": "choice"},
        {"type": "choice", "choices": []},
        {"type": "int", "choices": [1]},
        {"type": "Mix@0"},
        {"type": "Mix@1", "inputs": {}},
        {"type": "Mix@1\n"},
        {"type": "#inner@1"},
        {"type": "./up.json"},
        {"type": "Mix@1", "off": 1},
        {"type": "Mix@1", "lift": "cross"},
        {"type": "list of"},
        {"type": "int", "sweep": 1},
        {"type": "int", "sweep": 1, "default": 3},
        {"type": "int", "sweep": 0, "default": [3]},
        {"type": "int", "sweep": 2, "default": [3]},
        {"nodes": {}},
        {"safelight": 1},
        {"text": "a", "at": [1, 2]},
        {"text": "a", "at": [1]},
        {"text": "a"},
        {"colour": "Red"},
        {"box": [1, 2, 3, 4]},
        {"a.b": [[1, 2]]},
        {"a": [[1, 2]]},
        {"__proto__": {"type": "Mix"}},
        True,
        1.5,
        [1, 2],
        [1, True],
        [1, 2, 3],
    ]
)
keys = (
    st.sampled_from(
        [
            "safelight",
            "title",
            "inputs",
            "outputs",
            "nodes",
            "layout",
            "graphs",
            "view",
            "frames",
            "notes",
            "collapsed",
            "waypoints",
            "made_with",
            "passes",
            "off",
            "lift",
            "from",
        ]
    )
    | texts
)


@settings(max_examples=200, deadline=None)
@given(graphs, st.data())
def test_the_schema_and_the_reader_agree_on_whole_and_broken_documents(
    graph: Graph, data: st.DataObject
) -> None:
    tree = json.loads(writer.dump(graph))
    assert VALIDATOR.is_valid(tree)
    for _ in range(data.draw(st.integers(1, 2))):
        *path, last = data.draw(st.sampled_from([place for place in places(tree) if place]))
        at = tree
        for step in path:
            at = at[step]
        how = data.draw(st.sampled_from(["set", "remove", "add"]))
        if how == "set":
            at[last] = copy.deepcopy(data.draw(odd))
        elif how == "remove":
            del at[last]
        elif isinstance(at, dict):
            at[data.draw(keys)] = copy.deepcopy(data.draw(odd))
        if not tree:
            break
    # JSON Schema counts 1.0 as an integer and 1 as equal to true; the reader does not, and canon has neither.
    if ".0" not in json.dumps(tree) and "true" not in json.dumps(tree):
        assert VALIDATOR.is_valid(tree) == reads(tree), tree


@settings(max_examples=300, deadline=None)
@given(jsons | odd)
def test_the_reader_answers_anything_with_problems_only(tree: Any) -> None:
    for whole in (tree, {"safelight": 1, "nodes": tree}, {"safelight": 1, "inputs": tree, "outputs": tree}):
        reads(whole)


def test_an_unknown_type_survives() -> None:
    text = (
        '{\n  "safelight": 1,\n  "nodes": {\n'
        '    "x": {"type": "acme/Unheard_of@12", "title": "é", "inputs": {\n'
        '      "deep": {"value": {"b": 1, "a": [1.5, null]}},\n      "wire": {"from": "y.out"}\n    }}\n'
        "  }\n}\n"
    )
    assert writer.dump(reader.parse(text)) == text


def test_an_old_document_is_brought_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "FORMAT", 3)
    monkeypatch.setattr(writer, "FORMAT", 3)
    monkeypatch.setitem(reader.MIGRATIONS, 1, lambda tree: {**tree, "title": tree["title"] + "!"})
    monkeypatch.setitem(reader.MIGRATIONS, 2, lambda tree: {**tree, "title": tree["title"] + "?"})
    read = reader.parse('{"safelight": 1, "title": "old"}')
    assert read.title == "old!?"
    assert '"safelight": 3' in writer.dump(read)
    for text, code in (('{"safelight": 1}', "not_a_graph"), ('{"safelight": 4}', "newer_format")):
        with pytest.raises(GraphError) as caught:
            reader.parse(text)
        assert [problem.code for problem in caught.value.problems] == [code]


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ('{"safelight": 1, "nodes": {"a": {"type": "X"}, "a": {"type": "X"}}}', "duplicate_key", "nodes.a"),
        ('{"a": [1, NaN]}', "not_finite", "a[1]"),
        ('{"a": -Infinity}', "not_finite", "a"),
        ('{"a": 1e999}', "not_finite", "a"),
        ('{"a": 1,}', "bad_json", "line 1"),
        ("", "bad_json", "line 1"),
        ("[" * 100_000, "too_deep", "64"),
        ("[" * 65 + "]" * 65, "too_deep", "64"),
        ('{"a": "\\ud800"}', "bad_text", "a"),
        ('{"\\udfff": 1}', "bad_text", "udfff"),
        ('{"a": ' + "9" * 5000 + "}", "bad_json", "digits"),
        ("[" + "0," * 2_000_001 + "0]", "too_large", "2,000,000"),
    ],
)
def test_strict_json_refuses_and_says_where(text: str, code: str, said: str) -> None:
    with pytest.raises(GraphError) as caught:
        strict_json.parse(text)
    assert [problem.code for problem in caught.value.problems] == [code]
    assert said in caught.value.problems[0].message


def test_strict_json_bounds_bytes_and_refuses_what_is_no_text() -> None:
    for data, code in ((b" " * (strict_json.MAX_BYTES + 1), "too_large"), (b'{"a": "\xff"}', "bad_json")):
        with pytest.raises(GraphError) as caught:
            strict_json.parse(data)
        assert [problem.code for problem in caught.value.problems] == [code]
    assert strict_json.parse(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}') == {"a": "😀"}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60) | jsons.map(json.dumps))
def test_strict_json_agrees_with_the_standard_reader_or_refuses(data: bytes | str) -> None:
    try:
        tree = strict_json.parse(data)
    except GraphError:
        return
    text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
    assert repr(tree) == repr(json.loads(text))


def test_an_unreadable_file_is_a_problem(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.json", tmp_path):
        with pytest.raises(GraphError) as caught:
            source.load(path)
        assert [problem.code for problem in caught.value.problems] == ["unreadable"]


if __name__ == "__main__":
    written = json.dumps(json_schema(), indent=2) + "\n"
    (GRAPHS / "graph.schema.json").write_text(written, "utf-8")
