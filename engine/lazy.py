"""Inputs that are fetched only when a node asks for them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, get_args

from engine.errors import NodeError

T = TypeVar("T")

_UNASKED: Any = object()


class Lazy(Generic[T]):
    """An input whose value is there only if the node's `asks` named it.

    Declare it as `Lazy[Image]` and name in `asks` what `run` will read. Whatever is not named is not
    computed, not planned and has no part in the node's key.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T = _UNASKED) -> None:
        self._value = value

    def get(self) -> T:
        """The value.

        Raises:
            NodeError: `asks` did not name this input.
        """
        if self._value is _UNASKED:
            raise NodeError(
                "a lazy input was read that `asks` did not name",
                hint="return its name from `asks`",
                code="not_asked",
            )
        return self._value

    @property
    def asked(self) -> bool:
        """True if the value is there."""
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
