"""What a node class declares, read from its annotations: inputs and outputs, or what is wrong with them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, ForwardRef, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from engine.lazy import Lazy
from engine.node_class import BadNode
from engine.values import Json, canonical
from engine.wires import Wire, bare, wire


@dataclass(frozen=True)
class Input:
    """One input of a node type."""

    name: str
    wire: Wire
    required: bool
    default: Json
    lazy: bool = False
    """True if it is fetched only when the node's `asks` names it."""
    info: FieldInfo = field(repr=False, compare=False, kw_only=True)

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """Checks one literal for this input, strictly."""
        from typing import Annotated

        annotation: Any = self.info.annotation
        if self.lazy:
            annotation = get_args(bare(annotation))[0]
        for extra in self.info.metadata:
            annotation = Annotated[annotation, extra]
        return TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))


def converted(
    cls: str, converts: bool | str, inputs: Mapping[str, Input], outputs: Mapping[str, Wire]
) -> str | None:
    """The input that a node type is a conversion of, from the class keyword `converts`."""
    if converts is False:
        return None
    if len(outputs) != 1:
        raise BadNode(cls, f"converts is for one output, and there are {len(outputs)}")
    required = [name for name, item in inputs.items() if item.required and not item.lazy]
    if converts is True and len(required) == 1:
        return required[0]
    if converts in required:
        return str(converts)
    which = f'; say which of them, such as converts="{required[0]}"' if required else ""
    raise BadNode(cls, f"converts={converts!r} names no single required input{which}")


def check_passes(
    cls: type[BaseModel], passes: Mapping[str, str], inputs: Mapping[str, Input], outputs: Mapping[str, Wire]
) -> None:
    """Refuse a node that would hand on, while it is off, what is not there or does not fit.

    Raises:
        BadNode: it would.
    """
    for output, input in passes.items():
        if output not in outputs or input not in inputs:
            raise BadNode(
                cls.__name__,
                f"passes says {output!r}: {input!r}; write an output"
                f" ({', '.join(outputs)}) and the input that it hands on ({', '.join(inputs)})",
            )
        if not inputs[input].wire.fits(outputs[output]):
            raise BadNode(
                cls.__name__,
                f"passes hands {input} on as {output},"
                f" but that is {outputs[output]} and {input} is {inputs[input].wire}",
            )


def check_defaults(cls: type[BaseModel]) -> None:
    """Refuse defaults that their own inputs refuse.

    Raises:
        BadNode: there is one.
    """
    try:
        cls.__pydantic_validator__.validate_python({})
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            if fault["type"] != "missing":
                field, *inside = map(str, fault["loc"])
                more = "".join(f".{part}" for part in inside)
                raise BadNode(cls.__name__, f"refuses its own default: {fault['msg']}", field, more) from None


def inputs_of(cls: type[BaseModel]) -> dict[str, Input]:
    """The inputs of a node class: its fields.

    Raises:
        BadNode: one cannot be an input, or its default is no JSON.
    """
    inputs = {}
    for name, info in cls.model_fields.items():
        try:
            kind = wire(info.annotation)
        except TypeError as error:
            what = _unread(info.annotation) or str(error)
            raise BadNode(cls.__name__, what, name) from None
        if any(_has_lazy(part) for part in get_args(bare(info.annotation))):
            what = "Lazy goes around all of its type: write Lazy[list[...]], or Lazy[... | None] = None"
            raise BadNode(cls.__name__, what, name)
        required = info.is_required()
        default = None if required else info.get_default(call_default_factory=True, validated_data={})
        try:
            canonical(default)
        except (TypeError, ValueError):
            raise BadNode(
                cls.__name__,
                f"its default is {default!r}; a default is JSON: a finite number, "
                "text, true, false, null, or a list or dict of these",
                name,
            ) from None
        lazy = get_origin(bare(info.annotation)) is Lazy
        inputs[name] = Input(name, kind, required, kind.spelled(default), lazy, info=info)
    return inputs


def _has_lazy(annotation: object) -> bool:
    annotation = bare(annotation)
    return get_origin(annotation) is Lazy or any(map(_has_lazy, get_args(annotation)))


def _unread(annotation: object) -> str | None:
    """What to say of an annotation that names what is not there when the class is made."""
    if not isinstance(annotation, ForwardRef):
        return None
    name = annotation.__forward_arg__
    return f"its annotation {name!r} is not known here; import it, and not under TYPE_CHECKING"


def declared_outputs(cls: type[Any]) -> dict[str, Wire]:
    """The outputs of a node class: what `run` returns.

    Raises:
        BadNode: `run` cannot be called as the engine does, or returns what no wire takes.
    """
    name = cls.__name__
    if not inspect.isfunction(cls.run) or len(inspect.signature(cls.run).parameters) != 2:
        what = "write it as `def run(self, ctx: Context) -> …:`; inputs are fields"
        raise BadNode(name, what, "run")
    if inspect.iscoroutinefunction(cls.run) or inspect.isgeneratorfunction(cls.run):
        what = "write a plain function that returns its outputs, without async or yield"
        raise BadNode(name, what, "run")
    hints = _hints(cls.run, name)
    if "return" not in hints:
        raise BadNode(name, "say what it returns, such as `def run(self, ctx: Context) -> Image:`", "run")
    returned = hints["return"]
    if returned is type(None):
        return {}
    named = _hints(returned, name) if hasattr(returned, "_fields") else {"out": returned}
    outputs = {}
    for output, annotation in named.items():
        place = f", output {output}"
        if get_origin(bare(annotation)) is tuple:
            what = f"{annotation} cannot travel on a wire; for several outputs return a NamedTuple"
            raise BadNode(name, what, "run", place)
        if _has_lazy(annotation):
            raise BadNode(name, "an output is there when `run` ends, so it is not Lazy", "run", place)
        try:
            outputs[output] = wire(annotation)
        except TypeError as error:
            raise BadNode(name, str(error), "run", place) from None
        if type(None) in get_args(bare(annotation)):
            raise BadNode(name, f"{annotation} may be None; an output is always there", "run", place)
    return outputs


def _hints(of: Any, cls: str) -> dict[str, Any]:
    try:
        return get_type_hints(of, localns={"Context": object}, include_extras=True)
    except NameError as error:
        what = f"{error}; import what its annotation names where the module is read, not under TYPE_CHECKING"
        raise BadNode(cls, what, "run") from None


def docs_under_fields(cls: type) -> dict[str, str]:
    """The text under each field of a class, by field; none if its source is not at hand."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return {}  # typed at a prompt: there is no source to read
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    docs = {}
    for statement, below in pairwise(body):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            docs[statement.target.id] = inspect.cleandoc(below.value.value)
    return docs
