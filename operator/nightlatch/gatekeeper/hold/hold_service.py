"""The hold, as an ext_authz service. Envoy asks it about each call to an endpoint that holds its calls.

The call is authenticated and authorized already, and the filter's metadata says who makes it; the answer only waits
until the endpoint is awake, or the caller's access ends.
`CheckRequest -> HeldCall -> Outcome -> CheckResponse`.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse, DeniedHttpResponse, OkHttpResponse
from envoy.service.auth.v3.external_auth_pb2_grpc import AuthorizationServicer
from envoy.type.v3.http_status_pb2 import HttpStatus
from google.rpc.status_pb2 import Status

from nightlatch.api.meta import NamespacedName
from nightlatch.gatekeeper.hold import answers
from nightlatch.gatekeeper.hold.still_allowed import API_KEY, UNKNOWN, HeldCall, Proof
from nightlatch.gatekeeper.hold.waiting_room import Admitted, Outcome, Refused
from nightlatch.routing.filter_order import GATE
from nightlatch.routing.xds.local_replies import CODE
from nightlatch.wire import caller_errors

CONTEXT_ENDPOINT = "endpoint"
HEADER_HOLD_TIMEOUT = "x-nightlatch-hold-timeout"

_UNKNOWN_ENDPOINT = Refused(caller_errors.ENDPOINT_CHANGING, caller_errors.ENDPOINT_CHANGING.say())
_BAD_TIMEOUT = Refused(
    caller_errors.INVALID_REQUEST, caller_errors.INVALID_REQUEST.say("hold_timeout", header=HEADER_HOLD_TIMEOUT)
)

# A decimal number of ASCII digits; float() would also take 1e3, 1_0, inf and the digits of other scripts.
_SECONDS = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")

# Waits until this call may go on or must not; the number is the caller's own limit in seconds.
Admit = Callable[[HeldCall, float | None], Awaitable[Outcome]]


class HoldService(AuthorizationServicer):  # type: ignore[misc]
    """`admits` gives the Admit of an endpoint, None if this gateway does not have the endpoint.

    `checks` counts Envoy's questions, `admitted` the calls that may go on.
    """

    def __init__(self, admits: Callable[[NamespacedName], Admit | None]) -> None:
        self.checks = 0
        self.admitted = 0
        self._admits = admits

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        self.checks += 1
        outcome = await self._decide(request.attributes)
        if isinstance(outcome, Refused):
            return _deny(request.attributes.request.http, outcome)
        self.admitted += 1
        return _admit(outcome)

    async def _decide(self, attributes: Any) -> Outcome:
        http = attributes.request.http
        try:
            timeout = asked_timeout(http.headers)
        except ValueError:
            return _BAD_TIMEOUT
        admit = self._admits(NamespacedName.parse(attributes.context_extensions[CONTEXT_ENDPOINT]))
        if admit is None:
            return _UNKNOWN_ENDPOINT
        said = attributes.metadata_context.filter_metadata
        return await admit(HeldCall(proofs_of(said), http.method, http.path, end_of(said)), timeout)


def proofs_of(metadata: Mapping[str, Any]) -> tuple[Proof, ...]:
    """What the caller proved, from the dynamic metadata of the gate. A call without metadata is refused later.

    The gate leaves the method out where it is an API key.
    """
    text = _said_by_gate(metadata)
    first = Proof(text.get("method", API_KEY), text.get("client", ""), text.get("credential", ""))
    beside = (each.split(" ") for each in text.get("beside", "").split(",") if each)
    return (first, *(Proof(*parts) if len(parts) == 3 else UNKNOWN for parts in beside))


def end_of(metadata: Mapping[str, Any]) -> float | None:
    """When one of the tokens and certificates of the call ends, in Unix seconds; None where none does."""
    milliseconds = _said_by_gate(metadata).get("ends")
    return int(milliseconds) / 1000 if milliseconds else None


def _said_by_gate(metadata: Mapping[str, Any]) -> Mapping[str, str]:
    found = metadata[GATE].fields if GATE in metadata else {}
    return {name: value.string_value for name, value in found.items()}


def asked_timeout(headers: Mapping[str, str]) -> float | None:
    """How many seconds a caller is willing to be held; None if it does not say. Raises ValueError."""
    text = headers.get(HEADER_HOLD_TIMEOUT)
    if text is None:
        return None
    seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
    if seconds <= 0:
        raise ValueError(f"{HEADER_HOLD_TIMEOUT} is not a number of seconds above zero")
    return seconds


def _admit(admitted: Admitted) -> Any:
    """Let the call go on. Server-Timing says how long it was held."""
    response = OkHttpResponse()
    if admitted.waited:
        timing = HeaderValue(key="server-timing", value=f"wake;dur={admitted.waited * 1000:.0f}")
        response.response_headers_to_add.append(HeaderValueOption(header=timing))
    return CheckResponse(status=Status(code=grpc.StatusCode.OK.value[0]), ok_response=response)


def _deny(http: Any, refused: Refused) -> Any:
    """Refuse the call. The code in the metadata keeps Envoy from replacing the body by one of its own."""
    answer = answers.answer(http.path, http.headers.get("content-type", ""), refused)
    denied = DeniedHttpResponse(status=HttpStatus(code=answer.status), body=answer.body)
    for key, value in answer.headers.items():
        denied.headers.append(HeaderValueOption(header=HeaderValue(key=key, value=value)))
    response = CheckResponse(status=Status(code=grpc.StatusCode.UNAVAILABLE.value[0]), denied_response=denied)
    response.dynamic_metadata.update({CODE: refused.error.code})
    return response
