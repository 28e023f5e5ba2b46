"""JSON Web Tokens from the manifest to the answer: `nightlatch up`, the real Envoy, a provider that serves its keys."""

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

import pytest

from nightlatch.api.meta import INFERENCE_ENDPOINT, TOKEN_ISSUER
from nightlatch.store.files.store import FilesStore
from tests.attack.provider import JWKS, Provider
from tests.attack.tokens import Signer, claims
from tests.embedded.raw_http import Connection, request, trust

HEALTH = "/v2/health/ready"
AUDIENCE = "minilm"
ENDPOINTS = {
    "tokens": {
        "jwt": {"issuers": [{"name": "corp"}, {"name": "inline"}]},
        "rules": [{"permissions": ["health"], "when": {"claims": {"realm_access.roles": ["ml-users"]}}}],
    },
    "either": {"apiKey": {}, "jwt": {"issuers": [{"name": "corp"}]}},
    "nobody": {"jwt": {"issuers": [{"name": "missing"}]}},
}


class Tokens:
    """An `up` with these endpoints and an issuer whose provider the tests run, and whose manifest they edit."""

    def __init__(self, start, folder: Path, model: Path) -> None:
        self.signer, self.inline = Signer("ES256", "first"), Signer("EdDSA", "inline")
        self.provider = Provider(folder, self.signer)
        self._model = model
        self.issuers = {
            "corp": {
                "issuer": self.provider.iss,
                "audiences": [AUDIENCE],
                "keys": {"discovery": True},
                "caSecretRef": {"name": "corp-ca"},
                "permissionsFrom": {"map": {"ml:infer": ["infer"], "ml:read": ["metadata", "health"]}},
                "maxLifetime": "1h",
                "refresh": "30s",
                "maxStale": "1m",
            },
            "inline": {
                "issuer": "https://inline.example",
                "audiences": [AUDIENCE],
                "keys": {"inline": {"keys": [self.inline.jwk]}},
                "permissionsFrom": {"map": {"ml:read": ["health"]}},
            },
        }
        self.up = start(self._text(), arguments=["--trust", f"corp-ca={self.provider.ca}"])

    def _text(self) -> str:
        model = {"source": {"path": str(self._model)}}
        client = {"endpoints": [{"name": "either", "permissions": ["infer", "health"]}], "apiKey": {}}
        objects = [
            *(("InferenceEndpoint", name, {"model": model, "access": access}) for name, access in ENDPOINTS.items()),
            *(("TokenIssuer", name, spec) for name, spec in self.issuers.items()),
            ("InferenceClient", "bot", client),
        ]
        shared = {"apiVersion": "nightlatch.dev/v1alpha1"}
        return "---\n".join(
            json.dumps({**shared, "kind": kind, "metadata": {"name": name}, "spec": spec}) + "\n"
            for kind, name, spec in objects
        )

    def save(self, issuer: str, **changes) -> None:
        self.issuers[issuer] = {**self.issuers[issuer], **changes}
        self.up.manifest.write_text(self._text())

    def token(self, signer: Signer | None = None, *, kid: str = "", **changes) -> str:
        signer = signer or self.signer
        return signer.sign(claims(self.provider.iss, AUDIENCE, **changes), kid=kid or signer.kid)

    def inline_token(self, **changes) -> str:
        return self.inline.sign(claims("https://inline.example", AUDIENCE, **changes))

    async def connect(self, endpoint: str) -> Connection:
        context = trust(self.up.files("bot") / "ca.crt")
        return await Connection.open(self.up.ports[0], self.up.host(endpoint), context)

    async def ask(self, connection: Connection, endpoint: str, token: str, *, path: str = HEALTH, key: str = "") -> int:
        headers = [("Authorization", f"Bearer {token}")] if token else []
        headers += [("X-API-Key", key)] if key else []
        return (await connection.send(request("GET", path, self.up.host(endpoint), headers=headers))).status

    async def call(self, endpoint: str, token: str, **options) -> int:
        connection = await self.connect(endpoint)
        try:
            return await self.ask(connection, endpoint, token, **options)
        finally:
            await connection.close()

    async def becomes(self, status: int, endpoint: str, token: str, timeout_s: float = 30.0) -> float:
        """Wait until the call has this status; returns the seconds that it took."""
        begun = time.monotonic()

        async def has() -> bool:
            return await self.call(endpoint, token) == status

        await self.up.until(f"{status} from {endpoint}", has, timeout_s)
        return time.monotonic() - begun

    async def ready(self) -> None:
        await self.up.started()
        await self.up.until("the CA", (self.up.files("bot") / "ca.crt").exists)
        for name in ("tokens", "either"):
            await self.up.until(f"{name} to be Ready", lambda name=name: self.up.is_ready(name))

    async def condition(self, kind, name: str, type_: str) -> tuple[str, str]:
        status = await self.status(kind, name)
        found = next((each for each in status.get("conditions", ()) if each["type"] == type_), {})
        return found.get("status", ""), found.get("reason", "")

    async def status(self, kind, name: str) -> dict:
        store = FilesStore(self.up.probe.layout.root, read_only=True)
        return (await store.get(kind, "default", name)).get("status") or {}

    async def until_condition(self, kind, name: str, type_: str, expected: tuple[str, str], timeout_s=60.0) -> None:
        async def is_so() -> bool:
            return await self.condition(kind, name, type_) == expected

        await self.up.until(f"{name} {type_} {expected}", is_so, timeout_s)


