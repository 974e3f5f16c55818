"""Finds the vocabulary of T5, which no single file contains."""

from __future__ import annotations

from pathlib import Path

from engine.files import Files

KIND = "tokenizers"
"""The kind of file, which is the folder in `models`."""
_PLACE = Path("t5") / "tokenizer.json"
HINT = (
    "put the tokenizer.json of T5 into models/tokenizers/t5; a folder of SD 3 has it in tokenizer_3, one of"
    " FLUX.1 in tokenizer_2"
)


def t5_vocabulary(files: Files) -> Path | None:
    """Return the folder with T5's `tokenizer.json`, `models/tokenizers/t5`; None if there is none."""
    found = (Path(folder) / _PLACE for folder in files.folders(KIND))
    return next((path.parent for path in found if path.is_file()), None)
