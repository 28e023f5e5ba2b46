"""The bodies of what Envoy answers by itself: by status and by the API that the path belongs to."""

from typing import Any

# The gatekeeper's reason, in the dynamic metadata of its answer.
GATE = "envoy.filters.http.ext_authz"
# What the Lua filters leave for their own replies.
LUA = "nightlatch.reply"

_STATUSES: dict[int, tuple[str, str]] = {
    400: ("invalid_request", "The request is malformed."),
    403: ("insufficient_scope", "The credential does not permit this operation."),
    404: ("not_found", "No endpoint has this host name."),
    408: ("request_timeout", "The request did not arrive in time."),
    413: ("payload_too_large", "The request is too large."),
    429: ("rate_limited", "The client's rate limit is used up."),
    431: ("headers_too_large", "The request headers are too large."),
    502: ("bad_gateway", "The model server's answer was malformed."),
    503: ("unavailable", "The model server cannot be reached."),
    504: ("upstream_timeout", "The model server did not answer in time."),
}
_HEADERS: dict[int, dict[str, str]] = {
    403: {"www-authenticate": 'Bearer realm="nightlatch", error="insufficient_scope"'},
    503: {"retry-after": "1"},
}
_OTHER = ("error", "The request could not be served.")
_OPENAI_TYPES = {403: "permission_error", 429: "rate_limit_error"}


def local_reply_config() -> dict[str, Any]:
    """LocalReplyConfig: the first mapper that fits gives the body."""
    mappers = [mapper for source in (GATE, LUA) for mapper in _by_path(_has(source), *_said_by(source))]
    for status, (code, message) in _STATUSES.items():
        mappers += _by_path(_is(status), code, message, _HEADERS.get(status, {}), _OPENAI_TYPES.get(status))
    return {"mappers": mappers, "body_format": {"json_format": _nightlatch(*_OTHER)}}


def _said_by(source: str) -> tuple[str, str]:
    field = "reason" if source == GATE else "code"
    return f"%DYNAMIC_METADATA({source}:{field})%", "%LOCAL_REPLY_BODY%"


def _by_path(
    condition: dict[str, Any],
    code: str,
    message: str,
    headers: dict[str, str] | None = None,
    openai_type: str | None = None,
) -> list[dict[str, Any]]:
    shapes = (
        ("/v2", {"error": message}),
        ("/v1/", _openai(code, message, openai_type or "invalid_request_error")),
        (None, _nightlatch(code, message)),
    )
    return [_mapper(condition, prefix, body, headers or {}) for prefix, body in shapes]


def _mapper(
    condition: dict[str, Any], prefix: str | None, body: dict[str, Any], headers: dict[str, str]
) -> dict[str, Any]:
    return {
        "filter": condition if prefix is None else {"and_filter": {"filters": [condition, _under(prefix)]}},
        "body_format_override": {"json_format": body},
        "headers_to_add": [
            {"header": {"key": key, "value": value}, "append_action": "ADD_IF_ABSENT"} for key, value in headers.items()
        ],
    }


def _nightlatch(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _openai(code: str, message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _is(status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"nightlatch.status.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _has(source: str) -> dict[str, Any]:
    field = "reason" if source == GATE else "code"
    matcher = {"filter": source, "path": [{"key": field}], "value": {"present_match": True}}
    return {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": False}}


def _under(prefix: str) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": ":path", "string_match": {"prefix": prefix}}}}
