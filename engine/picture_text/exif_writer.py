"""Writes texts into the EXIF block of JPEG and WEBP files, without re-encoding the picture.

`parameters` becomes the user comment, as A1111 and Civitai write it. Every other text becomes `name:text` in
a tag such as Make, as ComfyUI writes its graph.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from engine.picture_text.exif import (
    ASCII,
    EXIF,
    EXIF_DIRECTORY,
    JPEG,
    LONG,
    MAX_ENTRIES,
    PARAMETERS,
    UNDEFINED,
    USER_COMMENT,
    Tiff,
    is_name,
    is_webp,
    name_of,
)

_PLACES = (0x010F, 0x0110, 0x010E, 0x010D, 0x013C, 0x013B)
"""The tags for texts: Make, Model, ImageDescription, DocumentName, HostComputer, Artist."""
_EMPTY = b"MM\0*" + struct.pack(">IHI", 8, 0, 0)
_SEGMENT = 0xFFFF
"""The most bytes in a segment of a JPEG file, including its length field."""
_HAS_EXIF, _HAS_ALPHA = 0x08, 0x10


def write_text(picture: bytes, texts: Mapping[str, str]) -> bytes:
    """Add texts to the EXIF block of a picture file; they replace texts of the same names.

    Other entries of the block are kept.

    Args:
        picture: a whole JPEG or WEBP file.
        texts: the texts by name. A name has 1 to 79 letters, digits, `-` and `_`.

    Raises:
        ValueError: the file is not a JPEG or WEBP file, or is cut off or damaged; or a text cannot be written
            because its name is invalid or it exceeds the 64 KB of a JPEG segment.
    """
    for name, text in texts.items():
        if not is_name(name) or "\0" in text:
            raise ValueError(
                f"{name[:80]!r}: a name has only letters, digits, - and _, and a text no NUL character"
            )
    return _in_webp(picture, texts) if is_webp(picture) else _in_jpeg(picture, texts)


def _in_jpeg(picture: bytes, texts: Mapping[str, str]) -> bytes:
    old, at, end = b"", 2, 2
    for kind, start, stop in _segments(picture):
        body = picture[start + 4 : stop]
        if kind == 0xE0 and start == 2:
            at = end = stop  # JFIF requires its own segment to come first
        elif kind == 0xE1 and body.startswith(EXIF):
            old, at, end = body[len(EXIF) :], start, stop
            break
    data = EXIF + _with_texts(old, texts)
    if len(data) + 2 > _SEGMENT:
        raise ValueError(
            f"the metadata would take {len(data):,} bytes, and a JPEG file has room for {_SEGMENT:,};"
            " save the picture as .png or .webp"
        )
    return picture[:at] + struct.pack(">HH", 0xFFE1, len(data) + 2) + data + picture[end:]


def _segments(picture: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the segments before the pixels of a JPEG file: marker, start and end."""
    if not picture.startswith(JPEG):
        raise ValueError("neither a JPEG nor a WEBP file")
    at = 2
    while picture[at : at + 1] == b"\xff" and picture[at + 1 : at + 2] != b"\xda":
        length = int.from_bytes(picture[at + 2 : at + 4])
        end = at + 2 + length
        if length < 2 or end > len(picture):
            break
        yield picture[at + 1], at, end
        at = end
    if picture[at : at + 2] != b"\xff\xda":
        raise ValueError(f"the JPEG file is damaged or cut off at byte {at:,}")


class _Chunk(NamedTuple):
    kind: bytes
    data: bytes


