"""Reads the outputs of a node class from the return annotation of `run`."""

from __future__ import annotations

import inspect
from typing import Any, get_args, get_origin, get_type_hints

from engine.types.bad_node import BadNode
from engine.types.inputs import has_lazy
from engine.types.wires import Wire, bare, wire
from engine.widgets import Advanced


def read_outputs(cls: type[Any]) -> dict[str, Wire]:
    """Read the outputs of a node class, by name.

    Raises:
        BadNode: the engine cannot call `run`, or `run` returns a type that is not a wire type.
    """
    name = cls.__name__
    if not inspect.isfunction(cls.run) or len(inspect.signature(cls.run).parameters) != 2:
        message = "write it as `def run(self, ctx: Context) -> …:`; inputs are fields"
        raise BadNode(name, message, "run")
    if inspect.iscoroutinefunction(cls.run) or inspect.isgeneratorfunction(cls.run):
        message = "write a plain function that returns its outputs, without async or yield"
        raise BadNode(name, message, "run")
    hints = _hints(cls.run, name)
    if "return" not in hints:
        message = "declare what it returns, such as `def run(self, ctx: Context) -> Image:`"
        raise BadNode(name, message, "run")
    return {output: _output(name, output, annotation) for output, annotation in _named(cls, hints).items()}


def read_advanced_outputs(cls: type[Any]) -> tuple[str, ...]:
    """List the outputs that are marked `Advanced`, which a canvas hides until they are used or asked for."""
    named = _named(cls, _hints(cls.run, cls.__name__))
    return tuple(
        output for output, annotation in named.items() if Advanced in getattr(annotation, "__metadata__", ())
    )


def _named(cls: type[Any], hints: dict[str, Any]) -> dict[str, Any]:
    returned = hints["return"]
    if returned is type(None):
        return {}
    return _hints(returned, cls.__name__) if hasattr(returned, "_fields") else {"out": returned}


def _output(cls: str, output: str, annotation: object) -> Wire:
    place = f", output {output}"
    if get_origin(bare(annotation)) is tuple:
        message = f"{annotation} is not a wire type; for several outputs return a NamedTuple"
        raise BadNode(cls, message, "run", place)
    if has_lazy(annotation):
        raise BadNode(cls, "an output cannot be Lazy; only inputs can", "run", place)
    if type(None) in get_args(bare(annotation)):
        raise BadNode(cls, f"{annotation} may be None; an output always has a value", "run", place)
    try:
        return wire(annotation)
    except TypeError as error:
        raise BadNode(cls, str(error), "run", place) from None


def _hints(of: Any, cls: str) -> dict[str, Any]:
    try:
        return get_type_hints(of, localns={"Context": object}, include_extras=True)
    except NameError as error:
        message = f"{error}; import it at the top of the module, outside `if TYPE_CHECKING`"
        raise BadNode(cls, message, "run") from None
