"""The names that a pickle of tensors may use, and the inert objects that replace them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .refused import RefusedError, shown

STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
"""torch's storages, with the safetensors names of their number formats."""

ITEM_SIZE = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}

_DTYPES = (
    "float64 double float32 float float16 half bfloat16 int64 long int32 int int16 short int8 uint8 bool"
).split()
_DIMENSIONS = 16


@dataclass(frozen=True)
class Known:
    """A permitted name, such as a function of torch, on the unpickler's stack."""

    name: str


@dataclass(frozen=True)
class Storage:
    """A torch storage, or a view of one: a run of numbers in the file that one or more tensors use."""

    key: str
    dtype: str
    first: int
    """The index of the storage's first number in the run; 0 unless it is a view."""
    count: int
    whole: int
    """The number of elements in the run."""


@dataclass(frozen=True)
class Laid:
    """A tensor: its place in its storage, counted in numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass
class Stand:
    """A placeholder for an object that is not created: the name of its class, its arguments and state."""

    name: str
    args: tuple[object, ...] = ()
    state: dict[object, object] = field(default_factory=dict)


def _tensor(storage: object, offset: object, shape: object, strides: object, *rest: object) -> Laid:
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise RefusedError("bad_pickle", "contains an invalid tensor")
    if not isinstance(offset, int) or not all(_natural(n) for n in (offset, *shape, *strides)):
        raise RefusedError("bad_pickle", f"holds a tensor of an impossible shape, {shown(shape)}")
    if len(shape) != len(strides) or len(shape) > _DIMENSIONS:
        raise RefusedError(
            "bad_pickle", f"holds a tensor of {len(shape):,} dimensions and {len(strides):,} strides"
        )
    count, last = 1, offset
    for side, stride in zip(shape, strides, strict=True):
        count *= side
        last += (side - 1) * stride
    if count and (last >= storage.count or count > storage.count):
        held = f"{storage.count:,} number{'s' if storage.count != 1 else ''}"
        raise RefusedError("bad_pickle", f"holds a tensor of shape {shown(list(shape))} in {held}")
    return Laid(storage, offset, shape, strides)


def _natural(number: object) -> bool:
    return type(number) is int and 0 <= number < 1 << 62


def _parameter(data: object, *rest: object) -> object:
    if not isinstance(data, Laid):
        raise RefusedError("bad_pickle", "holds a parameter without a tensor")
    return data


def _typed(rebuild: object, kind: object, args: object, *rest: object) -> object:
    """Return a tensor; further attributes of it are ignored."""
    if not isinstance(rebuild, Known) or not isinstance(args, tuple) or not isinstance(kind, Known):
        raise RefusedError("bad_pickle", "contains an invalid tensor")
    return called(rebuild, args)


def _ordered(*args: object) -> dict[object, object]:
    pairs: Any = args[0] if args else ()
    if isinstance(pairs, dict):
        return dict(pairs)
    if not isinstance(pairs, list | tuple) or not all(
        isinstance(p, list | tuple) and len(p) == 2 for p in pairs
    ):
        raise RefusedError("bad_pickle", "contains an invalid dict")
    return {key(first): second for first, second in pairs}


def _set(*args: object) -> set[object]:
    items = args[0] if args else ()
    if not isinstance(items, list | tuple):
        raise RefusedError("bad_pickle", "contains an invalid set")
    return {key(item) for item in items}


def _encode(*args: object) -> bytes:
    """Replace `_codecs.encode(text, "latin1")`, by which protocol 2 writes bytes."""
    if len(args) != 2 or not isinstance(args[0], str) or args[1] not in ("latin1", "latin-1"):
        raise RefusedError("bad_pickle", "contains bytes in an unknown encoding")
    try:
        return args[0].encode("latin-1")
    except UnicodeEncodeError:
        raise RefusedError("bad_pickle", "contains bytes in an unknown encoding") from None


_SCALARS = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "i1": "b", "u1": "B", "b1": "?"}


def _scalar(*args: object) -> object:
    """Convert a numpy number to a Python number."""
    if len(args) == 2 and isinstance(args[0], Stand) and args[0].name == "numpy.dtype" and args[0].args:
        form = _SCALARS.get(str(args[0].args[0]).strip("<=|"))
        if form and isinstance(args[1], bytes) and struct.calcsize(form) == len(args[1]):
            return struct.unpack(f"<{form}", args[1])[0]
    raise RefusedError("bad_pickle", "holds a number of an unknown kind")


def _stand(name: str) -> Callable[..., object]:
    return lambda *args: Stand(name, args)


_REBUILT: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._tensor._rebuild_from_type_v2": _typed,
    "builtins.set": _set,
    "__builtin__.set": _set,
    "_codecs.encode": _encode,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.dtype": _stand("numpy.dtype"),
    "torch.device": _stand("torch.device"),
    "torch.Size": lambda sides=(), *rest: sides if isinstance(sides, tuple) else (),
    "torch.nn.modules.container.ParameterDict": _stand("torch.nn.modules.container.ParameterDict"),
}
"""The permitted callables, and the functions that replace them."""

_NAMED = {
    *_REBUILT,
    *(f"torch.{storage}" for storage in STORAGES),
    *(f"torch.{dtype}" for dtype in _DTYPES),
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "torch.storage.UntypedStorage",
    # A class that training frameworks use as a key of a dict in their checkpoints.
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
}
"""The permitted names. They are exact, never prefixes, since `torch.save` and `numpy.save` write files."""


def named(module: str, name: str, place: str) -> Known:
    """Look up a name that a pickle uses; `place` is where, for the message.

    Raises:
        RefusedError: the name is not permitted; the message contains the name and the place.
    """
    whole = f"{module}.{name}"
    if whole not in _NAMED:
        raise RefusedError(
            "unsafe_pickle", f"asks for {shown(whole)[1:-1]} at {place}, which no file of plain tensors needs"
        )
    return Known(whole)


def called(what: object, args: object) -> object:
    """Call the harmless replacement of a permitted name, and return its result.

    Raises:
        RefusedError: the object cannot be called, or the arguments are not those of a file of tensors.
    """
    rebuilt = _REBUILT.get(what.name) if isinstance(what, Known) else None
    if rebuilt is None or not isinstance(args, tuple):
        raise RefusedError("bad_pickle", f"calls {shown(getattr(what, 'name', 'an object'))[1:-1]}")
    try:
        return rebuilt(*args)
    except TypeError:  # the wrong number of arguments
        raise RefusedError("bad_pickle", f"calls {what.name} with wrong arguments") from None  # type: ignore[attr-defined]


def built(thing: object, state: object) -> None:
    """Set the state of an inert object; the state of a dict or a tensor is ignored.

    Raises:
        RefusedError: the object cannot have a state.
    """
    if isinstance(thing, Stand):
        thing.state = state if isinstance(state, dict) else {}
    elif not isinstance(thing, dict | Laid):
        raise RefusedError("bad_pickle", "sets the state of an object that has none")


def stored(pid: object) -> Storage:
    """Convert a persistent id of torch to the storage that it names.

    Raises:
        RefusedError: the id does not name a storage.
    """
    match pid:
        case ("storage", Known(name), str(key), str(), int(count), *view):
            dtype = STORAGES.get(name.rpartition(".")[2])
            if dtype is None or not 0 <= count < 1 << 62 or isinstance(count, bool):
                raise RefusedError("bad_pickle", f"holds numbers of an unknown kind, {shown(name)[1:-1]}")
            match view:
                case [] | [None]:
                    return Storage(key, dtype, 0, count, count)
                case [(_, int(first), int(length))] if 0 <= first <= first + length <= count:
                    return Storage(key, dtype, first, length, count)
    raise RefusedError("bad_pickle", "refers to something that is not a torch storage")


def key(value: object) -> object:
    """Check that a value may be a key of a dict or an item of a set, and return it.

    Only text, numbers and None may be, which are fast to compare; a permitted name becomes text.

    Raises:
        RefusedError: the value is something else.
    """
    if isinstance(value, Known):
        return value.name
    if not isinstance(value, str | int | float | None):
        raise RefusedError("bad_pickle", f"has a {type(value).__name__} as the key of a dict")
    return value
