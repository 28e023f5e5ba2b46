"""Which operation answers which path. The table is complete: the serving port answers anything else with 404 or 405."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from nightlatch_server import caller_errors
from nightlatch_server.request_error import RequestError
from nightlatch_server.transport.http.message import Request, Response

Operation = Callable[[Request, Mapping[str, str]], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """In `template`, `{name}` matches one path segment. `operation` is the name in metrics and logs."""

    method: str
    template: str
    operation: str
    handle: Operation


class Table:
    """Finds a route by method and path."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = [(route, _pattern(route.template)) for route in routes]

    def match(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route and the values of its path segments. Raises RequestError 404 or 405."""
        found = [(route, hit.groupdict()) for route, pattern in self._routes if (hit := pattern.fullmatch(path))]
        if not found:
            raise RequestError(caller_errors.UNKNOWN_URL)
        for route, values in found:
            if route.method == method:
                return route, values
        allowed = ", ".join(route.method for route, _ in found)
        error = caller_errors.METHOD_NOT_ALLOWED
        raise RequestError(error, error.say(allowed=allowed), allow=allowed)


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[A-Za-z0-9._-]+)", template))
