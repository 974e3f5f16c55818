"""Writes the OpenAPI document: `python -m engine.server.write_openapi`.

The document is `engine/server/openapi.json` in the repository; a test compares it with the application.
"""

from __future__ import annotations

import json
from pathlib import Path

from engine.server.app import api

FILE = Path(__file__).parent / "openapi.json"


def text() -> str:
    """Return the OpenAPI document as text, as it is stored in the repository."""
    return json.dumps(api().openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