@pytest.fixture(scope="module")
def tokens(lasting, tmp_path_factory, tiny):
    tokens = Tokens(lasting, tmp_path_factory.mktemp("tokens"), tiny)
    yield tokens
    tokens.provider.stop()


async def test_a_token_permits_what_its_scope_and_the_endpoints_rules_say(tokens):
    await tokens.ready()
    for token, expected in [
        (tokens.token(), 200),
        (tokens.token(scope=["ml:read"]), 200),
        (tokens.token(scope="ml:infer"), 403),
        (tokens.token(scope="ml:reader"), 403),
        (tokens.token(scope=None, realm_access={"roles": ["ml-users"]}), 200),
        (tokens.token(scope=None, realm_access={"roles": ["ml-users2"]}), 403),
        (tokens.inline_token(), 200),
        (tokens.token(aud="other"), 401),
        (tokens.token(exp=int(time.time()) + 7200), 401),
        # An old one: the key of a new one might be on its way.
        (tokens.token(iss="https://inline.example", iat=int(time.time()) - 60), 401),
        ("", 401),
    ]:
        assert await tokens.call("tokens", token) == expected
    assert await tokens.call("either", tokens.inline_token()) == 401, "an issuer that this endpoint does not name"


async def test_a_token_or_a_key_is_enough_and_a_bad_one_beside_a_good_one_is_not(tokens):
    await tokens.ready()
    key = tokens.up.key("bot")
    for token, with_key, expected in [
        (tokens.token(), "", 200),
        ("", key, 200),
        (tokens.token(), key, 200),
        (tokens.token(aud="other"), key, 401),
        (tokens.token(), f"{key}0", 401),
    ]:
        assert await tokens.call("either", token, key=with_key) == expected


async def test_the_status_says_which_keys_are_in_use_and_what_is_missing(tokens):
    await tokens.ready()
    status = await tokens.status(TOKEN_ISSUER, "corp")
    assert [(each["kid"], each["alg"]) for each in status["keys"]] == [("first", "ES256")]
    assert await tokens.condition(TOKEN_ISSUER, "corp", "Ready") == ("True", "Ready")
    assert await tokens.condition(INFERENCE_ENDPOINT, "tokens", "IssuersReady") == ("True", "IssuersReady")
    await tokens.until_condition(INFERENCE_ENDPOINT, "nobody", "IssuersReady", ("False", "IssuerNotFound"))
    assert await tokens.call("nobody", tokens.token()) == 401


