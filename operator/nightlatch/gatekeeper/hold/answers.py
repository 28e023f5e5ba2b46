"""What a held call is answered with when it may not go on: one JSON body in the shape its API uses."""

import orjson

from nightlatch.gatekeeper.hold.waiting_room import Refused


def body(path: str, refused: Refused) -> str:
    """The JSON body for a call to `path`: Open Inference Protocol (/v2), OpenAI (/v1) or our own shape."""
    return orjson.dumps(_shape(path, refused)).decode()


def _shape(path: str, refused: Refused) -> dict[str, object]:
    if path.startswith("/v2/"):
        return {"error": f"{refused.code}: {refused.message}"}
    if path.startswith("/v1/"):
        kind = "rate_limit_error" if refused.status == 429 else "server_error"
        return {"error": {"message": refused.message, "type": kind, "param": None, "code": refused.code}}
    return {"error": {"code": refused.code, "message": refused.message}}


def headers(refused: Refused) -> dict[str, str]:
    """Response headers beside the body."""
    retry = {"retry-after": str(refused.retry_after)} if refused.retry_after else {}
    return {"content-type": "application/json", "cache-control": "no-store", **retry}
