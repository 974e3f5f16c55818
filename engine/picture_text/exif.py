"""Reads texts from the EXIF block of JPEG and WEBP files, without decoding the picture (Exif 2.32, TIFF 6).

The block is not trusted: offsets may be wrong and directories may form loops. So only the two directories
with texts are read, once each and up to `MAX_ENTRIES` entries.
"""

from __future__ import annotations

from collections.abc import Iterator

MAX_ENTRIES = 256
MAX_TEXT_BYTES = 32 << 20
PARAMETERS = "parameters"
"""The name under which the user comment is read and written."""
JPEG = b"\xff\xd8\xff"

EXIF = b"Exif\0\0"
EXIF_DIRECTORY = 0x8769
USER_COMMENT = 0x9286
BYTE, ASCII, UNDEFINED = 1, 2, 7
_BYTES = (BYTE, ASCII, UNDEFINED)
"""The value types of texts; some programs use the wrong one for a user comment."""
LONG = 4
_PLAIN_TAGS = range(0x0100, 0x0140)
"""The tags in which ComfyUI writes texts such as `workflow:{…}`, including Make and Model."""


def read_text(data: bytes) -> dict[str, str]:
    """Read the texts of a JPEG or WEBP file: `parameters` from the user comment, others as `NAME:TEXT`.

    A1111 and similar programs write the user comment in UTF-16 of either byte order, others in ASCII or
    UTF-8.

    Args:
        data: a whole file.

    Returns:
        the undamaged texts by name; empty for a file of another format.
    """
    texts: dict[str, str] = {}
    for block in _blocks(data):
        tiff = Tiff(block)
        first = tiff.directory(tiff.number(4, 4))
        for tag, (kind, at, size) in first.items():
            if tag in _PLAIN_TAGS and kind == ASCII:
                value = block[at : at + size]
                if name := name_of(value):
                    texts.setdefault(name, _decoded(value).rstrip("\0")[len(name) + 1 :])
        if EXIF_DIRECTORY in first:
            _, at, _ = first[EXIF_DIRECTORY]
            comment = tiff.directory(tiff.number(at, 4)).get(USER_COMMENT)
            if comment is not None and comment[0] in _BYTES:
                texts.setdefault(PARAMETERS, _comment(block[comment[1] : comment[1] + comment[2]]))
    return {name: text for name, text in texts.items() if text}


def name_of(value: bytes) -> str:
    """Return the name in front of a text such as `workflow:{…}`; empty if there is none."""
    name, colon, _ = _decoded(value).partition(":")
    return name if colon and is_name(name) else ""


def is_name(name: str) -> bool:
    """Return True if a text can have this name: 1 to 79 letters, digits, `-` and `_`."""
    return 1 <= len(name) <= 79 and name.replace("_", "").replace("-", "").isalnum()


def is_webp(data: bytes) -> bool:
    """Return True if a file begins with the signature of WEBP."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _blocks(data: bytes) -> Iterator[bytes]:
    """Yield the first EXIF block of a file, if it has one."""
    if data.startswith(JPEG):
        at = 2
        while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in (b"\xda", b"\xd9", b""):
            length = int.from_bytes(data[at + 2 : at + 4])
            body = data[at + 4 : at + 2 + length]
            if data[at + 1] == 0xE1 and body.startswith(EXIF):
                yield body[len(EXIF) :]
                return
            at += 2 + max(length, 2)
    elif is_webp(data):
        at = 12
        while at + 8 <= len(data):
            length = int.from_bytes(data[at + 4 : at + 8], "little")
            if data[at : at + 4] == b"EXIF":
                yield data[at + 8 : at + 8 + min(length, MAX_TEXT_BYTES)].removeprefix(EXIF)
                return
            at += 8 + length + length % 2


class Tiff:
    """A TIFF structure in either byte order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._little = data[:2] == b"II"
        self.is_valid = data[:4] in (b"II*\0", b"MM\0*") and 8 <= self.number(4, 4) < len(data)
        """True if it begins with a valid TIFF header."""

    def number(self, at: int, size: int) -> int:
        """Read the integer at a position; 0 beyond the end."""
        return int.from_bytes(self._data[at : at + size], "little" if self._little else "big")

    def directory(self, at: int) -> dict[int, tuple[int, int, int]]:
        """Read the directory at a position: tag -> (type, position, size) of its entries.

        Only entries with bytes or a single number are returned.
        """
        if self._data[:2] not in (b"II", b"MM") or not 8 <= at < len(self._data):
            return {}
        entries: dict[int, tuple[int, int, int]] = {}
        for entry in range(at + 2, at + 2 + 12 * min(self.number(at, 2), MAX_ENTRIES), 12):
            tag, kind, count = self.number(entry, 2), self.number(entry + 2, 2), self.number(entry + 4, 4)
            if kind == LONG and count == 1:
                entries[tag] = kind, entry + 8, 4
            elif kind in _BYTES and count <= len(self._data):
                entries[tag] = kind, entry + 8 if count <= 4 else self.number(entry + 8, 4), count
        return entries


def _comment(data: bytes) -> str:
    """Decode a user comment, whose first eight bytes name the encoding."""
    code, rest = data[:8], data[8:]
    if code == b"UNICODE\0":
        return _utf16(rest)
    if code in (b"ASCII\0\0\0", b"\0" * 8):
        return _decoded(rest).rstrip("\0")
    return _decoded(data).rstrip("\0")


def _utf16(data: bytes) -> str:
    """Decode UTF-16 of unknown byte order, in the order that gives more ASCII characters."""
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
