"""The bodies of what Envoy answers by itself: by status and by the API that the path belongs to."""

from dataclasses import dataclass, replace
from typing import Any

# Where the gatekeeper's answer leaves its `reason`: its body is shaped already. Without one it could not be reached.
GATE = "envoy.filters.http.ext_authz"
# Where the Lua filters leave the code of their own replies.
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
_OPENAI_TYPES = {403: "permission_error", 429: "rate_limit_error"}
_SAID = "%LOCAL_REPLY_BODY%"


@dataclass(frozen=True, slots=True)
class _Reply:
    """What is said, and what each API makes of it. `plain`: the message where there is no code."""

    code: str
    message: str
    plain: str
    openai_type: str


def local_reply_config() -> dict[str, Any]:
    """LocalReplyConfig: the first mapper that fits gives the body."""
    by_lua = _Reply(f"%DYNAMIC_METADATA({LUA}:code)%", _SAID, _SAID, "invalid_request_error")
    mappers = [
        _mapper(_has(GATE, "reason"), {**_text(_SAID), "content_type": "application/json"}, {}),
        *_shapes(_all(_has(LUA, "code"), _status("GE", 500)), replace(by_lua, openai_type="server_error")),
        *_shapes(_has(LUA, "code"), by_lua),
    ]
    for status, (code, message) in _STATUSES.items():
        mappers += _shapes(_status("EQ", status), _by_envoy(status, code, message), _HEADERS.get(status, {}))
    return {"mappers": mappers, "body_format": {"json_format": _nightlatch(_OTHER)}}


def _by_envoy(status: int, code: str, message: str) -> _Reply:
    default = "server_error" if status >= 500 else "invalid_request_error"
    return _Reply(code, message, message, _OPENAI_TYPES.get(status, default))


_OTHER = _by_envoy(500, "error", "The request could not be served.")


def _shapes(condition: dict[str, Any], reply: _Reply, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """A mapper for each API, the most special first."""
    bodies = (
        (_all(condition, _header("content-type", "application/grpc")), _text(reply.plain)),
        (_all(condition, _header(":path", "/v2")), {"json_format": {"error": reply.plain}}),
        (_all(condition, _header(":path", "/v1/")), {"json_format": _openai(reply)}),
        (condition, {"json_format": _nightlatch(reply)}),
    )
    return [_mapper(when, body, headers or {}) for when, body in bodies]


def _mapper(condition: dict[str, Any], body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    added = [
        {"header": {"key": key, "value": value}, "append_action": "ADD_IF_ABSENT"} for key, value in headers.items()
    ]
    return {"filter": condition, "body_format_override": body, **({"headers_to_add": added} if added else {})}


def _text(message: str) -> dict[str, Any]:
    """gRPC: becomes grpc-message; Envoy makes grpc-status of the HTTP status."""
    return {"text_format_source": {"inline_string": message}}


def _nightlatch(reply: _Reply) -> dict[str, Any]:
    return {"error": {"code": reply.code, "message": reply.message}}


def _openai(reply: _Reply) -> dict[str, Any]:
    return {"error": {"message": reply.message, "type": reply.openai_type, "param": None, "code": reply.code}}


def _all(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"and_filter": {"filters": list(conditions)}}


def _status(operator: str, status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"nightlatch.status.{status}"}
    return {"status_code_filter": {"comparison": {"op": operator, "value": value}}}


def _has(namespace: str, field: str) -> dict[str, Any]:
    matcher = {"filter": namespace, "path": [{"key": field}], "value": {"present_match": True}}
    return {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": False}}


def _header(name: str, prefix: str) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": name, "string_match": {"prefix": prefix}}}}
