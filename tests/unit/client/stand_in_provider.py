"""A provider without a network, and a clock that stands until it is moved."""

import itertools
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

import httpx

from nightlatch_client.client import Client
from nightlatch_client.exchange import Exchange
from nightlatch_client.instant import Instant
from nightlatch_client.surroundings import Surroundings
from nightlatch_client.tokens import ClientCredentials, Tokens

ISSUER = "https://id.example/realms/ml"
SECRET = "the-secret-of-the-client"
Answer = Callable[[dict[str, str], httpx.Request], httpx.Response]


@dataclass
class Clock:
    """begins: by the wall clock. ahead: how much the provider's is before ours."""

    passed: float = 0.0
    begins: float = 1_800_000_000.0
    ahead: float = 0.0

    def now(self) -> Instant:
        return Instant(1000.0 + self.passed, self.begins + self.passed)

    def sleep(self, seconds: float) -> None:
        self.passed += seconds

    @property
    def theirs(self) -> float:
        return self.begins + self.passed + self.ahead

    @property
    def surroundings(self) -> Surroundings:
        counted = itertools.count()
        return Surroundings(self.now, lambda: 0.5, lambda: f"unique-{next(counted)}", self.sleep)


def refusal(error: str, description: str = "", status: int = 400, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": error, "error_description": description}, headers=headers)


@dataclass
class StandIn:
    """`answer`: what the token endpoint says. asked: the forms it was sent. gate: closed while it is to be slow."""

    clock: Clock = field(default_factory=Clock)
    lifetime: float | None = 300
    kind: str = "Bearer"
    answer: Answer | None = None
    document: dict[str, Any] | None = None
    discovery: Callable[[httpx.Request], httpx.Response] | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    down: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._handle)

    def exchange(self, client: Client, **options: Any) -> Exchange:
        return Exchange(client, surroundings=self.clock.surroundings, over=self.transport, **options)

    def tokens(self, client: Client, **options: Any) -> Tokens:
        return Tokens(ClientCredentials(self.exchange(client, **options)), surroundings=self.clock.surroundings)

    def granted(self, **more: Any) -> httpx.Response:
        life = {} if self.lifetime is None else {"expires_in": self.lifetime}
        return httpx.Response(
            200, json={"access_token": f"token-{len(self.asked)}", "token_type": self.kind, **life, **more}
        )

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.down:
            raise httpx.ConnectError("connection refused", request=request)
        response = self._answered(request)
        response.headers.setdefault("date", formatdate(self.clock.theirs, usegmt=True))
        return response

    def _answered(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            if self.discovery is not None:
                return self.discovery(request)
            return httpx.Response(200, json=self.document or described())
        self.gate.wait(10)
        form = dict(parse_qsl(request.content.decode()))
        self.asked.append(form)
        return self.answer(form, request) if self.answer else self.granted()


def described(issuer: str = ISSUER, **more: Any) -> dict[str, Any]:
    names = ("token_endpoint", "device_authorization_endpoint", "revocation_endpoint")
    return {"issuer": issuer, **{name: f"{issuer}/{name}" for name in names}, **more}


def claims_of(jwt: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, without looking at the signature."""
    import base64

    header, claims, _ = jwt.split(".")
    return tuple(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (header, claims))
