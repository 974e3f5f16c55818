"""Reads and writes text chunks of PNG files without decoding the picture (PNG specification 5, 11.3.3)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT_BYTES = 32 << 20
"""The limit of the decompressed text of one file."""


class Chunk(NamedTuple):
    """One chunk: its four-letter type, its data, and its position in the file."""

    kind: bytes
    data: memoryview
    start: int
    end: int


def read_text(png: bytes) -> dict[str, str]:
    """Read the text chunks (tEXt, zTXt, iTXt) by keyword. Of two chunks with one keyword, the later counts.

    Raises:
        ValueError: the file is not a PNG, is cut off or damaged, or has more than `MAX_TEXT_BYTES` of text.
    """
    texts: dict[str, str] = {}
    left = MAX_TEXT_BYTES
    for chunk in _chunks(png):
        if chunk.kind in _TEXT_KINDS:
            keyword, rest = _keyword(chunk)
            text, size = _text(chunk.kind, rest, left)
            left -= size
            texts[keyword] = text
    return texts


def write_text(png: bytes, texts: Mapping[str, str]) -> bytes:
    """Add text chunks after the header of a PNG file; they replace chunks with the same keywords.

    Text that is Latin-1 becomes a tEXt chunk, unless its bytes would be read as UTF-8. Any other text becomes
    an iTXt chunk of UTF-8.

    Args:
        png: a whole file.
        texts: the texts by keyword; a keyword has 1 to 79 Latin-1 characters.

    Raises:
        ValueError: the file is not a PNG, is cut off or damaged; or a keyword or text cannot be written.
    """
    chunks = _chunks(png)
    header = next(chunks)
    pieces: list[bytes | memoryview] = [memoryview(png)[: header.end]]
    pieces += [_text_chunk(keyword, text) for keyword, text in texts.items()]
    begin = end = header.end
    for chunk in chunks:
        end = chunk.end
        if chunk.kind in _TEXT_KINDS and _keyword(chunk)[0] in texts:
            pieces.append(memoryview(png)[begin : chunk.start])
            begin = chunk.end
    pieces.append(memoryview(png)[begin:end])
    return b"".join(pieces)


_TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")


def _chunks(png: bytes) -> Iterator[Chunk]:
    """Yield every chunk from IHDR to IEND, and verify its checksum."""
    if not png.startswith(SIGNATURE):
        raise ValueError("not a PNG file")
    view = memoryview(png)
    start = len(SIGNATURE)
    kind = b""
    while kind != b"IEND":
        length = int.from_bytes(view[start : start + 4])
        body = start + 8
        end = body + length + 4
        if end > len(view):
            raise ValueError(f"the PNG file is cut off at byte {start:,}")
        first = not kind
        kind = bytes(view[start + 4 : body])
        if first and (kind != b"IHDR" or length != 13):
            raise ValueError("the PNG file does not begin with its header")
        if zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise ValueError(f"the PNG file is damaged: the checksum at byte {start:,} is wrong")
        yield Chunk(kind, view[body : end - 4], start, end)
        start = end


def _keyword(chunk: Chunk) -> tuple[str, bytes]:
    keyword, separator, rest = bytes(chunk.data).partition(b"\0")
    if not separator or not 1 <= len(keyword) <= 79:
        raise ValueError(f"the PNG file is damaged: the text at byte {chunk.start:,} has no keyword")
    return keyword.decode("latin-1"), rest


def _text(kind: bytes, rest: bytes, left: int) -> tuple[str, int]:
    """Decode the text after the keyword; return it with its size in bytes."""
    packed = kind == b"zTXt"
    if packed:
        method, rest = rest[:1], rest[1:]
    elif kind == b"iTXt":
        flags, rest = rest[:2], rest[2:]
        packed, method = flags[:1] == b"\1", flags[1:]
        rest = rest.split(b"\0", 2)[-1]  # past the language and the translated keyword
    if packed:
        if method != b"\0":
            raise ValueError("a PNG text is compressed in an unknown way")
        try:
            unzip = zlib.decompressobj()
            rest = unzip.decompress(rest, left + 1)
        except zlib.error:
            raise ValueError("a PNG text cannot be decompressed") from None
        if not unzip.eof and len(rest) <= left:
            raise ValueError("a PNG text is cut off")
    if len(rest) > left:
        raise ValueError(f"the PNG file holds more than {MAX_TEXT_BYTES >> 20} MB of text")
    return rest.decode("utf-8") if kind == b"iTXt" else _plain(rest), len(rest)


def _plain(data: bytes) -> str:
    """Decode the text of a tEXt or zTXt chunk as UTF-8 if it is valid UTF-8, otherwise as Latin-1.

    The specification says Latin-1, but many tools write UTF-8. Latin-1 text with letters beyond ASCII is
    hardly ever valid UTF-8.
    """

    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _text_chunk(keyword: str, text: str) -> bytes:
    try:
        head = keyword.encode("latin-1") + b"\0"
    except UnicodeEncodeError:
        head = b""
    if not 2 <= len(head) <= 80 or "\0" in keyword + text:
        raise ValueError(
            f"{keyword[:80]!r}: a keyword needs 1 to 79 Latin-1 characters, and its text no NUL character"
        )
    plain = text.encode("latin-1", "ignore")
    if _plain(plain) == text:  # not so where letters were ignored
        kind, data = b"tEXt", head + plain
    else:
        kind, data = b"iTXt", head + b"\0\0\0\0" + text.encode("utf-8")
    return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)
