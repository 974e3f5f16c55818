"""The header of a safetensors file, checked to the last byte before anything it speaks of is read.

The format: a whole number of 8 bytes, that many bytes of JSON, then the tensors' bytes, which the offsets in
the JSON cover exactly (github.com/huggingface/safetensors). The common library lets two tensors of one name
through.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from engine import strict_json
from engine.errors import GraphError
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.opened import read_at
from nodes.sd.formats.tensors import DTYPES, Entry, Run

LENGTH = 8
LIMIT = strict_json.MAX_BYTES
"""Bytes of a header. The format allows 100 MB; the longest known, full of training notes, take a tenth."""
MOST = 50_000
"""Tensors in one file; the largest models have a few thousand."""
_DIMENSIONS = 16
_COMMAS = 100_000
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
"""A text in JSON; one that does not end goes to the end of all, so that none is looked through twice."""


def read_header(path: Path, file: io.FileIO, size: int) -> tuple[dict[str, Entry], dict[str, str]]:
    """What a safetensors file says of its tensors, and the text beside them.

    Args:
        path: what messages call it.
        file: the file, open.
        size: its bytes.

    Raises:
        BadFileError: the header is cut short, too long, ambiguous, or does not fit the file.
    """
    if size < LENGTH:
        raise _bad(path, "is cut short")
    length = int.from_bytes(read_at(file, 0, LENGTH), "little")
    if length > size - LENGTH:
        raise _bad(path, f"claims a header of {length:,} bytes and has {size:,} in all")
    if length > LIMIT:
        raise _bad(path, f"has a header of {length:,} bytes; at most {LIMIT:,} are read", "too_large")
    text = bytes(read_at(file, LENGTH, length))
    listed = text.count(b'"data_offsets"')
    if listed > MOST:
        raise _bad(path, f"lists more than {MOST:,} tensors", "too_large")
    # Metadata may be full of commas; numbers beyond what tensors have would only take long to look through.
    if text.count(b",") > _COMMAS and _TEXT.sub(b"", text).count(b",") > _COMMAS + listed * 2 * _DIMENSIONS:
        raise _bad(path, "has a header full of what describes no tensor", "too_large")
    if text.startswith(b"\xef\xbb\xbf"):
        raise _bad(path, "begins with a byte-order mark, which no tool writes")
    try:
        header = strict_json.parse(text)
    except GraphError as error:
        raise _bad(path, f"has a header that cannot be used: {error.problems[0].message}") from None
    if not isinstance(header, dict):
        raise _bad(path, "has a header that is no object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _bad(path, "has metadata that is not text")
    entries = {name: _entry(path, name, item, LENGTH + length) for name, item in header.items()}
    end = LENGTH + length
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].run.start, item[1].run.size)):
        if entry.run.start != end:
            what = "overlaps another" if entry.run.start < end else "leaves a gap before it"
            raise _bad(path, f"says that its tensor {_short(name)} {what}")
        end += entry.run.size
    if end != size:
        raise _bad(
            path, f"is {abs(end - size):,} bytes too {'short' if end > size else 'long'} for its header"
        )
    return entries, metadata


def _entry(path: Path, name: str, item: Any, data: int) -> Entry:
    match item:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(start), int(stop)], **rest}:
            if dtype not in DTYPES:
                raise _bad(
                    path, f"holds {_short(name)} in {_short(dtype)}, an unknown kind of number", "bad_dtype"
                )
            count = DTYPES[dtype][1]
            if len(shape) <= _DIMENSIONS and all(type(n) is int and n >= 0 for n in (*shape, start, stop)):
                for side in shape:
                    count *= side
                if not rest and stop - start == count:
                    return Entry(dtype, tuple(shape), Run(data + start, count), 0)
    raise _bad(path, f"describes its tensor {_short(name)} in a way that does not add up")


def _short(name: str) -> str:
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _bad(path: Path, what: str, code: str = "bad_safetensors") -> BadFileError:
    return BadFileError(code, f"{path} {what}. Download it again, or save it with the tool that made it.")
