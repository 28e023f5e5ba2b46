"""The ext_authz service: Envoy asks it on gated routes only, after the call was authenticated and authorized.

`CheckRequest -> Call -> Outcome -> CheckResponse`. An open gate answers at once, a shut one holds the call.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse, DeniedHttpResponse, OkHttpResponse
from envoy.service.auth.v3.external_auth_pb2_grpc import AuthorizationServicer
from envoy.type.v3.http_status_pb2 import HttpStatus
from google.rpc.status_pb2 import Status

from nightlatch.api.meta import NamespacedName
from nightlatch.gatekeeper.hold import answers
from nightlatch.gatekeeper.hold.waiting_room import Admitted, Outcome, Refused

CONTEXT_ENDPOINT = "endpoint"
HEADER_CLIENT = "x-nightlatch-client"
HEADER_HOLD_TIMEOUT = "x-nightlatch-hold-timeout"

_UNKNOWN_ENDPOINT = Refused(503, "EndpointUnknown", "this endpoint is being removed or set up; retry later", 5)
_BAD_TIMEOUT = Refused(400, "BadRequest", f"{HEADER_HOLD_TIMEOUT} must be a number of seconds above zero", 0)


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the gate sees it. `timeout`: seconds the caller is willing to be held; None: the endpoint's bound."""

    endpoint: NamespacedName
    client: str
    timeout: float | None


class Door(Protocol):
    """The gate of one endpoint."""

    async def admit(self, client: str, timeout: float | None) -> Outcome:
        """Wait until the call may go on, or must not."""


class HoldService(AuthorizationServicer):  # type: ignore[misc]
    """See the module. `checks` counts every question asked, `admitted` those answered yes."""

    def __init__(self, door: Callable[[NamespacedName], Door | None]) -> None:
        self.checks = 0
        self.admitted = 0
        self._door = door

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """The gRPC method."""
        self.checks += 1
        outcome = await self._decide(request.attributes)
        if isinstance(outcome, Refused):
            return _deny(request.attributes.request.http.path, outcome)
        self.admitted += 1
        return _admit(outcome)

    async def _decide(self, attributes: Any) -> Outcome:
        try:
            call = _call(attributes)
        except ValueError:
            return _BAD_TIMEOUT
        door = self._door(call.endpoint)
        return await door.admit(call.client, call.timeout) if door else _UNKNOWN_ENDPOINT


def _call(attributes: Any) -> Call:
    headers = attributes.request.http.headers
    return Call(
        endpoint=NamespacedName.parse(attributes.context_extensions[CONTEXT_ENDPOINT]),
        client=headers.get(HEADER_CLIENT, ""),
        timeout=asked_timeout(headers),
    )


def asked_timeout(headers: Mapping[str, str]) -> float | None:
    """Seconds a caller is willing to be held; None when it does not say. Raises ValueError."""
    text = headers.get(HEADER_HOLD_TIMEOUT)
    if text is None:
        return None
    seconds = float(text)
    if not math.isfinite(seconds) or seconds <= 0:
        raise ValueError(text)
    return seconds


def _admit(admitted: Admitted) -> Any:
    """Go on; a call that waited is told for how long."""
    response = OkHttpResponse()
    if admitted.waited:
        timing = HeaderValue(key="server-timing", value=f"wake;dur={admitted.waited * 1000:.0f}")
        response.response_headers_to_add.append(HeaderValueOption(header=timing))
    return CheckResponse(status=Status(code=grpc.StatusCode.OK.value[0]), ok_response=response)


def _deny(path: str, refused: Refused) -> Any:
    """Refused, in the shape of the path's API; the `reason` beside it keeps Envoy from putting a body of its own."""
    denied = DeniedHttpResponse(status=HttpStatus(code=refused.status), body=answers.body(path, refused))
    for key, value in answers.headers(refused).items():
        denied.headers.append(HeaderValueOption(header=HeaderValue(key=key, value=value)))
    response = CheckResponse(status=Status(code=grpc.StatusCode.UNAVAILABLE.value[0]), denied_response=denied)
    response.dynamic_metadata.update({"reason": refused.code})
    return response
