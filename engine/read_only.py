"""Makes values read-only, because several steps and the store share them.

Lists and dicts are replaced by ones that refuse changes, and numpy arrays are made read-only. Torch tensors
cannot be made read-only; the engine compares their write counts after every step instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from engine.values import Value

_PLAIN = frozenset({bool, int, float, str, type(None)})


class ReadOnlyError(TypeError):
    """Raised if a node tries to change a list or dict that other steps share."""


def _refuse(self: object, *args: object, **named: object) -> NoReturn:
    raise ReadOnlyError("this value is read-only, because other steps share it")


class ReadOnlyList(list[Any]):
    """A list that refuses every change. Copies of it are ordinary lists."""

    __slots__ = ()

    append = extend = insert = remove = pop = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def __copy__(self) -> list[Any]:
        return list(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return list, (list(self),)


class ReadOnlyDict(dict[str, Any]):
    """A dict that refuses every change. Copies of it are ordinary dicts."""

    __slots__ = ()

    clear = pop = popitem = setdefault = update = _refuse
    __setitem__ = __delitem__ = __ior__ = _refuse

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (dict(self),)


def read_only(value: Any) -> Any:
    """Make a value read-only, and return it. Lists and dicts are copied; others are changed in place."""
    kind = type(value)
    if kind in _PLAIN or kind is ReadOnlyList or kind is ReadOnlyDict:
        return value
    if isinstance(value, Value):
        for name in _fields(value):
            field = getattr(value, name)
            if (fixed := read_only(field)) is not field:
                object.__setattr__(value, name, fixed)
    elif isinstance(value, dict):
        return ReadOnlyDict({key: read_only(item) for key, item in value.items()})
    elif isinstance(value, list):
        return ReadOnlyList([read_only(item) for item in value])
    elif isinstance(value, tuple):
        for item in value:
            read_only(item)
    elif (flags := getattr(value, "flags", None)) is not None:
        _freeze_array(value, flags)
    return value


def _fields(value: Value) -> Iterable[str]:
    fields = getattr(value, "__dataclass_fields__", None)
    return fields if fields is not None else list(vars(value))


def _freeze_array(array: Any, flags: Any) -> None:
    """Make a numpy array read-only, together with the arrays of which it is a view."""
    while getattr(flags, "writeable", False):
        array.setflags(write=False)
        array = array.base
        flags = getattr(array, "flags", None)
