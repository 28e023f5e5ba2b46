"""Generated from operator/nightlatch/wire/caller_errors.yaml by `make generate`. Do not edit."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallerError:
    """An error that a caller can get; caller_errors.yaml explains the fields."""

    code: str
    status: int
    grpc_status: int
    openai_type: str
    sentence: str
    details: Mapping[str, str]
    retry_after: int | None
    www_authenticate: str | None

    def say(self, detail: str | None = None, /, **values: object) -> str:
        """The sentence, or the one of this detail, with its {names} filled in."""
        return (self.details[detail] if detail else self.sentence).format(**values)


INVALID_REQUEST = CallerError(
    code="invalid_request",
    status=400,
    grpc_status=3,
    openai_type="invalid_request_error",
    sentence="The request is malformed.",
    details={
        "repeated_header": "The request has more than one {header} header.",
        "header_too_long": "The {header} header is too long.",
        "header_characters": "The {header} header has characters that are not allowed.",
        "keys_differ": "The request has two API keys that differ.",
        "hold_timeout": "The {header} header must be a number of seconds above zero.",
    },
    retry_after=None,
    www_authenticate=None,
)

UNAUTHENTICATED = CallerError(
    code="unauthenticated",
    status=401,
    grpc_status=16,
    openai_type="invalid_request_error",
    sentence="A valid credential is required.",
    details={},
    retry_after=None,
    www_authenticate='Bearer realm="nightlatch"',
)

INSUFFICIENT_SCOPE = CallerError(
    code="insufficient_scope",
    status=403,
    grpc_status=7,
    openai_type="permission_error",
    sentence="The credential does not permit this operation.",
    details={},
    retry_after=None,
    www_authenticate='Bearer realm="nightlatch", error="insufficient_scope"',
)

NOT_FOUND = CallerError(
    code="not_found",
    status=404,
    grpc_status=5,
    openai_type="invalid_request_error",
    sentence="No endpoint has this host name.",
    details={},
    retry_after=None,
    www_authenticate=None,
)

REQUEST_TIMEOUT = CallerError(
    code="request_timeout",
    status=408,
    grpc_status=4,
    openai_type="invalid_request_error",
    sentence="The request did not arrive in time.",
    details={},
    retry_after=None,
    www_authenticate=None,
)

PAYLOAD_TOO_LARGE = CallerError(
    code="payload_too_large",
    status=413,
    grpc_status=8,
    openai_type="invalid_request_error",
    sentence="The request is too large.",
    details={
        "body": "The body is larger than {limit} bytes; send fewer rows in one request.",
    },
    retry_after=None,
    www_authenticate=None,
)

MISDIRECTED_REQUEST = CallerError(
    code="misdirected_request",
    status=421,
    grpc_status=3,
    openai_type="invalid_request_error",
    sentence="The host must equal the TLS server name (SNI).",
    details={},
    retry_after=None,
    www_authenticate=None,
)

RATE_LIMITED = CallerError(
    code="rate_limited",
    status=429,
    grpc_status=8,
    openai_type="rate_limit_error",
    sentence="The client's rate limit is used up.",
    details={},
    retry_after=None,
    www_authenticate=None,
)

TOO_MANY_HELD = CallerError(
    code="too_many_held",
    status=429,
    grpc_status=8,
    openai_type="rate_limit_error",
    sentence="Too many calls already wait for this endpoint to wake; retry later.",
    details={},
    retry_after=5,
    www_authenticate=None,
)

TOO_MANY_HELD_BY_CLIENT = CallerError(
    code="too_many_held_by_client",
    status=429,
    grpc_status=8,
    openai_type="rate_limit_error",
    sentence="This client already has its share of the calls that may wait for this endpoint to wake; retry later.",
    details={},
    retry_after=5,
    www_authenticate=None,
)

HEADERS_TOO_LARGE = CallerError(
    code="headers_too_large",
    status=431,
    grpc_status=8,
    openai_type="invalid_request_error",
    sentence="The request headers are too many or too large.",
    details={},
    retry_after=None,
    www_authenticate=None,
)

REQUEST_FAILED = CallerError(
    code="request_failed",
    status=500,
    grpc_status=13,
    openai_type="server_error",
    sentence="The request could not be served.",
    details={},
    retry_after=None,
    www_authenticate=None,
)

BAD_GATEWAY = CallerError(
    code="bad_gateway",
    status=502,
    grpc_status=14,
    openai_type="server_error",
    sentence="The model server's answer was malformed.",
    details={},
    retry_after=None,
    www_authenticate=None,
)

UNAVAILABLE = CallerError(
    code="unavailable",
    status=503,
    grpc_status=14,
    openai_type="server_error",
    sentence="The model server cannot be reached.",
    details={},
    retry_after=1,
    www_authenticate=None,
)

POLICY_INVALID = CallerError(
    code="policy_invalid",
    status=503,
    grpc_status=14,
    openai_type="server_error",
    sentence="The endpoint's configuration is not valid; its owner sees why in its conditions.",
    details={},
    retry_after=None,
    www_authenticate=None,
)

POLICY_STALE = CallerError(
    code="policy_stale",
    status=503,
    grpc_status=14,
    openai_type="server_error",
    sentence="This gateway has been without news of the endpoint's configuration for too long; retry later.",
    details={},
    retry_after=None,
    www_authenticate=None,
)

WAKE_FAILED = CallerError(
    code="wake_failed",
    status=503,
    grpc_status=14,
    openai_type="server_error",
    sentence="The endpoint could not wake: {message}",
    details={},
    retry_after=10,
    www_authenticate=None,
)

WAKE_TIMEOUT = CallerError(
    code="wake_timeout",
    status=503,
    grpc_status=14,
    openai_type="server_error",
    sentence="The endpoint did not wake within {seconds} s; retry later.",
    details={},
    retry_after=10,
    www_authenticate=None,
)

ENDPOINT_CHANGING = CallerError(
    code="endpoint_changing",
    status=503,
    grpc_status=14,
    openai_type="server_error",
    sentence="This endpoint is being set up or removed; retry later.",
    details={},
    retry_after=5,
    www_authenticate=None,
)

ENDPOINT_REMOVED = CallerError(
    code="endpoint_removed",
    status=503,
    grpc_status=14,
    openai_type="server_error",
    sentence="This endpoint was removed.",
    details={},
    retry_after=5,
    www_authenticate=None,
)

UPSTREAM_TIMEOUT = CallerError(
    code="upstream_timeout",
    status=504,
    grpc_status=4,
    openai_type="server_error",
    sentence="The model server did not answer in time.",
    details={},
    retry_after=None,
    www_authenticate=None,
)
