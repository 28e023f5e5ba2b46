"""An `up` whose endpoints take the tokens of a provider that is a program of its own, and callers with such tokens."""

import asyncio
import contextlib
import json
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nightlatch.api.meta import TOKEN_ISSUER
from nightlatch.store.files.store import FilesStore
from tests.attack.certificates import Presented
from tests.embedded.raw_http import Connection, request, trust
from tests.embedded.running import Up

HEALTH = "/v2/health/ready"
MODEL = "/v2/models/NAME"
AUDIENCE = "minilm"
# What is said of every provider; `permissionsFrom` is its own.
ISSUER = {
    "audiences": [AUDIENCE],
    "keys": {"discovery": True},
    "caSecretRef": {"name": "corp-ca"},
    "maxLifetime": "1h",
    "refresh": "30s",
}
# Whose certificates are let in at all.
BEARERS = ("spiffe://corp.example/one", "spiffe://corp.example/two")
# A token and a certificate in one call.
BOTH = {
    "mtls": {"trust": [{"secretName": "corp-ca"}]},
    "accept": [["jwt", "mtls"]],
    "rules": [{"permissions": ["health"], "when": {"certificates": [*BEARERS]}}],
}
# Endpoints that take tokens of the issuer `corp`, and one that asks for a certificate, too.
ACCESS: dict[str, dict[str, Any]] = {
    "tokens": {"jwt": {"issuers": [{"name": "corp"}]}},
    "bound": {"jwt": {"issuers": [{"name": "corp"}]}, **BOTH},
}


@contextlib.contextmanager
def started(name: str, missing: str, made: Callable[[], Any]) -> Iterator[Any]:
    """A provider while it runs. `missing`: what this machine lacks for it; the tests are skipped unless it is empty."""
    if missing:
        pytest.skip(f"{missing}: nothing is tested with {name}")
    server = made()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclass
class Load:
    """`answers`: how often each status came."""

    answers: Counter[int] = field(default_factory=Counter)
    stopped: bool = False


class TokenedUp:
    """access: by endpoint. issuers: specs of TokenIssuers, `corp` among them. cas: files of CAs, by Secret."""

    def __init__(
        self,
        start: Callable[..., Up],
        model: Path,
        issuers: dict[str, dict[str, Any]],
        access: dict[str, dict[str, Any]],
        cas: dict[str, Path],
    ) -> None:
        self.names = tuple(access)
        shared = {"apiVersion": "nightlatch.dev/v1alpha1"}
        source = {"source": {"path": str(model)}}
        objects = [
            *(("InferenceEndpoint", name, {"model": source, "access": each}) for name, each in access.items()),
            *(("TokenIssuer", name, spec) for name, spec in issuers.items()),
            # Its files have the CA of the installation.
            ("InferenceClient", "bot", {"endpoints": [], "apiKey": {}}),
        ]
        text = "---\n".join(
            json.dumps({**shared, "kind": kind, "metadata": {"name": name}, "spec": spec}) + "\n"
            for kind, name, spec in objects
        )
        trusted = [word for name, path in cas.items() for word in ("--trust", f"{name}={path}")]
        self.up = start(text, arguments=trusted)

    async def ready(self) -> None:
        """Until every endpoint knows the provider's keys."""
        await self.up.started()
        await self.up.until("the CA", (self.up.files("bot") / "ca.crt").exists)
        for name in self.names:
            await self.up.until(f"{name} to be Ready", lambda name=name: self.up.is_ready(name))

    async def kids(self) -> list[str]:
        """The keys in use, as the issuer's status has them."""
        store = FilesStore(self.up.probe.layout.root, read_only=True)
        status = (await store.get(TOKEN_ISSUER, "default", "corp")).get("status") or {}
        return [each["kid"] for each in status.get("keys", ())]

    async def connect(self, endpoint: str, shown: Presented | None = None) -> Connection:
        context: ssl.SSLContext = trust(self.up.files("bot") / "ca.crt")
        if shown is not None:
            chain = self.up.directory / "shown.pem"
            chain.write_text(shown.chain + shown.key)
            context.load_cert_chain(chain)
        return await Connection.open(self.up.ports[0], self.up.host(endpoint), context)

    def get(self, endpoint: str, token: str, path: str = HEALTH) -> bytes:
        headers = [("Authorization", f"Bearer {token}")]
        return request("GET", path.replace("NAME", endpoint), self.up.host(endpoint), headers=headers)

    async def call(self, endpoint: str, token: str, path: str = HEALTH, shown: Presented | None = None) -> int:
        """The status of one call on a connection of its own."""
        connection = await self.connect(endpoint, shown)
        try:
            return (await connection.send(self.get(endpoint, token, path))).status
        finally:
            await connection.close()

    async def until_call(self, status: int, endpoint: str, token: str, timeout_s: float = 60.0) -> None:
        async def has() -> bool:
            return await self.call(endpoint, token) == status

        await self.up.until(f"{status} from {endpoint}", has, timeout_s)

    async def keep_calling(self, load: Load, endpoint: str, fresh: Callable[[], str], every_s: float = 1.0) -> None:
        """Call again and again on one connection until `load.stopped`, with a new token of the provider each second."""
        connection = await self.connect(endpoint)
        loop = asyncio.get_running_loop()
        try:
            while not load.stopped:
                raw, until = self.get(endpoint, await asyncio.to_thread(fresh)), loop.time() + every_s
                while not load.stopped and loop.time() < until:
                    load.answers[(await connection.send(raw)).status] += 1
        finally:
            await connection.close()
