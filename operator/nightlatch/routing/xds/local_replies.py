"""The bodies of the errors that Envoy answers itself, by status and by the API that the path belongs to."""

from dataclasses import dataclass, field
from typing import Any

from nightlatch.routing.xds import native_module
from nightlatch.routing.xds.error_info import grpc_headers
from nightlatch.wire import caller_errors, error_body
from nightlatch.wire.error_body import CallerError

# Metadata with the code of a refusal by the gatekeeper, whose body has its shape already. Without it, the gatekeeper
# could not be reached.
GATEKEEPER = "envoy.filters.http.ext_authz"
CODE = "code"

# What Envoy answers itself, recognised by the status.
_BY_STATUS = (
    caller_errors.INVALID_REQUEST,
    caller_errors.INSUFFICIENT_SCOPE,
    caller_errors.NOT_FOUND,
    caller_errors.REQUEST_TIMEOUT,
    caller_errors.PAYLOAD_TOO_LARGE,
    caller_errors.RATE_LIMITED,
    caller_errors.HTTP_VERSION,
    caller_errors.HEADERS_TOO_LARGE,
    caller_errors.BAD_GATEWAY,
    caller_errors.UNAVAILABLE,
    caller_errors.UPSTREAM_TIMEOUT,
)
_ANY = caller_errors.REQUEST_FAILED
_BODY = "%LOCAL_REPLY_BODY%"


@dataclass(frozen=True, slots=True)
class _Reply:
    """What every API's body is made of. The texts may hold Envoy's command operators."""

    code: str
    sentence: str
    openai_type: str
    headers: dict[str, str] = field(default_factory=dict)
    grpc: dict[str, str] = field(default_factory=dict)


def local_reply_config(*, known_host: bool) -> dict[str, Any]:
    """LocalReplyConfig: the first mapper that fits gives the body. What gatekeeper and gate wrote stays as it is."""
    own = {**_text(_BODY), "content_type": "application/json"}
    mappers = [
        *_shapes(
            _flagged("UO"),
            _by_envoy(caller_errors.TOO_MANY_IN_FLIGHT),
            status=caller_errors.TOO_MANY_IN_FLIGHT.status,
        ),
        *_shapes(_flagged("OM"), _by_envoy(caller_errors.OVERLOADED)),
        _mapper(_has(native_module.METADATA, native_module.CODE), own, {}),
        _mapper(_has(GATEKEEPER, CODE), own, {}),
    ]
    if known_host:
        # Envoy answers `OPTIONS *` and other requests without a path before any filter.
        mappers += _shapes(
            _status("EQ", caller_errors.NOT_FOUND.status),
            _by_envoy(caller_errors.UNAUTHENTICATED),
            status=caller_errors.UNAUTHENTICATED.status,
        )
    for error in _BY_STATUS:
        mappers += _shapes(_status("EQ", error.status), _by_envoy(error))
    # Any other status: Envoy's own gRPC status stays.
    mappers += _shapes(_status("GE", 400), _Reply(_ANY.code, _ANY.sentence, _ANY.openai_type))
    return {"mappers": mappers, "body_format": {"json_format": error_body.plain(_ANY.code, _ANY.sentence)}}


def _by_envoy(error: CallerError) -> _Reply:
    headers = {"www-authenticate": error.www_authenticate, "retry-after": error.retry_after}
    given = {name: str(value) for name, value in headers.items() if value is not None}
    return _Reply(error.code, error.sentence, error.openai_type, given, grpc_headers(error, error.sentence))


def _shapes(condition: dict[str, Any], reply: _Reply, status: int | None = None) -> list[dict[str, Any]]:
    """A mapper for each API, the most special first. For gRPC the body becomes the grpc-message.

    `status` replaces Envoy's own.
    """
    more = {} if status is None else {"status_code": status}
    grpc = _all(condition, _header("content-type", "application/grpc"))
    open_inference = _all(condition, _header(":path", error_body.OPEN_INFERENCE))
    openai = _all(condition, _header(":path", error_body.OPENAI))
    code, sentence, headers = reply.code, reply.sentence, reply.headers
    mappers = [
        _mapper(grpc, _text(sentence), headers | reply.grpc),
        _mapper(open_inference, {"json_format": error_body.open_inference(code, sentence)}, headers),
        _mapper(openai, {"json_format": error_body.openai(code, sentence, reply.openai_type)}, headers),
        _mapper(condition, {"json_format": error_body.plain(code, sentence)}, headers),
    ]
    return [mapper | more for mapper in mappers]


def _mapper(condition: dict[str, Any], body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    added = [
        {"header": {"key": key, "value": value}, "append_action": "ADD_IF_ABSENT"} for key, value in headers.items()
    ]
    return {"filter": condition, "body_format_override": body, **({"headers_to_add": added} if added else {})}


def _text(text: str) -> dict[str, Any]:
    return {"text_format_source": {"inline_string": text}}


def _all(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"and_filter": {"filters": list(conditions)}}


def _status(operator: str, status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"nightlatch.status.{status}"}
    return {"status_code_filter": {"comparison": {"op": operator, "value": value}}}


def _flagged(flag: str) -> dict[str, Any]:
    """Envoy's own mark of why it answered."""
    return {"response_flag_filter": {"flags": [flag]}}


def _has(namespace: str, key: str) -> dict[str, Any]:
    matcher = {"filter": namespace, "path": [{"key": key}], "value": {"present_match": True}}
    return {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": False}}


def _header(name: str, prefix: str) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": name, "string_match": {"prefix": prefix}}}}
