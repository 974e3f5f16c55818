"""The reasons for which pydantic refuses values, in words that follow the name of the value."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.wrong_value import reason


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    count: Annotated[int, Field(ge=1, le=8)] = 1
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    on: bool = False
    name: Annotated[str, Field(min_length=1, max_length=4, pattern="^[a-z]*$")] = "a"
    kind: Literal["fast", "fine"] = "fast"
    rows: Annotated[list[int], Field(max_length=1)] = []
    table: dict[str, int] = {}
    even: Annotated[int, Field(multiple_of=2)] = 0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"count": "x"}, "must be a whole number, not 'x'"),
        ({"count": 1.5}, "must be a whole number, not 1.5"),
        ({"count": 0}, "must be at least 1, not 0"),
        ({"count": 9}, "must be at most 8, not 9"),
        ({"share": 0}, "must be more than 0.0, not 0"),
        ({"share": 1}, "must be less than 1.0, not 1"),
        ({"share": "x"}, "must be a number, not 'x'"),
        ({"share": float("nan")}, "must be a finite number, not nan"),
        ({"on": "perhaps"}, "must be true or false, not 'perhaps'"),
        ({"name": 3}, "must be text, not 3"),
        ({"name": ""}, "must have at least 1 character"),
        ({"name": "abcde"}, "must have at most 4 characters"),
        ({"name": "A"}, "must match ^[a-z]*$, not be 'A'"),
        ({"kind": "slow"}, "must be 'fast' or 'fine', not 'slow'"),
        ({"rows": 3}, "must be a list, not 3"),
        ({"rows": [1, 2]}, "must have at most 1 element"),
        ({"table": 3}, "must be an object of names and values, not 3"),
        ({"even": 3}, "must be a multiple of 2, not 3"),
        ({"other": 3}, "is not known"),
    ],
)
def test_each_kind_of_fault_has_plain_words(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Form(**given)
    (fault,) = refused.value.errors()
    assert reason(fault) == says


def test_a_missing_value_and_the_words_of_a_validator() -> None:
    class Needs(BaseModel):
        name: str

    with pytest.raises(ValidationError) as refused:
        Needs()  # type: ignore[call-arg]
    assert reason(refused.value.errors()[0]) == "is missing"
