"""However much is wrong with a document, a person gets a list that can be read."""

from __future__ import annotations

import pytest

from engine import strict_json
from engine.errors import GraphError, Problem
from engine.problems import MOST, Problems


def test_a_hundred_are_told_and_the_rest_is_counted() -> None:
    found = [Problem("x", str(n)) for n in range(3 * MOST)]
    problems = Problems()
    for problem in found[:MOST]:
        problems.append(problem)
    assert problems == found[:MOST]
    problems += found[MOST : 2 * MOST]
    problems.extend(found[2 * MOST :])
    assert problems[:-1] == found[:MOST]
    assert problems[-1].message == f"… and {2 * MOST} more problems"


def test_a_document_of_faults_alone_is_refused_in_few_words() -> None:
    with pytest.raises(GraphError) as caught:
        strict_json.parse("[" + ",".join(["NaN"] * 300_000) + "]")
    problems = caught.value.problems
    assert [problem.code for problem in problems] == ["not_finite"] * MOST + ["more_problems"]
    assert problems[-1].message == f"… and {300_000 - MOST:,} more problems"
    assert len(str(caught.value)) < 20_000
