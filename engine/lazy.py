"""Lazy inputs of nodes, which are computed only if the node asks for them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, get_args

from engine.errors import NodeError

T = TypeVar("T")

_UNASKED: Any = object()


class Lazy(Generic[T]):
    """The type of an input that is computed only if the node's `asks` returns its name.

    Declare the input as `Lazy[Image]`, and return from `asks` the names of the lazy inputs that `run` will
    read. The other lazy inputs are not planned, not computed and not part of the node's cache key.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T = _UNASKED) -> None:
        self._value = value

    def get(self) -> T:
        """Return the value of the input.

        Raises:
            NodeError: `asks` did not return the name of this input.
        """
        if self._value is _UNASKED:
            raise NodeError(
                "run() read a lazy input that asks() did not return",
                hint="return its name from asks()",
                code="not_asked",
            )
        return self._value

    @property
    def asked(self) -> bool:
        """True if `asks` returned the name of this input, so that it has a value."""
        return self._value is not _UNASKED

    def __repr__(self) -> str:
        return f"Lazy({self._value!r})" if self.asked else "Lazy()"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        inner = handler.generate_schema(get_args(source)[0])
        wrapped = core_schema.no_info_after_validator_function(cls, inner)
        return core_schema.union_schema([core_schema.is_instance_schema(cls), wrapped], mode="left_to_right")

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        schema: dict[str, Any] = handler(core["choices"][1]["schema"])
        return schema
