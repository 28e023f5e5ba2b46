"""Error answers in the shape of the protocol that was called."""

from nightlatch_server.request_error import RequestError
from nightlatch_server.transport.http.message import Response, error_response


def error_answer(path: str, error: RequestError) -> Response:
    """The answer to a call to `path` that was refused with `error`."""
    headers = [] if error.allow is None else [(b"allow", error.allow.encode("ascii"))]
    return error_response(path, error.error, error.message, param=error.param, headers=headers)
