"""The sources of the two stateless Lua filters: their files and the table of errors. They hold nothing of a tenant."""

from functools import cache
from importlib.resources import files

import orjson

from nightlatch.routing.xds.error_info import GRPC_DETAILS, grpc_headers
from nightlatch.wire import caller_errors
from nightlatch.wire.error_body import CallerError

_CLASSIFY = ("sha256", "api_key", "reply", "classify")
_DECIDE = ("reply", "decide")
_ERRORS = (
    caller_errors.INVALID_REQUEST,
    caller_errors.UNAUTHENTICATED,
    caller_errors.NOT_FOUND,
    caller_errors.MISDIRECTED_REQUEST,
    caller_errors.POLICY_INVALID,
    caller_errors.POLICY_STALE,
)


@cache
def classify_source() -> str:
    """The first filter: which credentials the call has."""
    return _concatenate(_CLASSIFY)


@cache
def decide_source() -> str:
    """The second filter: who the client is, or 401."""
    return _concatenate(_DECIDE)


def _concatenate(names: tuple[str, ...]) -> str:
    folder = files("nightlatch.routing") / "lua"
    return "\n".join([_errors(), *((folder / f"{name}.lua").read_text("utf-8") for name in names)])


def _errors() -> str:
    rows = "".join(f"  {error.code} = {_lua(_row(error))},\n" for error in _ERRORS)
    return f"local errors = {{\n{rows}}}\n"


def _row(error: CallerError) -> dict[str, object]:
    return {
        "code": error.code,
        "status": str(error.status),
        "sentence": error.sentence,
        "details": error.details,
        "www_authenticate": error.www_authenticate,
        "grpc_status": str(error.grpc_status),
        "grpc_details": grpc_headers(error, error.sentence)[GRPC_DETAILS],
    }


def _lua(value: object) -> str:
    """A Lua table constructor or string. JSON's strings are Lua's as long as they are plain ASCII."""
    if isinstance(value, dict):
        members = (f"{name} = {_lua(each)}" for name, each in value.items() if each)
        return f"{{{', '.join(members)}}}"
    return orjson.dumps(value).decode("ascii")
