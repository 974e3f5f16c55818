"""Texts in the EXIF block of JPEG and WEBP files, read without touching a pixel (Exif 2.32, TIFF 6).

Nothing in such a block is trusted: offsets may lead anywhere and directories may form loops, so each of the
two directories that matter is read once, up to `MAX_ENTRIES`, and no other is followed.
"""

from __future__ import annotations

from collections.abc import Iterator

MAX_ENTRIES = 256
MAX_TEXT_BYTES = 32 << 20
JPEG = b"\xff\xd8\xff"

_EXIF = b"Exif\0\0"
_EXIF_DIRECTORY = 0x8769
_USER_COMMENT = 0x9286
_BYTE, _ASCII, _UNDEFINED = 1, 2, 7
_BYTES = (_BYTE, _ASCII, _UNDEFINED)
"""The kinds of value that texts are written as; some writers take the wrong one for a user comment."""
_LONG = 4
_PLAIN_TAGS = range(0x0100, 0x0140)
"""Where ComfyUI puts texts such as `workflow:{…}`: from 0x010F (Make) and 0x0110 (Model) downwards."""


def read_text(data: bytes) -> dict[str, str]:
    """The texts of a JPEG or WEBP file: `parameters` from the user comment, others by what is before a `:`.

    A1111 and its kin write the user comment in UTF-16 of either byte order, others in ASCII or UTF-8.

    Args:
        data: a whole file; of another kind, it has no texts.

    Returns:
        what there is; what is damaged counts as absent.
    """
    found: dict[str, str] = {}
    for block in _blocks(data):
        tiff = _Tiff(block)
        first = tiff.directory(tiff.number(4, 4))
        for tag, (kind, at, size) in first.items():
            if tag in _PLAIN_TAGS and kind == _ASCII:
                name, colon, text = _decoded(block[at : at + size]).rstrip("\0").partition(":")
                if colon and 1 <= len(name) <= 79 and name.replace("_", "").replace("-", "").isalnum():
                    found.setdefault(name, text)
        if _EXIF_DIRECTORY in first:
            _, at, _ = first[_EXIF_DIRECTORY]
            comment = tiff.directory(tiff.number(at, 4)).get(_USER_COMMENT)
            if comment is not None and comment[0] in _BYTES:
                found.setdefault("parameters", _comment(block[comment[1] : comment[1] + comment[2]]))
    return {name: text for name, text in found.items() if text}


def _blocks(data: bytes) -> Iterator[bytes]:
    """The first EXIF block of a file."""
    if data.startswith(JPEG):
        at = 2
        while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in (b"\xda", b"\xd9", b""):
            length = int.from_bytes(data[at + 2 : at + 4])
            body = data[at + 4 : at + 2 + length]
            if data[at + 1] == 0xE1 and body.startswith(_EXIF):
                yield body[len(_EXIF) :]
                return
            at += 2 + max(length, 2)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        at = 12
        while at + 8 <= len(data):
            length = int.from_bytes(data[at + 4 : at + 8], "little")
            if data[at : at + 4] == b"EXIF":
                yield data[at + 8 : at + 8 + min(length, MAX_TEXT_BYTES)].removeprefix(_EXIF)
                return
            at += 8 + length + length % 2


class _Tiff:
    """A TIFF structure, of either byte order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._little = data[:2] == b"II"

    def number(self, at: int, size: int) -> int:
        """A whole number; 0 beyond the end."""
        return int.from_bytes(self._data[at : at + size], "little" if self._little else "big")

    def directory(self, at: int) -> dict[int, tuple[int, int, int]]:
        """The entries of a directory whose values are bytes or a single number: kind, place and bytes."""
        if self._data[:2] not in (b"II", b"MM") or not 8 <= at < len(self._data):
            return {}
        found: dict[int, tuple[int, int, int]] = {}
        for entry in range(at + 2, at + 2 + 12 * min(self.number(at, 2), MAX_ENTRIES), 12):
            tag, kind, count = self.number(entry, 2), self.number(entry + 2, 2), self.number(entry + 4, 4)
            if kind == _LONG and count == 1:
                found[tag] = kind, entry + 8, 4
            elif kind in _BYTES and count <= len(self._data):
                found[tag] = kind, entry + 8 if count <= 4 else self.number(entry + 8, 4), count
        return found


def _comment(data: bytes) -> str:
    """A user comment, whose first eight bytes say how it is written."""
    code, rest = data[:8], data[8:]
    if code == b"UNICODE\0":
        return _utf16(rest)
    if code in (b"ASCII\0\0\0", b"\0" * 8):
        return _decoded(rest).rstrip("\0")
    return _decoded(data).rstrip("\0")


def _utf16(data: bytes) -> str:
    """Text whose byte order nothing says for certain: of the two readings, the one with more ASCII in it."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace").rstrip("\0")
    big, little = data.decode("utf-16-be", "replace"), data.decode("utf-16-le", "replace")
    plain = [sum(letter.isascii() and letter != "\0" for letter in text) for text in (big, little)]
    return (little if plain[1] > plain[0] else big).rstrip("\0")


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
