"""`safelight graphs`: the user's own graphs and the examples, each in one line."""

from __future__ import annotations

from pathlib import Path

from tests.engine.cli.conftest import Call


def test_each_graph_has_a_line_with_its_title_and_doc(call: Call, home: Path) -> None:
    (home / "graphs").mkdir()
    (home / "graphs" / "mug.json").write_text('{"safelight": 1, "title": "A mug", "doc": "On a desk."}')
    (home / "graphs" / "torn.json").write_text("{")
    lines = [line.split(maxsplit=1) for line in call("graphs").out.splitlines()]
    assert ["mug", "A mug. On a desk."] in lines
    assert ["text_to_image", "Text to image. Draw a picture from a prompt."] in lines
    assert any(
        name == "torn" and "torn.json" in about for name, about in (row for row in lines if len(row) > 1)
    )


def test_json_has_the_files_and_tells_examples_apart(call: Call, home: Path) -> None:
    (home / "graphs").mkdir()
    (home / "graphs" / "torn.json").write_text("{")
    rows = {row["name"]: row for row in call("graphs", "--json").json["graphs"]}
    assert rows["torn"]["problem"]["code"]
    assert rows["torn"]["example"] is False
    assert rows["xy_plot"]["example"] is True
    assert rows["xy_plot"]["problem"] is None
    assert Path(rows["xy_plot"]["file"]).is_file()
