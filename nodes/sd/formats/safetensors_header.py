"""Reads safetensors headers strictly, with a size limit and without torch.

The format is an 8-byte length, a JSON header of that length, then the tensors' bytes, which the offsets in
the header cover exactly (github.com/huggingface/safetensors). This reader checks that coverage, and refuses
two tensors of the same name, which the common library accepts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from engine import strict_json
from engine.errors import GraphError
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.opened import Identity, opened, read_at
from nodes.sd.formats.tensors import DTYPES, Entry, Run

LENGTH = 8
LIMIT = strict_json.MAX_BYTES
"""The most bytes in a header. The format allows 100 MB; the longest known headers have a tenth of that."""
MOST = 50_000
"""The most tensors in one file; the largest models have a few thousand."""
_DIMENSIONS = 16
_COMMAS = 100_000
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
"""A JSON string. An unterminated string matches up to the end of the file, which keeps the search linear."""


class Header(NamedTuple):
    """The header of one safetensors file."""

    identity: Identity
    """The identity of the file; see `opened`."""
    entries: dict[str, Entry]
    """The tensors by name."""
    metadata: dict[str, str]
    """The metadata of the file (`__metadata__`)."""


def read_header(path: Path) -> Header:
    """Read and check the header of a safetensors file; the tensors' bytes are not read.

    Raises:
        BadFileError: the file cannot be opened, or its header is cut short, too long, ambiguous, or does not
            fit the file.
    """
    file, identity = opened(path)
    with file:
        size = identity.size
        if size < LENGTH:
            raise _bad(path, "is cut short")
        length = int.from_bytes(read_at(file, 0, LENGTH), "little")
        if length > size - LENGTH:
            raise _bad(path, f"claims a header of {length:,} bytes but has only {size:,} bytes")
        if length > LIMIT:
            raise _bad(path, f"has a header of {length:,} bytes; the limit is {LIMIT:,}", "too_large")
        text = bytes(read_at(file, LENGTH, length))
    return Header(identity, *_parsed(path, text, size))


def tensor_sizes(path: Path) -> dict[str, Entry]:
    """Read the dtype, shape and place of each tensor from the header of a safetensors file.

    Raises:
        BadFileError: as `read_header`.
    """
    return read_header(path).entries


def _parsed(path: Path, text: bytes, size: int) -> tuple[dict[str, Entry], dict[str, str]]:
    listed = text.count(b'"data_offsets"')
    if listed > MOST:
        raise _bad(path, f"lists more than {MOST:,} tensors", "too_large")
    # Only metadata may have many commas. A header with more numbers than its tensors need would parse slowly.
    if text.count(b",") > _COMMAS and _TEXT.sub(b"", text).count(b",") > _COMMAS + listed * 2 * _DIMENSIONS:
        raise _bad(path, "has a header with many values that do not describe tensors", "too_large")
    if text.startswith(b"\xef\xbb\xbf"):
        raise _bad(path, "has a header that begins with a byte-order mark, which no tool writes")
    try:
        header = strict_json.parse(text)
    except GraphError as error:
        raise _bad(path, f"has a header that cannot be used: {error.problems[0].message}") from None
    if not isinstance(header, dict):
        raise _bad(path, "has a header that is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _bad(path, "has metadata that is not text")
    end = LENGTH + len(text)
    entries = {name: _entry(path, name, item, end) for name, item in header.items()}
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].run.start, item[1].run.size)):
        if entry.run.start != end:
            what = "overlaps another" if entry.run.start < end else "has a gap before it"
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
                    path, f"holds {_short(name)} as {_short(dtype)}, an unknown number format", "bad_dtype"
                )
            count = DTYPES[dtype][1]
            if len(shape) <= _DIMENSIONS and all(type(n) is int and n >= 0 for n in (*shape, start, stop)):
                for side in shape:
                    count *= side
                if not rest and stop - start == count:
                    return Entry(dtype, tuple(shape), Run(data + start, count), 0)
    raise _bad(path, f"describes its tensor {_short(name)} inconsistently")


def _short(name: str) -> str:
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _bad(path: Path, what: str, code: str = "bad_safetensors") -> BadFileError:
    return BadFileError(code, f"{path} {what}. Download it again, or save it with the tool that made it.")
