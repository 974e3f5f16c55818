"""Files made to do harm, and what their refusal has to say; `python -m` weighs the refusal of each."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

ROWS = 77_000_000


class Calls:
    """Pickled, it asks for a call when it is read."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def archive(pickled: bytes, *more: tuple[str, bytes], deflate: bool = False) -> bytes:
    """A zip file as `torch.save` lays it out."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED) as out:
        out.writestr("archive/data.pkl", pickled)
        for name, data in more:
            out.writestr(name, data)
    return file.getvalue()


def stream(pickled: bytes, keys: object, *storages: bytes) -> bytes:
    """A file as `torch.save` wrote it before 1.6."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    head = b"".join(pickle.dumps(item, 2) for item in (0x1950A86A20F9469CFC6C, 1001, system))
    return head + pickled + pickle.dumps(keys, 2) + b"".join(storages)


def tensor(
    key: str, count: int, shape: tuple[int, ...], strides: tuple[int, ...], kind: str = "Float"
) -> bytes:
    """The codes of pickle's that stand for a tensor in torch's files."""

    def number(value: int) -> bytes:
        return b"\x8a\x08" + struct.pack("<q", value)

    storage = b"(X\7\0\0\0storage" + f"ctorch\n{kind}Storage\n".encode()
    storage += b"X" + struct.pack("<I", len(key)) + key.encode() + b"X\3\0\0\0cpu" + number(count) + b"tQ"
    sides = b"(" + b"".join(map(number, shape)) + b"t(" + b"".join(map(number, strides)) + b"t"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0" + sides + b"\x89}tR"


