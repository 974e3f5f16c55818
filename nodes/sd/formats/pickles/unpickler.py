"""An unpickler that imports and calls nothing; it can only make plain data and the objects of `known`."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from .known import Known, Storage, built, called, key, named, stored
from .refused import RefusedError, shown

_OPCODES = 1_000_000
_INT_BYTES = 32


class Unpickler:
    """Reads the pickles in `data`, one after another.

    Args:
        data: the bytes of the pickles.
        place: their name in messages, such as `data.pkl`.
    """

    def __init__(self, data: bytes, place: str) -> None:
        self.data, self.place = data, place
        self.at = 0
        """The position of the next pickle."""
        self.storages: dict[str, Storage] = {}
        """The storages by key."""
        self._done = 0

    def load(self) -> Any:
        """Read the next value, which consists of plain data and the inert objects of `known`.

        Raises:
            RefusedError: the pickle is damaged, too long, or uses something that is not permitted; the
                message names the place.
        """
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        try:
            while True:
                self._op = self.at
                code = self._take(1)
                if code == b".":
                    (value,) = self._stack
                    return value
                step = _STEPS.get(code)
                if step is None:
                    raise self._odd(code)
                step(self)
                self._done += 1
                if self._done > _OPCODES:
                    raise RefusedError("too_large", f"takes more than {_OPCODES:,} steps to read")
        except (IndexError, KeyError, ValueError, TypeError, AttributeError, struct.error, UnicodeError):
            raise RefusedError("bad_pickle", f"is a damaged pickle at {self._here()}") from None

    def _here(self) -> str:
        return f"byte {self._op:,} of {self.place}"

    def _odd(self, code: bytes) -> RefusedError:
        if code in _REFUSED:
            return RefusedError(
                "unsafe_pickle", f"uses {_REFUSED[code]} at {self._here()}, which tensors never need"
            )
        return RefusedError("bad_pickle", f"is not a pickle: unknown code {code.hex()} at {self._here()}")

    def _take(self, count: int) -> bytes:
        piece = self.data[self.at : self.at + count]
        if len(piece) != count:
            raise RefusedError("truncated", f"ends in the middle of {self.place}: it was cut short")
        self.at += count
        return piece

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> str:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise RefusedError("truncated", f"ends in the middle of {self.place}: it was cut short")
        line = self.data[self.at : end]
        self.at = end + 1
        return line.decode("utf-8")

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marks.pop()
        return items

    def _mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _keep(self, number: int) -> None:
        self._memo[number] = self._stack[-1]

    def _recall(self, number: int) -> None:
        self._push(self._memo[number])

    def _tuple(self, count: int) -> None:
        items = tuple(self._stack[len(self._stack) - count :])
        if len(items) != count:
            raise IndexError
        del self._stack[len(self._stack) - count :]
        self._push(items)

    def _int_line(self) -> None:
        text = self._line().removesuffix("L")
        if len(text) > 80:
            raise ValueError
        self._push(text == "01" if text in ("00", "01") else int(text))

    def _long(self, form: str) -> None:
        count = self._number(form)
        if not 0 <= count <= _INT_BYTES:
            raise RefusedError("bad_pickle", f"holds a number of {count:,} bytes")
        self._push(int.from_bytes(self._take(count), "little", signed=True))

    def _text(self, form: str) -> None:
        self._push(self._take(self._number(form)).decode("utf-8", "surrogatepass"))

    def _old_text(self, form: str) -> None:
        self._push(self._take(self._number(form)).decode("latin-1"))  # from Python 2, without an encoding

    def _quoted(self) -> None:
        line = self._line()
        if len(line) < 2 or line[0] not in "'\"" or line[-1] != line[0] or "\\" in line:
            raise ValueError
        self._push(line[1:-1])

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise TypeError
        target.extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise TypeError
        target.update((key(items[n]), items[n + 1]) for n in range(0, len(items), 2))

    def _add_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not set:
            raise TypeError
        target.update(map(key, items))

    def _dict(self) -> None:
        items = self._since_mark()
        self._push({})
        self._set_items(items)

    def _global(self) -> None:
        self._push(named(self._line(), self._line(), self._here()))

    def _instance(self) -> None:
        wanted = named(self._line(), self._line(), self._here())
        self._push(called(wanted, tuple(self._since_mark())))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise TypeError
        self._push(named(module, name, self._here()))

    def _reduce(self) -> None:
        args = self._stack.pop()
        self._stack[-1] = called(self._stack[-1], args)

    def _build(self) -> None:
        state = self._stack.pop()
        built(self._stack[-1], state)

    def _persistent(self) -> None:
        pid = self._stack.pop()
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module" and isinstance(pid[1], Known):
            self._push(pid[1])  # old streams write the source of a class beside its name; it is ignored
            return
        storage = stored(pid)
        there = self.storages.setdefault(storage.key, storage)
        if (there.dtype, there.whole) != (storage.dtype, storage.whole):
            raise RefusedError(
                "bad_pickle", f"has contradicting entries for its storage {shown(storage.key)}"
            )
        self._push(storage)

    def _pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._since_mark()


_REFUSED = {
    b"o": "OBJ",
    b"P": "PERSID",
    b"\x82": "EXT1",
    b"\x83": "EXT2",
    b"\x84": "EXT4",
    b"\x92": "NEWOBJ_EX",
    b"\x96": "BYTEARRAY8",
    b"\x97": "NEXT_BUFFER",
    b"\x98": "READONLY_BUFFER",
}
"""The opcodes that no file of tensors uses."""

_STEPS: dict[bytes, Callable[[Unpickler], Any]] = {
    b"\x80": lambda u: u._take(1),  # PROTO
    b"\x95": lambda u: u._take(8) and None,  # FRAME
    b"(": Unpickler._mark,
    b"0": Unpickler._pop,
    b"1": lambda u: u._since_mark(),
    b"2": lambda u: u._push(u._stack[-1]),
    b"N": lambda u: u._push(None),
    b"\x88": lambda u: u._push(True),
    b"\x89": lambda u: u._push(False),
    b"I": Unpickler._int_line,
    b"L": Unpickler._int_line,
    b"J": lambda u: u._push(u._number("<i")),
    b"K": lambda u: u._push(u._number("<B")),
    b"M": lambda u: u._push(u._number("<H")),
    b"\x8a": lambda u: u._long("<B"),
    b"\x8b": lambda u: u._long("<i"),
    b"F": lambda u: u._push(float(u._line())),
    b"G": lambda u: u._push(u._number(">d")),
    b"S": Unpickler._quoted,
    b"U": lambda u: u._old_text("<B"),
    b"T": lambda u: u._old_text("<I"),
    b"V": lambda u: u._push(u._line()),
    b"X": lambda u: u._text("<I"),
    b"\x8c": lambda u: u._text("<B"),
    b"\x8d": lambda u: u._text("<Q"),
    b"C": lambda u: u._push(u._take(u._number("<B"))),
    b"B": lambda u: u._push(u._take(u._number("<I"))),
    b"\x8e": lambda u: u._push(u._take(u._number("<Q"))),
    b"]": lambda u: u._push([]),
    b"}": lambda u: u._push({}),
    b")": lambda u: u._push(()),
    b"\x8f": lambda u: u._push(set()),
    b"l": lambda u: u._push(u._since_mark()),
    b"d": Unpickler._dict,
    b"t": lambda u: u._push(tuple(u._since_mark())),
    b"\x85": lambda u: u._tuple(1),
    b"\x86": lambda u: u._tuple(2),
    b"\x87": lambda u: u._tuple(3),
    b"\x91": lambda u: u._push(set(map(key, u._since_mark()))),
    b"a": lambda u: u._append([u._stack.pop()]),
    b"e": lambda u: u._append(u._since_mark()),
    b"s": lambda u: u._set_items([u._stack.pop(), u._stack.pop()][::-1]),
    b"u": lambda u: u._set_items(u._since_mark()),
    b"\x90": lambda u: u._add_items(u._since_mark()),
    b"g": lambda u: u._recall(int(u._line())),
    b"h": lambda u: u._recall(u._number("<B")),
    b"j": lambda u: u._recall(u._number("<I")),
    b"p": lambda u: u._keep(int(u._line())),
    b"q": lambda u: u._keep(u._number("<B")),
    b"r": lambda u: u._keep(u._number("<I")),
    b"\x94": lambda u: u._keep(len(u._memo)),
    b"c": Unpickler._global,
    b"i": Unpickler._instance,
    b"\x93": Unpickler._stack_global,
    b"R": Unpickler._reduce,
    b"\x81": Unpickler._reduce,  # NEWOBJ
    b"b": Unpickler._build,
    b"Q": Unpickler._persistent,
}
