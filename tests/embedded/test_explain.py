"""`nightlatch explain` says what the gateway really answers, and why: a running `up`, its Envoy, each mechanism."""

import asyncio
import json
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from nightlatch.api_keys.api_key import mint
from nightlatch.cli.explain import command
from tests.attack.certificates import Leaf, Pki, Presented
from tests.attack.tokens import Signer, claims
from tests.embedded.raw_http import Connection, request, trust

HEALTH, MODEL = "/v2/health/ready", "/v2/models/"
ISS, AUDIENCE = "https://inline.example", "minilm"
JWT = {"issuers": [{"name": "corp"}]}
ENDPOINTS = {
    "keys": {"apiKey": {}},
    "any": {"apiKey": {}, "jwt": JWT, "mtls": {}},
    "both": {"apiKey": {}, "mtls": {}, "accept": [["apiKey", "mtls"]]},
}
GRANTS = [{"name": name, "permissions": ["health"]} for name in ENDPOINTS]


class World:
    """An `up` with these endpoints, and what its callers hold."""

    def __init__(self, start: Any, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        self.signer = Signer("EdDSA", "inline")
        self.denied: dict[str, Any] = {}
        self.clients: dict[str, dict[str, Any]] = {
            "bot": {"endpoints": GRANTS, "apiKey": {}, "certificate": {}},
            "leaked": {"endpoints": GRANTS, "apiKey": {}, "certificate": {}},
            "stranger": {"endpoints": [], "apiKey": {}},
        }
        self.up = start(self.text())

    def text(self) -> str:
        issuer = {
            "issuer": ISS,
            "audiences": [AUDIENCE],
            "keys": {"inline": {"keys": [self.signer.jwk]}},
            "permissionsFrom": {"map": {"ml:read": ["health"]}},
            "denied": self.denied,
        }
        model = {"source": {"path": str(self.model)}}
        objects = [
            *(("InferenceEndpoint", name, {"model": model, "access": access}) for name, access in ENDPOINTS.items()),
            ("TokenIssuer", "corp", issuer),
            *(("InferenceClient", name, spec) for name, spec in self.clients.items()),
        ]
        shared = {"apiVersion": "nightlatch.dev/v1alpha1"}
        return "---\n".join(
            json.dumps({**shared, "kind": kind, "metadata": {"name": name}, "spec": spec}) + "\n"
            for kind, name, spec in objects
        )

    async def ready(self) -> None:
        await self.up.started()
        for name in self.clients:
            await self.up.until(f"{name}'s key", (self.up.files(name) / "api-key").exists)
        for name in ENDPOINTS:
            await self.up.until(f"{name} to be Ready", lambda name=name: self.up.is_ready(name))
        for name in ("keys", "any"):
            await self.becomes(name, 200, key=self.up.key("bot"))

    def token(self, **changes: Any) -> str:
        return self.signer.sign(claims(ISS, AUDIENCE, **changes))

    def shown(self, client: str) -> Presented:
        files = self.up.files(client)
        return Presented((files / "tls.crt").read_text(), (files / "tls.key").read_text())

    async def call(
        self, endpoint: str, path: str = HEALTH, *, key: str = "", token: str = "", shown: Presented | None = None
    ) -> int | None:
        """What the gateway answers; None if the handshake fails."""
        context = trust(self.up.files("bot") / "ca.crt")
        if shown is not None:
            chain = self.folder / "shown.pem"
            chain.write_text(shown.chain + shown.key)
            context.load_cert_chain(chain)
        headers = [("Authorization", f"Bearer {token}")] if token else []
        headers += [("X-API-Key", key)] if key else []
        try:
            connection = await Connection.open(self.up.ports[0], self.up.host(endpoint), context)
            try:
                raw = request("GET", path, self.up.host(endpoint), headers=headers)
                return (await connection.send(raw)).status
            finally:
                await connection.close()
        except (OSError, asyncio.IncompleteReadError):
            return None

    async def becomes(self, endpoint: str, status: int, **credentials: Any) -> None:
        async def has() -> bool:
            return await self.call(endpoint, **credentials) == status

        await self.up.until(f"{status} from {endpoint}", has)

    async def explain(
        self, endpoint: str, path: str = HEALTH, *, key: str = "", token: str = "", shown: Presented | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Exit status and the explanation. Nothing of it may repeat a credential."""
        files = {"api-key-file": key, "token-file": token, "certificate": shown.chain + shown.key if shown else ""}
        words = []
        for option, content in files.items():
            if content:
                path_of = self.folder / option
                path_of.write_text(content + "\n")
                words += [f"--{option}", path_of]
        words += ["--operation", f"GET {path}", "--state-dir", self.up.state]
        done = await explained(endpoint, *words, "-o", "json")
        assert done.exit_code in (0, 1), done.output
        for secret in (key[16:], token[-40:]):
            assert not secret or secret not in done.output
        return done.exit_code, json.loads(done.stdout)

    async def agree(self, endpoint: str, expected: int | None, path: str = HEALTH, **credentials: Any) -> str:
        """Gateway and explanation say the same; returns the reasons."""
        assert await self.call(endpoint, path, **credentials) == expected
        code, told = await self.explain(endpoint, path, **credentials)
        assert (code, told["decision"]) == ((0, "allow") if expected == 200 else (1, "deny")), told
        if expected != 200:
            assert told["status"] == expected, told
        return " / ".join(each["reason"] for each in (*told["credentials"], *told["reasons"]))


async def explained(*words: Any) -> Result:
    """The verb in this process: there are many, and each process of its own would import for seconds."""
    return await asyncio.to_thread(CliRunner().invoke, command, [str(each) for each in words])


@pytest.fixture(scope="module")
def world(lasting, tmp_path_factory, tiny) -> World:
    return World(lasting, tmp_path_factory.mktemp("explain"), tiny)


async def test_a_key_is_explained_as_the_gateway_answers(world):
    await world.ready()
    good, unknown = world.up.key("bot"), mint(secrets.token_bytes).text
    assert "good, of default/bot" in await world.agree("keys", 200, key=good)
    assert "does not have the permission metadata" in await world.agree("keys", 403, f"{MODEL}keys", key=good)
    assert "no such operation" in await world.agree("keys", 403, "/v2/nowhere", key=good)
    assert "no client that you may see" in await world.agree("keys", 401, key=unknown)
    assert "checksum is wrong" in await world.agree("keys", 401, key=good[:-1] + ("0" if good[-1] != "0" else "1"))
    stranger = await world.agree("keys", 401, key=world.up.key("stranger"))
    assert "client default/stranger's and is Current, but is not good for this endpoint" in stranger
    assert "no credential that counts was sent" in await world.agree("keys", 401)


async def test_a_token_is_explained_as_the_gateway_answers(world):
    await world.ready()
    now = int(time.time())
    assert "good, of default/corp:" in await world.agree("any", 200, token=world.token())
    expired = world.token(iat=now - 11_000, exp=now - 10_900)
    assert "issuer default/corp: it expired 3h" in await world.agree("any", 401, token=expired)
    for token, expected, reason in [
        (
            world.token(aud="other"),
            401,
            'its audience "other" is not accepted; the issuer\'s tokens must be for "minilm"',
        ),
        (world.token(iss="https://x.example"), 401, 'whose `issuer` is "https://x.example"'),
        (world.token(scope="ml:other"), 403, "does not have the permission health"),
        (Signer("EdDSA", "inline").sign(claims(ISS, AUDIENCE)), 401, "no key of the issuer made its signature"),
        (Signer("EdDSA", "new").sign(claims(ISS, AUDIENCE)), 503, 'no key has the kid "new" yet'),
        (Signer("EdDSA", "old").sign(claims(ISS, AUDIENCE, iat=now - 60)), 401, 'known are "inline"'),
        ("0paque-t0ken", 401, "opaque tokens are not taken"),
        ("one,two", 400, "there is a comma in it"),
    ]:
        assert reason in await world.agree("any", expected, token=token)
    assert "the endpoint takes no tokens" in await world.agree("keys", 401, token=world.token())
    leaked = world.token(jti="leaked")
    await world.agree("any", 200, token=leaked)
    world.denied = {"jti": ["leaked"]}
    world.up.manifest.write_text(world.text())
    await world.becomes("any", 401, token=leaked)
    assert "it is denied by its `jti`" in await world.agree("any", 401, token=leaked)


async def test_a_certificate_is_explained_as_the_gateway_answers(world):
    await world.ready()
    own, key = world.shown("bot"), world.up.key("bot")
    assert "good, of default/bot" in await world.agree("any", 200, shown=own)
    assert "does not have the permission metadata" in await world.agree("any", 403, f"{MODEL}any", shown=own)
    foreign = Pki("foreign").present(Leaf(uris=("spiffe://corp.example/bot",)))
    assert "does not lead to a CA that the endpoint trusts" in await world.agree("any", None, shown=foreign)
    # All of a list.
    assert "API key alone is not enough" in await world.agree("both", 401, key=key)
    assert "certificate alone is not enough" in await world.agree("both", 401, shown=own)
    await world.agree("both", 200, key=key, shown=own)
    assert "the endpoint asks for no certificate" in await world.agree("keys", 401, shown=own)
    # Any of the lists; but what is refused refuses the call.
    await world.agree("any", 200, key=key, token=world.token(), shown=own)
    assert "refuses the call, whatever else" in await world.agree("any", 401, key=key, token=world.token(aud="x"))


async def test_what_is_revoked_is_explained_as_the_gateway_answers(world):
    await world.ready()
    key, shown = world.up.key("leaked"), world.shown("leaked")
    await world.agree("any", 200, key=key)
    await world.agree("any", 200, shown=shown)
    digest = x509.load_pem_x509_certificate(shown.chain.encode()).fingerprint(hashes.SHA256()).hex()
    world.clients["leaked"]["apiKey"] = {"revokedKeyIds": [key.split("_")[1]]}
    world.clients["leaked"]["certificate"] = {"revokedDigests": [digest]}
    world.up.manifest.write_text(world.text())
    await world.becomes("any", 401, key=key)
    await world.becomes("any", 401, shown=shown)
    assert "revoked" in await world.agree("any", 401, key=key)
    assert "this certificate of client default/leaked was revoked" in await world.agree("any", 401, shown=shown)


async def test_a_credential_comes_from_standard_input_and_people_get_sentences(world):
    await world.ready()
    words = ["explain", "keys", "--state-dir", str(world.up.state), "--operation", "health"]
    typed = [sys.executable, "-m", "nightlatch", *words, "--api-key-file", "-"]
    done = await asyncio.to_thread(
        subprocess.run, typed, input=world.up.key("stranger") + "\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "DENIED: the caller gets 401 unauthenticated" in done.stdout
    assert "what to do: name default/keys in spec.endpoints of the client" in done.stdout
    assert "not looked at: rate limits" in done.stdout
    assert world.up.key("stranger") not in done.stdout + done.stderr
