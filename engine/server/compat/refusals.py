"""Sends errors in the format of another program's API."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, ClassVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

from engine.errors import GraphError, Problem, SafelightError
from engine.server.errors import STATUS
from engine.server.refusal import Refused

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class RefusalRoute(APIRoute):
    """A route whose error responses are in another program's format, which a subclass defines."""

    graph_status: ClassVar[int]
    """The HTTP status for a `GraphError`, unless `STATUS` has one for its code."""
    failed_status: ClassVar[int]
    """The HTTP status for any other `SafelightError`."""

    @staticmethod
    @abstractmethod
    def refusal(status: int, problems: Sequence[Problem], headers: Mapping[str, str]) -> Response:
        """Create an error response in the other program's format."""

    def get_route_handler(self) -> Handler:
        """Return a handler that sends errors as `refusal` formats them."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except Refused as error:
                return self.refusal(error.status, error.problems, error.headers or {})
            except GraphError as error:
                known = (STATUS[item.code] for item in error.problems if item.code in STATUS)
                return self.refusal(next(known, self.graph_status), error.problems, {})
            except SafelightError as error:
                return self.refusal(self.failed_status, [Problem("failed", str(error))], {})

        return handled
