"""The errors for steps that cannot be planned."""

from __future__ import annotations

from engine.errors import NodeError, Problem


class Unreadable(Exception):
    """Raised if a step cannot be planned because its node rejects its inputs or cannot read its files.

    Args:
        problem: the reason, for the user.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def circular() -> NodeError:
    """Make the error for a node that returned a graph which needs the result of this same node."""
    message = "run() returned a graph that needs the result of this same node"
    hint = "give the inner node different inputs, such as a count that decreases"
    return NodeError(message, hint=hint, code="recursion")


def too_many(most: int) -> NodeError:
    """Make the error for a plan with too many steps."""
    message = f"the run has more than {most:,} steps, counting the elements of lists"
    hint = "shorten the lists, run parts of them, or raise the setting max_steps"
    return NodeError(message, hint=hint, code="too_many")
