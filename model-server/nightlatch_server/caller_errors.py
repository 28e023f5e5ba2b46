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

UNKNOWN_URL = CallerError(
    code="unknown_url",
    status=404,
    grpc_status=5,
    openai_type="invalid_request_error",
    sentence="There is no such path; see /v2 and /v1/models.",
    details={
        "admin": "There is no such path; the admin port has /healthz, /readyz and /metrics.",
    },
    retry_after=None,
    www_authenticate=None,
)

MODEL_NOT_FOUND = CallerError(
    code="model_not_found",
    status=404,
    grpc_status=5,
    openai_type="invalid_request_error",
    sentence="The model {wanted!r} does not exist; this server has {name!r}.",
    details={
        "version": "The model {name!r} has only version {version!r}.",
    },
    retry_after=None,
    www_authenticate=None,
)

METHOD_NOT_ALLOWED = CallerError(
    code="method_not_allowed",
    status=405,
    grpc_status=12,
    openai_type="invalid_request_error",
    sentence="This path supports only {allowed}.",
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

URL_TOO_LONG = CallerError(
    code="url_too_long",
    status=414,
    grpc_status=3,
    openai_type="invalid_request_error",
    sentence="The URL is longer than {limit} bytes.",
    details={},
    retry_after=None,
    www_authenticate=None,
)

UNSUPPORTED_ENCODING = CallerError(
    code="unsupported_encoding",
    status=415,
    grpc_status=3,
    openai_type="invalid_request_error",
    sentence="A body with Content-Encoding is not supported; send the body without encoding.",
    details={},
    retry_after=None,
    www_authenticate=None,
)

EXPECTATION_FAILED = CallerError(
    code="expectation_failed",
    status=417,
    grpc_status=3,
    openai_type="invalid_request_error",
    sentence="The only expectation that is met is 100-continue.",
    details={},
    retry_after=None,
    www_authenticate=None,
)

QUEUE_FULL = CallerError(
    code="queue_full",
    status=429,
    grpc_status=8,
    openai_type="rate_limit_error",
    sentence="Too many requests are waiting; retry later.",
    details={},
    retry_after=1,
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

INTERNAL_ERROR = CallerError(
    code="internal_error",
    status=500,
    grpc_status=13,
    openai_type="server_error",
    sentence="Internal error; the server's log has the details.",
    details={},
    retry_after=None,
    www_authenticate=None,
)

MODEL_LOADING = CallerError(
    code="model_loading",
    status=503,
    grpc_status=14,
    openai_type="server_error",
    sentence="The model is being loaded; retry shortly.",
    details={},
    retry_after=1,
    www_authenticate=None,
)

DEADLINE_EXCEEDED = CallerError(
    code="deadline_exceeded",
    status=504,
    grpc_status=4,
    openai_type="server_error",
    sentence="The request waited past its deadline.",
    details={},
    retry_after=None,
    www_authenticate=None,
)
