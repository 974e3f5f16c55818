"""Reads the inputs of a node class from its annotated fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ForwardRef, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from engine.errors import error_text, short
from engine.lazy import Lazy
from engine.pack_errors import author_place
from engine.types.bad_node import BadNode
from engine.types.wires import Wire, bare, wire
from engine.values import Json, canonical
from engine.widgets import Advanced, SeedField, Widget
from engine.wrong_value import reason

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Input:
    """One input of a node type."""

    name: str
    wire: Wire
    required: bool
    default: Json
    lazy: bool = False
    """True if the input is computed only when the node's `asks` names it."""
    info: FieldInfo = field(repr=False, compare=False, kw_only=True)

    @cached_property
    def is_seed(self) -> bool:
        """True if its type is `Seed` or a list of seeds; such an input may be set to "random"."""
        metadata = (*self.info.metadata, *_inner(self.info.annotation))
        return any(isinstance(extra, SeedField) for extra in metadata)

    @cached_property
    def is_json(self) -> bool:
        """True if it takes any JSON value, but no `Value` such as an image."""
        return bare(self.info.annotation) is Json

    @cached_property
    def is_advanced(self) -> bool:
        """True if a canvas hides the input until the user asks for more."""
        return any(extra is Advanced for extra in self.info.metadata)

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """The pydantic adapter that validates one literal for this input, strictly."""
        return TypeAdapter(self._annotation, config=_STRICT)

    @cached_property
    def list_adapter(self) -> TypeAdapter[Any]:
        """The pydantic adapter that validates a list of literals at once, in a tenth of the time."""
        annotation = self._annotation
        return TypeAdapter(list[annotation], config=_STRICT)  # type: ignore[valid-type]

    @property
    def _annotation(self) -> Any:
        """The type of one value for this input, with its constraints such as a minimum; without `Lazy`."""
        annotation: Any = self.info.annotation
        if self.lazy:
            annotation = get_args(bare(annotation))[0]
        for extra in self.info.metadata:
            annotation = Annotated[annotation, extra]
        return annotation


def read_inputs(cls: type[BaseModel]) -> dict[str, Input]:
    """Read the inputs of a node class, by name.

    Raises:
        BadNode: a field cannot be an input, or its default is not JSON.
    """
    inputs = {}
    for name, info in cls.model_fields.items():
        try:
            kind = wire(info.annotation)
        except TypeError as error:
            message = _unresolved(info.annotation) or str(error)
            raise BadNode(cls.__name__, message, name) from None
        if any(has_lazy(part) for part in get_args(bare(info.annotation))):
            message = "put Lazy around the whole type: Lazy[list[...]], or Lazy[... | None] = None"
            raise BadNode(cls.__name__, message, name)
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
        _check_widgets(cls.__name__, name, info)
        lazy = get_origin(bare(info.annotation)) is Lazy
        inputs[name] = Input(name, kind, required, kind.spelled(default), lazy, info=info)
    return inputs


def _check_widgets(cls: str, name: str, info: FieldInfo) -> None:
    """Check that the `describe` of each widget of an input returns a JSON object for the canvas.

    Raises:
        BadNode: it does not, for one of the widgets.
    """
    for widget in info.metadata:
        if isinstance(widget, Widget):
            try:
                described = widget.describe()
                canonical(described)
            except Exception as error:  # the code of a node pack may raise anything
                place = author_place(error)
                where = f" ({place})" if place else ""
                message = f"its {type(widget).__name__} cannot be described: {error_text(error)}{where}"
                raise BadNode(cls, message, name) from None
            if not isinstance(described, dict):
                message = f"describe() of its {type(widget).__name__} returned {short(described)}, not a dict"
                raise BadNode(cls, message, name)


def check_defaults(cls: type[BaseModel]) -> None:
    """Check that every default is valid for its own input.

    Raises:
        BadNode: a default is not valid.
    """
    try:
        cls.__pydantic_validator__.validate_python({})
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            if fault["type"] != "missing":
                field, *inside = map(str, fault["loc"])
                more = "".join(f".{part}" for part in inside)
                message = f"its default {reason(fault)}"
                raise BadNode(cls.__name__, message, field, more) from None


def has_lazy(annotation: object) -> bool:
    """Return True if `Lazy` occurs anywhere in an annotation."""
    annotation = bare(annotation)
    return get_origin(annotation) is Lazy or any(map(has_lazy, get_args(annotation)))


def _inner(annotation: object) -> Iterator[object]:
    """Yield the `Annotated` metadata inside an annotation, such as that of the elements of a list."""
    for part in get_args(annotation):
        yield from getattr(part, "__metadata__", ())
        yield from _inner(part)


def _unresolved(annotation: object) -> str | None:
    """Return the message for an annotation with an undefined name; None for other annotations."""
    if not isinstance(annotation, ForwardRef):
        return None
    name = annotation.__forward_arg__
    return f"its annotation {name!r} is not defined in this module; import it, outside `if TYPE_CHECKING`"
