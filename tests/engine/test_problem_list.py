"""However much is wrong with a document, a person gets a list that can be read."""

from __future__ import annotations

import pytest

from engine import strict_json
from engine.errors import GraphError, Problem
from engine.problem_list import MAX_PROBLEMS, Problems


def test_a_hundred_are_told_and_the_rest_is_counted() -> None:
    found = [Problem("x", str(n)) for n in range(3 * MAX_PROBLEMS)]
    problems = Problems()
    for problem in found[:MAX_PROBLEMS]:
        problems.append(problem)
    assert problems == found[:MAX_PROBLEMS]
    problems += found[MAX_PROBLEMS : 2 * MAX_PROBLEMS]
    problems.extend(found[2 * MAX_PROBLEMS :])
    assert problems[:-1] == found[:MAX_PROBLEMS]
    assert problems[-1].message == f"and {2 * MAX_PROBLEMS} more problems"


def test_a_document_of_faults_alone_is_refused_in_few_words() -> None:
    with pytest.raises(GraphError) as caught:
        strict_json.parse("[" + ",".join(["NaN"] * 300_000) + "]")
    problems = caught.value.problems
    assert [problem.code for problem in problems] == ["not_finite"] * MAX_PROBLEMS + ["more_problems"]
    assert problems[-1].message == f"and {300_000 - MAX_PROBLEMS:,} more problems"
    assert len(str(caught.value)) < 20_000
