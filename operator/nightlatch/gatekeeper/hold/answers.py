"""The answer to a held call that may not go on, in the shape of the API that it uses. Pure."""

from dataclasses import dataclass

import orjson

from nightlatch.gatekeeper.hold.waiting_room import Refused
from nightlatch.routing.xds.error_info import grpc_headers
from nightlatch.wire.error_body import error_body


@dataclass(frozen=True, slots=True)
class Answer:
    """Envoy sends a gRPC caller the body as grpc-message, with status and content type of its own."""

    status: int
    headers: dict[str, str]
    body: str


def answer(path: str, content_type: str, refused: Refused) -> Answer:
    """The answer to a call to `path` with this Content-Type."""
    error = refused.error
    headers = {"cache-control": "no-store"}
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    if error.www_authenticate is not None:
        headers["www-authenticate"] = error.www_authenticate
    if content_type.startswith("application/grpc"):
        details = grpc_headers(error, refused.sentence, refused.reason)
        return Answer(error.status, headers | details, refused.sentence)
    body = orjson.dumps(error_body(path, error, refused.sentence, reason=refused.reason)).decode()
    return Answer(error.status, headers | {"content-type": "application/json"}, body)
