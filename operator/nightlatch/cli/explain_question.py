"""What the gate's program is asked: an endpoint's policy and the gate's configuration, as Envoy would get them, and a
call with the credentials. Pure.
"""

import re
from dataclasses import dataclass, field

import orjson

from nightlatch.api.scalars import ALL_PERMISSIONS
from nightlatch.routing.ir import COLD
from nightlatch.routing.policy import policy_value
from nightlatch.routing.translate import translate_endpoint
from nightlatch.wire.route_document import Operation, RouteDocument

_REQUEST = re.compile(r"([A-Z]{1,16}) (/[!-~]*)")
_VARIABLE = re.compile(r"\{[a-z]+\}")


class QuestionError(ValueError):
    """Says what is wrong with the command line."""


@dataclass(frozen=True, slots=True)
class Request:
    """A method and a path."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Presented:
    """The credentials of a call. None: none of this kind. certificate_note: what a listener notes of a certificate."""

    api_key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    certificate_note: str = ""


def request_for(operation: str, table: tuple[Operation, ...]) -> Request:
    """The call that a text such as `infer` or `GET /v2/models/minilm` names. Raises QuestionError."""
    if found := _REQUEST.fullmatch(operation):
        return Request(found[1], found[2])
    if operation not in ALL_PERMISSIONS:
        raise QuestionError(
            f"an operation is one of {', '.join(ALL_PERMISSIONS)}, or a method and a path, as `POST /v1/embeddings`"
        )
    named = [each for each in table if each.permission == operation]
    if not named:
        # That of a denied endpoint, which refuses whatever comes.
        return Request("GET", "/") if not table else _none(operation)
    # One without a variable, if there is one.
    chosen = min(named, key=lambda each: "{" in each.path)
    return Request(chosen.method, _VARIABLE.sub("1", chosen.path))


def _none(operation: str) -> Request:
    raise QuestionError(f"this endpoint has no operation that needs the permission {operation}")


def question(document: RouteDocument, gate: bytes, request: Request, presented: Presented) -> bytes:
    """What the program reads. `gate`: the configuration of the filter. The document's private key is not in it."""
    policy = policy_value(translate_endpoint(document, document.hosts, COLD).policy, gateways=1)
    call = {
        "method": request.method,
        "path": request.path,
        "authorization": [] if presented.token is None else [f"Bearer {presented.token}"],
        "api_key": [] if presented.api_key is None else [presented.api_key],
        "certificate": presented.certificate_note,
    }
    members = {"gate": orjson.Fragment(gate), "policy": orjson.Fragment(policy), "call": call}
    return orjson.dumps(members)
