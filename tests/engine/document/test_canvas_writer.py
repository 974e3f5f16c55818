"""The canvas has its own reader and writer of graphs; both write the same texts.

The canvas's tests (`ui/src/document/`) read the two files used here, and expect the same of its own writer.
"""

from __future__ import annotations

import json
from pathlib import Path

from engine import strict_json
from engine.document import reader, writer

SHARED = Path(__file__).parents[3] / "ui" / "src" / "document"


def test_random_graphs_of_the_canvas_are_written_the_same() -> None:
    texts = json.loads((SHARED / "file" / "written.json").read_text(encoding="utf-8"))
    assert len(texts) >= 5
    for text in texts:
        assert writer.dump(reader.parse(text)) == text


def test_numbers_are_written_the_same() -> None:
    pairs = json.loads((SHARED / "json" / "numbers.json").read_text(encoding="utf-8"))
    assert len(pairs) > 100
    for source, written in pairs:
        assert json.dumps(strict_json.parse(source)) == written
