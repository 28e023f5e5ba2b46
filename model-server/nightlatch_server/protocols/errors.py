"""Error answers in the shape of the protocol that was called."""

from nightlatch_server.request_error import RequestError
from nightlatch_server.transport.http.message import Response, error_response, json_response


def error_answer(path: str, error: RequestError) -> Response:
    """OpenAI's error for a path under /v1/, Open Inference Protocol's for any other."""
    headers = [] if error.retry_after is None else [(b"retry-after", b"%d" % error.retry_after)]
    if error.allow is not None:
        headers.append((b"allow", error.allow.encode("ascii")))
    if path.startswith("/v1/"):
        return json_response(error.status, openai_error(error), headers)
    return error_response(error.status, error.message, headers)


def openai_error(error: RequestError) -> dict[str, object]:
    """The body of an error in OpenAI's API."""
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    if error.status == 429:
        kind = "rate_limit_error"
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}