def _in_webp(picture: bytes, texts: Mapping[str, str]) -> bytes:
    chunks = list(_chunks(picture))
    if not chunks or (chunks[0].kind == b"VP8X" and len(chunks[0].data) < 10):
        raise ValueError("the WEBP file is cut off")
    if chunks[0].kind != b"VP8X":
        chunks.insert(0, _extended(chunks[0]))
    flags, *rest = chunks[0].data
    chunks[0] = _Chunk(b"VP8X", bytes([flags | _HAS_EXIF, *rest]))
    old = next((chunk.data.removeprefix(EXIF) for chunk in chunks if chunk.kind == b"EXIF"), b"")
    chunks = [chunk for chunk in chunks if chunk.kind != b"EXIF"]
    end = next((number for number, chunk in enumerate(chunks) if chunk.kind == b"XMP "), len(chunks))
    chunks.insert(end, _Chunk(b"EXIF", _with_texts(old, texts)))
    body = b"WEBP" + b"".join(
        kind + len(data).to_bytes(4, "little") + data + b"\0" * (len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def _chunks(picture: bytes) -> Iterator[_Chunk]:
    at, end = 12, 8 + int.from_bytes(picture[4:8], "little")
    while at < end:
        length = int.from_bytes(picture[at + 4 : at + 8], "little")
        if at + 8 + length > len(picture):
            raise ValueError(f"the WEBP file is cut off at byte {at:,}")
        yield _Chunk(picture[at : at + 4], picture[at + 8 : at + 8 + length])
        at += 8 + length + length % 2


def _extended(image: _Chunk) -> _Chunk:
    """Make the VP8X chunk, with which a WEBP file with metadata begins (RFC 9649, 2.7)."""
    if image.kind == b"VP8L" and len(image.data) >= 5:
        bits = int.from_bytes(image.data[1:5], "little")
        width, height = bits & 0x3FFF, bits >> 14 & 0x3FFF
        has_alpha = bits >> 28 & 1
    elif image.kind == b"VP8 " and image.data[3:6] == b"\x9d\x01\x2a" and len(image.data) >= 10:
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", image.data[6:10]))
        width, height, has_alpha = width - 1, height - 1, 0
    else:
        raise ValueError("the WEBP file is damaged: its picture has no header")
    sides = width.to_bytes(3, "little") + height.to_bytes(3, "little")
    return _Chunk(b"VP8X", bytes([_HAS_ALPHA * has_alpha, 0, 0, 0]) + sides)


def _with_texts(block: bytes, texts: Mapping[str, str]) -> bytes:
    """Return an EXIF block with the texts added.

    New data and directories are appended, so that positions in the old entries stay valid.
    """
    tiff = Tiff(block)
    if not tiff.is_valid:
        tiff = Tiff(block := _EMPTY)
    out = bytearray(block)
    order = ">" if block.startswith(b"MM") else "<"

    def append(data: bytes) -> int:
        out.extend(b"\0" * (len(out) % 2))
        out.extend(data)
        return len(out) - len(data)

    def entry(tag: int, kind: int, data: bytes) -> bytes:
        place = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(f"{order}I", append(data))
        return struct.pack(f"{order}HHI", tag, kind, len(data)) + place

    def directory(entries: Mapping[int, bytes], following: bytes) -> int:
        rows = b"".join(entries[tag] for tag in sorted(entries))
        return append(struct.pack(f"{order}H", len(entries)) + rows + following)

    first_at = tiff.number(4, 4)
    first, known = _entries(block, tiff, first_at), tiff.directory(first_at)
    names = {tag: name_of(block[at : at + size]) for tag, (kind, at, size) in known.items() if kind == ASCII}
    pointer = known.get(EXIF_DIRECTORY)
    exif_at = 0 if pointer is None else tiff.number(pointer[1], 4)
    exif = _entries(block, tiff, exif_at)
    for name, text in texts.items():
        if name == PARAMETERS:
            comment = b"UNICODE\0" + text.encode("utf-16-be")
            exif[USER_COMMENT] = entry(USER_COMMENT, UNDEFINED, comment)
            continue
        own = next((tag for tag in names if names[tag] == name), None)
        tag = own or next((tag for tag in _PLACES if tag not in first), None)
        if tag is None:
            raise ValueError(f"{name!r}: the EXIF data of the picture has no free tag for another text")
        names[tag] = name
        first[tag] = entry(tag, ASCII, f"{name}:{text}".encode() + b"\0")
    if exif:
        exif_at = directory(exif, _following(block, tiff, exif_at))
        first[EXIF_DIRECTORY] = struct.pack(f"{order}HHII", EXIF_DIRECTORY, LONG, 1, exif_at)
    out[4:8] = struct.pack(f"{order}I", directory(first, _following(block, tiff, first_at)))
    return bytes(out)


def _entries(block: bytes, tiff: Tiff, at: int) -> dict[int, bytes]:
    """Read the twelve bytes of each entry of a directory, by tag."""
    if at < 8:
        return {}
    rows = (at + 2 + 12 * number for number in range(min(tiff.number(at, 2), MAX_ENTRIES)))
    return {tiff.number(row, 2): block[row : row + 12] for row in rows if row + 12 <= len(block)}


def _following(block: bytes, tiff: Tiff, at: int) -> bytes:
    """Read the bytes that point to the directory after this one, such as that of a thumbnail."""
    end = at + 2 + 12 * tiff.number(at, 2)
    return block[end : end + 4].ljust(4, b"\0") if at >= 8 else bytes(4)
