"""Finds the members of the zip files that `torch.save` writes; nothing is unpacked to disk."""

from __future__ import annotations

import io
import re
import struct
import zlib
from dataclasses import dataclass

from .refused import RefusedError, shown

_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")

_DIRECTORY_LIMIT = 16 << 20
_MEMBERS = 50_000
_EXPECTED = re.compile(
    r"[^/]+/(data\.pkl|data/\d{1,9}|version|byteorder|\.data/serialization_id|\.format_version|\.storage_alignment)"
)
"""The members that torch writes; all others are refused."""


@dataclass(frozen=True)
class Member:
    """The place of one member in the zip file."""

    start: int
    stored: int
    """The number of bytes in the zip file."""
    size: int
    """The number of bytes after unpacking."""
    deflated: bool


def members(file: io.FileIO, size: int) -> dict[str, Member]:
    """List the members of a zip file, by their names in their common folder: `data.pkl`, `data/0`, `version`.

    Args:
        file: the zip file.
        size: its size in bytes.

    Raises:
        RefusedError: the file is damaged or contradicts itself, or contains something that torch does not
            write.
    """
    count, start, length = _directory(file, size)
    if count > _MEMBERS or length > _DIRECTORY_LIMIT:
        raise RefusedError("too_large", f"is a zip file of {count:,} members; at most {_MEMBERS:,} are read")
    entries = _entries(_read(file, start, length), count)
    found: dict[str, Member] = {}
    folders = {name.partition("/")[0] for name, *_ in entries}
    spans = []
    for name, flags, method, stored, whole, header in entries:
        if flags & 1:
            raise RefusedError("encrypted", f"is a zip file whose member {shown(name)} is encrypted")
        if method not in (0, 8) or (method == 0 and stored != whole):
            raise RefusedError(
                "bad_zip", f"is a zip file whose member {shown(name)} has an unknown compression"
            )
        if header + _LOCAL.size > start:
            raise RefusedError("bad_zip", f"is a zip file whose member {shown(name)} lies outside of it")
        head = _LOCAL.unpack(_read(file, header, _LOCAL.size))
        begin = header + _LOCAL.size + head[9] + head[10]
        if head[0] != b"PK\3\4" or (head[2], head[3]) != (flags, method) or begin + stored > start:
            raise RefusedError(
                "bad_zip", f"is a zip file with contradicting entries for its member {shown(name)}"
            )
        if _read(file, header + _LOCAL.size, head[9]) != name.encode("utf-8", "surrogateescape"):
            raise RefusedError("bad_zip", f"is a zip file that gives its member {shown(name)} two names")
        spans.append((header, begin + stored, name))
        if name.endswith("/") and whole == 0 and name.count("/") <= 2:
            continue
        if not _EXPECTED.fullmatch(name) or len(folders) != 1:
            raise RefusedError(
                "not_torch", f"is a zip file with {shown(name)} in it, which torch does not write"
            )
        inner = name.partition("/")[2]
        if inner in found:
            raise RefusedError("bad_zip", f"is a zip file that holds {shown(name)} twice")
        found[inner] = Member(begin, stored, whole, method == 8)
    end = 0
    for begin, stop, name in sorted(spans):
        if begin < end:
            raise RefusedError("bad_zip", f"is a zip file whose member {shown(name)} overlaps another")
        end = stop
    return found


def content(file: io.FileIO, member: Member, limit: int) -> bytes:
    """Read and unpack a member.

    Raises:
        RefusedError: the member is larger than `limit` bytes, or does not match the directory.
    """
    if max(member.size, member.stored) > limit:
        raise RefusedError("too_large", f"contains a member of {member.size:,} bytes; the limit is {limit:,}")
    data = _read(file, member.start, member.stored)
    if member.deflated:
        try:
            data = zlib.decompressobj(-15).decompress(data, member.size + 1)
        except zlib.error:
            data = b""
    if len(data) != member.size:
        raise RefusedError("bad_zip", "is a zip file with a damaged member")
    return data


def _directory(file: io.FileIO, size: int) -> tuple[int, int, int]:
    """Find the directory of a zip file; return the number of its members, its place and its length."""
    tail_start = max(0, size - 65_557)
    tail = _read(file, tail_start, size - tail_start)
    at = len(tail)
    while (at := tail.rfind(b"PK\5\6", 0, at)) >= 0:
        if at + _END.size <= len(tail):
            _, disk, first, here, count, length, start, comment = _END.unpack_from(tail, at)
            if at + _END.size + comment == len(tail):
                break
    else:
        raise RefusedError("truncated", "is a zip file without its end: it was cut short")
    end = tail_start + at
    if at >= _LOCATOR.size and tail[at - _LOCATOR.size : at - _LOCATOR.size + 4] == b"PK\6\7":
        where = _LOCATOR.unpack_from(tail, at - _LOCATOR.size)[2]
        if where + _END64.size > end:
            raise RefusedError("bad_zip", "is a zip file without a directory")
        mark, _, _, _, disk, first, here, count, length, start = _END64.unpack(
            _read(file, where, _END64.size)
        )
        end = where
        if mark != b"PK\6\6":
            raise RefusedError("bad_zip", "is a zip file without a directory")
    if disk or first or here != count or start + length != end:
        raise RefusedError("bad_zip", "is a zip file whose directory does not match its content")
    return count, start, length


def _entries(directory: bytes, count: int) -> list[tuple[str, int, int, int, int, int]]:
    """Parse the directory: for each member its name, flags, method, stored size, size, and header's place."""
    entries = []
    at = 0
    try:
        for _ in range(count):
            mark, _, _, flags, method, _, _, _, stored, whole, names, extras, comment, _, _, _, header = (
                _CENTRAL.unpack_from(directory, at)
            )
            at += _CENTRAL.size
            name = directory[at : at + names].decode("utf-8", "surrogateescape")
            extra = directory[at + names : at + names + extras]
            stored, whole, header = _wide(extra, whole, stored, header)
            entries.append((name, flags, method, stored, whole, header))
            at += names + extras + comment
            if mark != b"PK\1\2" or at > len(directory):
                raise RefusedError("bad_zip", "is a zip file with a damaged directory")
    except struct.error:
        raise RefusedError("bad_zip", "is a zip file with a damaged directory") from None
    if at != len(directory):
        raise RefusedError("bad_zip", "is a zip file with a damaged directory")
    return entries


def _wide(extra: bytes, whole: int, stored: int, header: int) -> tuple[int, int, int]:
    """Return a member's stored size, size and header's place, from the zip64 field where that is needed."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        field = extra[at + 4 : at + 4 + length]
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{min(length, 24) // 8}Q", field))
            whole = next(wide, whole) if whole == 0xFFFFFFFF else whole
            stored = next(wide, stored) if stored == 0xFFFFFFFF else stored
            header = next(wide, header) if header == 0xFFFFFFFF else header
        at += 4 + length
    return stored, whole, header


def _read(file: io.FileIO, start: int, length: int) -> bytes:
    file.seek(start)
    pieces = []
    while length > 0 and (piece := file.read(length)):
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)