def mapping(value: bytes, name: str = "emb_params") -> bytes:
    return b"\x80\2}X" + struct.pack("<I", len(name)) + name.encode() + value + b"s."


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(start: int, stop: int, shape: object, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def patched(data: bytes, found: bytes, change: Callable[[bytearray, int], None], last: bool = True) -> bytes:
    """Bytes with something changed near the last (or first) place where some others stand."""
    whole = bytearray(data)
    change(whole, whole.rfind(found) if last else whole.find(found))
    return bytes(whole)


def _put(offset: int, form: str, value: int) -> Callable[[bytearray, int], None]:
    return lambda whole, at: struct.pack_into(form, whole, at + offset, value)


ONE = ("archive/data/0", bytes(32))
SOUND = mapping(tensor("0", 8, (2, 4), (4, 1)))
NUMBERS = struct.pack("<q", 8) + bytes(32)
"""The numbers of the storage of `SOUND` in a stream."""


def _twice() -> bytes:
    other = SOUND.replace(b"emb_params", b"emp_params")
    assert len(other) == len(SOUND)
    return archive(SOUND, ("archive/data/1", other), ONE).replace(b"archive/data/1", b"archive/data/0")


def calls(marker: Path) -> dict[str, tuple[bytes, str]]:
    """Pickles that would run a command, which makes a file, in every way that pickle knows."""
    command = f"touch {marker}"
    evil = Calls(os.system, command)
    name = f"{os.system.__module__}.system"
    text = command.encode()
    made: dict[str, tuple[bytes, str]] = {}
    for protocol in range(6):
        made[f"protocol {protocol}"] = pickle.dumps(evil, protocol), f"asks for {name} at byte"
        made[f"zip, protocol {protocol}"] = (
            archive(pickle.dumps({"a": evil}, protocol)),
            f"asks for {name} at byte",
        )
    made["stream"] = stream(pickle.dumps(evil, 2), []), f"asks for {name}"
    made["in the stream's first part"] = pickle.dumps(evil, 2) + SOUND, f"asks for {name}"
    made["INST"] = b"(S'" + text + b"'\nios\nsystem\n.", "asks for os.system at byte"
    made["OBJ"] = (
        archive(b"(cos\nsystem\nX" + struct.pack("<I", len(text)) + text + b"o."),
        "asks for os.system",
    )
    made["EXT1"] = archive(b"\x82\1."), "uses EXT1"
    made["eval"] = (
        archive(pickle.dumps(Calls(eval, f"open({str(marker)!r}, 'w')"), 2)),
        "asks for __builtin__.eval",
    )
    made["getattr"] = archive(pickle.dumps(Calls(getattr, "x", "y"), 2)), "asks for __builtin__.getattr"
    for module, function in (
        ("torch", "save"),
        ("torch", "load"),
        ("torch.serialization", "load"),
        ("numpy", "save"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("torch._utils", "os"),
        ("torch.hub", "load"),
        ("numpy.f2py.crackfortran", "getlincoef"),
        ("pip", "main"),
        ("collections", "namedtuple"),
        ("builtins", "set.__class__"),
    ):
        asked = f"c{module}\n{function}\n(tR.".encode()
        made[f"{module}.{function}"] = archive(asked), f"asks for {module}.{function} at byte 0 of data.pkl"
    return made


@cache
def pickles() -> dict[str, tuple[bytes, str]]:
    """Pickles that call nothing, and mean no good all the same."""
    bomb = b"\x80\2]q\0" + b"".join(b"0]q%c(h%ch%ce" % (n, n - 1, n - 1) for n in range(1, 60)) + b"."
    tuples = (
        b"\x80\2)q\0" + b"".join(b"h%ch%c\x86q%c" % (n - 1, n - 1, n) for n in range(1, 60)) + b"}h\x3bK\0s."
    )
    return {
        "laughs": (archive(bomb), "more than 200,000 values|nested deeper"),
        "hashes": (archive(tuples), "tuple as the key"),
        "itself": (archive(b"\x80\2]q\0h\0a."), "nested deeper than"),
        "lists in lists": (archive(b"\x80\2" + b"]" * 100_000 + b"a" * 99_999 + b"."), "nested deeper than"),
        "millions of lists": (archive(b"\x80\2(" + b"]" * 20_000_000 + b"l."), "more than 1,000,000 steps"),
        "a long number": (
            archive(b"\x80\2\x8b" + struct.pack("<i", 1 << 20) + bytes(1 << 20) + b"."),
            "number of",
        ),
        "a negative number": (archive(b"\x80\2\x8b" + struct.pack("<i", -5) + b"."), "number of -5 bytes"),
        "a text of 4 GB": (archive(b"\x80\2X\xff\xff\xff\xff."), "cut short"),
        "a text of 2^63": (archive(b"\x80\4\x8d" + struct.pack("<Q", 1 << 63) + b"."), "cut short"),
        "a memo of 2^31": (
            archive(b"\x80\2Nr\xff\xff\xff\x7f0j\xff\xff\xff\x7f."),
            "holds no|unknown|no embedding",
        ),
        "no stack": (archive(b"\x80\2R."), "damaged pickle"),
        "no mark": (archive(b"\x80\2t."), "damaged pickle"),
        "no stop": (archive(b"\x80\2K\1"), "cut short"),
        "nothing": (archive(b""), "cut short"),
        "a state for a number": (archive(b"\x80\2K\1}b."), "sets the state"),
        "a call of a number": (archive(b"\x80\2K\1)R."), "calls"),
        "77 million rows": (
            archive(
                mapping(tensor("0", ROWS, (ROWS, 1), (1, 1), "Byte")),
                ("archive/data/0", bytes(ROWS)),
                deflate=True,
            ),
            "integers",
        ),
        "77 million rows of floats": (
            archive(mapping(tensor("0", 8, (ROWS, 4), (4, 1))), ONE),
            r"shape \[77000000, 4\] in 8 numbers",
        ),
        "rows out of nothing": (
            archive(mapping(tensor("0", 8, (ROWS, 4), (0, 1))), ONE),
            r"shape \[77000000, 4\] in 8 numbers",
        ),
        "an offset past the end": (
            archive(SOUND.replace(b"K\0\x28", b"K\5\x28"), ONE),
            "in 8 numbers",
        ),
        "a negative side": (archive(mapping(tensor("0", 8, (-2, -4), (4, 1))), ONE), "impossible shape"),
        "sides that overflow": (
            archive(mapping(tensor("0", 8, (1 << 61, 1 << 61), (0, 0))), ONE),
            "in 8 numbers",
        ),
        "more numbers than bytes": (
            archive(mapping(tensor("0", 9, (2, 4), (4, 1))), ONE),
            "contradicting entries for its storage",
        ),
        "an unknown storage": (
            archive(mapping(tensor("0", 8, (2, 4), (4, 1), "Quux")), ONE),
            "asks for torch.QuuxS",
        ),
        "a missing storage": (archive(SOUND), "no data for its storage"),
        "a storage by a way out": (
            archive(mapping(tensor("../data.pkl", 8, (2, 4), (4, 1))), ONE),
            "no data for its storage",
        ),
        "a stream that ends early": (
            stream(SOUND, ["0"], struct.pack("<q", 8) + bytes(31)),
            "ends 1 bytes early",
        ),
        "a stream of two minds": (
            stream(SOUND, ["0"], struct.pack("<q", 1 << 62)),
            "contradicting entries for its storage",
        ),
        "a stream of unknown keys": (stream(SOUND, ["1"], NUMBERS), "does not list the storage '0'"),
        "a stream of equal keys": (stream(SOUND, ["0", "0"], NUMBERS, NUMBERS), "lists a storage twice"),
        "a stream of more keys": (stream(SOUND, ["0", "1"], NUMBERS), "'1', which is not used"),
        "a stream of keys that are no list": (stream(SOUND, {"0": 1}, NUMBERS), "no list of the names"),
        "a stream of keys that are lists": (stream(SOUND, ["0", []], NUMBERS), "no list of the names"),
        "a plain pickle": (pickle.dumps({"a": 1}, 2), "torch did not write"),
    }


@cache
def zips() -> dict[str, tuple[bytes, str]]:
    """Zip files that say one thing and are another."""
    sound = archive(SOUND, ONE)
    central, local = b"PK\1\2", b"PK\3\4"

    def overlapping(whole: bytearray, at: int) -> None:
        struct.pack_into("<I", whole, at + 42, struct.unpack_from("<I", whole, whole.find(central) + 42)[0])

    return {
        "twice the same name": (_twice(), "holds 'archive/data/0' twice"),
        "overlapping members": (patched(sound, central, overlapping), "two names|contradicting|overlaps"),
        "encrypted": (patched(sound, central, _put(8, "<H", 1)), "is encrypted"),
        "flags that differ": (
            patched(sound, local, _put(6, "<H", 8)),
            "contradicting entries for its member",
        ),
        "a method that differs": (
            patched(sound, local, _put(8, "<H", 8)),
            "contradicting entries for its member",
        ),
        "an unknown method": (patched(sound, central, _put(10, "<H", 12)), "unknown compression"),
        "a size that differs": (patched(sound, central, _put(24, "<I", 1 << 30)), "unknown compression"),
        "a member past the end": (patched(sound, central, _put(42, "<I", 0xFFFF0000)), "lies outside"),
        "a name that differs": (patched(sound, b"data/0", _put(0, "<B", ord("D")), last=False), "two names"),
        "a directory past the end": (
            patched(sound, b"PK\5\6", _put(16, "<I", 1 << 30)),
            "directory does not match",
        ),
        "65,000 members": (
            patched(sound, b"PK\5\6", _put(8, "<I", 0xFDE8FDE8)),
            "members; at most|damaged directory",
        ),
        "cut short": (sound[:-30], "cut short"),
        "something behind": (sound + b"MZ\0\0", "cut short"),
        "a way out": (archive(SOUND, ("../../../tmp/evil", b"x"), ONE), "which torch does not write"),
        "an absolute name": (archive(SOUND, ("/tmp/evil", b"x"), ONE), "which torch does not write"),
        "TorchScript": (
            archive(SOUND, ("archive/code/__torch__.py", b"x"), ONE),
            "which torch does not write",
        ),
        "two folders": (archive(SOUND, ("other/data/0", bytes(32))), "which torch does not write"),
        "no pickle": (archive(b"x").replace(b"data.pkl", b"data/777"), "torch did not write"),
        "a bomb as the pickle": (archive(bytes(100 << 20), deflate=True), "bytes; the limit is"),
        "big-endian": (archive(SOUND, ("archive/byteorder", b"big"), ONE), "big-endian"),
        "an Office file": (
            archive(b"x").replace(b"archive/data.pkl", b"[Content_Types].")[:],
            "does not write|sense",
        ),
    }


@cache
def headers() -> dict[str, tuple[bytes, str]]:
    """safetensors files whose headers lie."""
    data = bytes(32)
    many = ",".join(f'"{n}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for n in range(500_000))
    return {
        "2^63": (
            (1 << 63).to_bytes(8, "little") + b'{"a":1}',
            "claims a header of 9,223,372,036,854,775,808",
        ),
        "a byte too many": ((8).to_bytes(8, "little") + b'{"a":1}', "claims a header of 8 bytes"),
        "500,000 tensors": (safetensors(f"{{{many}}}".encode()), "more than 50,000 tensors|has a header of"),
        "quotes": (safetensors(b'{"a' + b'\\"' * 5_000_000 + b"," * 200_000), "cannot be used"),
        "brackets": (safetensors(b'{"a":' + b"[" * 1_000_000), "cannot be used"),
        "commas": (safetensors(b'{"a":[' + b"0," * 10_000_000 + b"0]}"), "do not describe tensors"),
        "overlap": (safetensors({"a": entry(0, 32, [8]), "b": entry(16, 32, [4])}, data), "overlaps another"),
        "a hole": (safetensors({"a": entry(0, 8, [2]), "b": entry(16, 32, [4])}, data), "has a gap"),
        "a hole ahead": (safetensors({"a": entry(4, 32, [7])}, data), "has a gap"),
        "too much data": (safetensors({"a": entry(0, 28, [7])}, data), "4 bytes too long"),
        "too little data": (safetensors({"a": entry(0, 36, [9])}, data), "4 bytes too short"),
        "one name twice": (
            safetensors(
                b"{" + b'"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]},' * 2 + b'"b":1}', data
            ),
            "'a' is written twice",
        ),
        "a size that is no product": (safetensors({"a": entry(0, 32, [3, 3])}, data), "inconsistently"),
        "sides that overflow": (
            safetensors({"a": entry(0, 32, [1 << 62, 1 << 62, 4])}, data),
            "inconsistently",
        ),
        "negative sides": (safetensors({"a": entry(0, 32, [-2, -4])}, data), "inconsistently"),
        "sides that are no numbers": (safetensors({"a": entry(0, 32, [8.0])}, data), "inconsistently"),
        "sides that are true": (safetensors({"a": entry(0, 4, [True])}, bytes(4)), "inconsistently"),
        "offsets turned round": (safetensors({"a": entry(32, 0, [8])}, data), "inconsistently"),
        "a million sides": (
            safetensors({"a": entry(0, 4, [1] * 1_000_000)}, bytes(4)),
            "do not describe tensors",
        ),
        "an unknown dtype": (safetensors({"a": entry(0, 32, [8], "Q4")}, data), "unknown number format"),
        "metadata that is no text": (safetensors({"__metadata__": {"a": 1}}), "metadata that is not text"),
        "NaN as JSON": (safetensors(b'{"a":NaN}'), "cannot be used"),
        "half a surrogate pair": (safetensors(b'{"__metadata__":{"a":"\\ud800"}}'), "cannot be used"),
        "bytes that are no text": (safetensors(b'{"\xff":1}'), "cannot be used"),
        "a list": (safetensors(b"{}  [1]"), "cannot be used"),
    }


def everything(marker: Path) -> dict[str, tuple[bytes, str]]:
    groups: dict[str, dict[str, Any]] = {
        "call": calls(marker),
        "pickle": pickles(),
        "zip": zips(),
        "header": headers(),
    }
    return {f"{group}: {name}": case for group, cases in groups.items() for name, case in cases.items()}


def main(folder: Path) -> None:
    """Read each file of a folder; a line each: its name, CPU seconds and KiB of memory that it took more."""
    import resource

    from nodes.sd.embeddings.saved import read_embedding
    from nodes.sd.formats.bad_file import BadFileError
    from nodes.sd.formats.embedding import describe_embedding

    def spent() -> tuple[float, int]:
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(use.ru_utime + use.ru_stime for use in both), max(use.ru_maxrss for use in both)

    for path in sorted(folder.iterdir()):
        seconds, memory = spent()
        try:
            describe_embedding(read_embedding(path))
            print(path.name, "read", flush=True)
        except BadFileError:
            after = spent()
            print(path.name, f"{after[0] - seconds:.3f}", after[1] - memory, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