async def test_a_leaked_token_is_refused_on_an_open_connection_once_it_is_denied(tokens):
    await tokens.ready()
    now = int(time.time())
    leaked, other = tokens.token(jti="leaked", sub="mallory", sid="s1", iat=now - 30), tokens.token()
    for denied in (
        {"jti": ["leaked"]},
        {"sub": ["mallory"]},
        {"sid": ["s1"]},
        {"issuedBefore": [{"sub": "mallory", "time": "2999-01-01T00:00:00Z"}]},
        {"issuedBefore": [{"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - 10))}]},
    ):
        connection = await tokens.connect("tokens")
        assert await tokens.ask(connection, "tokens", leaked) == 200
        tokens.save("corp", denied=denied)

        async def refused(connection=connection):
            return await tokens.ask(connection, "tokens", leaked) == 401

        await tokens.up.until("the leaked token to be refused", refused)
        assert await tokens.ask(connection, "tokens", other) == 200, denied
        await connection.close()
        tokens.save("corp", denied={})
        await tokens.becomes(200, "tokens", leaked)


async def test_a_rotated_key_is_used_soon_after_a_token_by_it_comes_however_many_others_come(tokens):
    await tokens.ready()
    new = Signer("ES256", "second")
    tokens.provider.signers.append(new)
    asked = tokens.provider.asked.count(JWKS)
    flood = [tokens.token(Signer("ES256", f"random-{number}"), iat=int(time.time()) - 60) for number in range(50)]
    connection = await tokens.connect("tokens")
    assert {await tokens.ask(connection, "tokens", each) for each in flood} == {401}
    assert await tokens.ask(connection, "tokens", tokens.token(new)) in (200, 503)
    took = await tokens.becomes(200, "tokens", tokens.token(new))
    assert tokens.provider.asked.count(JWKS) - asked <= 1 + took / 3.0
    assert await tokens.ask(connection, "tokens", tokens.token()) == 200, "the key before is good as well"
    await connection.close()
    tokens.provider.signers.remove(tokens.signer)
    aged = tokens.token(iat=int(time.time()) - 30)
    await asyncio.sleep(3.5)
    await tokens.call("tokens", tokens.token(Signer("ES256", "unheard-of")))
    await tokens.becomes(401, "tokens", aged)
    assert await tokens.call("tokens", tokens.token(new)) == 200
    tokens.provider.signers[:] = [tokens.signer]
    await tokens.becomes(200, "tokens", tokens.token())


async def test_a_rotated_key_is_accepted_within_seconds_while_tokens_with_random_kids_arrive(tokens, times):
    await tokens.ready()
    # Awake, so that the time of the new key is not that of a wake.
    assert await tokens.call("tokens", tokens.token()) == 200
    new, stranger = Signer("ES256", "third"), Signer("ES256", "stranger")
    # Young, so that each of them might be by a key that is on its way.
    made = [tokens.token(stranger, kid=f"random-{number}") for number in range(times(400, soak=10_000))]
    asked, begun = tokens.provider.asked.count(JWKS), time.monotonic()
    answers: Counter[int] = Counter()

    async def flood(share: list[str]) -> None:
        connection = await tokens.connect("tokens")
        for each in share:
            answers[await tokens.ask(connection, "tokens", each)] += 1
        await connection.close()

    flooding = [asyncio.create_task(flood(made[number::4])) for number in range(4)]
    await tokens.up.until("the flood", lambda: answers.total() >= len(made) // 4, 600.0)
    tokens.provider.signers.append(new)
    took = await tokens.becomes(200, "tokens", tokens.token(new))
    assert await tokens.call("tokens", tokens.token()) == 200
    await asyncio.gather(*flooding)
    fetches, lasted = tokens.provider.asked.count(JWKS) - asked, time.monotonic() - begun
    print(f"{len(made):,} random kids in {lasted:.1f} s: the new key after {took:.1f} s, {fetches} fetches")
    assert set(answers) <= {401, 503}
    assert fetches <= 2 + lasted / 3.0
    tokens.provider.signers.remove(new)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"keys": [Signer("RS256", "weak", bits=1024).jwk]}, "KeyTooWeak"),
        (b"<html>", "AnswerRefused"),
    ],
)
async def test_bad_keys_are_told_and_the_last_good_ones_stay(tokens, answer, reason):
    await tokens.ready()
    before = tokens.provider.answers[JWKS]
    tokens.provider.says(JWKS, answer)
    await asyncio.sleep(3.2)
    await tokens.call("tokens", tokens.token(Signer("ES256", "unheard-of")))
    await tokens.until_condition(TOKEN_ISSUER, "corp", "KeysReady", ("True", "KeysKept"))
    told = next(
        each for each in (await tokens.status(TOKEN_ISSUER, "corp"))["conditions"] if each["type"] == "KeysReady"
    )
    assert reason in told["message"]
    assert await tokens.call("tokens", tokens.token()) == 200
    tokens.provider.answers[JWKS] = before
    await tokens.until_condition(TOKEN_ISSUER, "corp", "KeysReady", ("True", "KeysInUse"))


async def test_an_outage_shorter_than_max_stale_is_none_of_the_calls(tokens, times):
    await tokens.ready()
    tokens.save("corp", maxStale="1h")
    tokens.provider.stop()
    await asyncio.sleep(3.2)
    await tokens.call("tokens", tokens.token(Signer("ES256", "unheard-of")))
    await tokens.until_condition(TOKEN_ISSUER, "corp", "KeysReady", ("True", "KeysKept"))
    answers: Counter[int] = Counter()
    connection, until = await tokens.connect("tokens"), time.monotonic() + times(5, soak=120)
    while time.monotonic() < until:
        answers[await tokens.ask(connection, "tokens", tokens.token())] += 1
    await connection.close()
    tokens.provider.start()
    print(f"{answers.total():,} calls without the provider: {dict(answers)}")
    assert set(answers) == {200}
    await tokens.until_condition(TOKEN_ISSUER, "corp", "KeysReady", ("True", "KeysInUse"))
    tokens.save("corp", maxStale="1m")


async def test_an_outage_longer_than_max_stale_makes_the_tokens_unverifiable_and_no_others(tokens):
    await tokens.ready()
    tokens.provider.stop()
    key = tokens.up.key("bot")
    assert await tokens.call("tokens", tokens.token()) == 200
    await tokens.becomes(503, "tokens", tokens.token(), 90.0)
    assert await tokens.call("tokens", tokens.inline_token()) == 200
    assert await tokens.call("either", tokens.token(), key=key) == 200
    assert await tokens.call("tokens", tokens.token(aud="other")) == 401
    await tokens.until_condition(TOKEN_ISSUER, "corp", "KeysReady", ("False", "KeysTooOld"))
    await tokens.until_condition(INFERENCE_ENDPOINT, "tokens", "IssuersReady", ("False", "IssuerNotReady"))
    tokens.provider.start()
    await tokens.becomes(200, "tokens", tokens.token(), 60.0)
    await tokens.until_condition(INFERENCE_ENDPOINT, "tokens", "IssuersReady", ("True", "IssuersReady"))
