"""The client helper and npm's oidc-provider: every method of authentication, a login, short tokens, an outage."""

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from nightlatch.cli import main
from nightlatch_client import (
    Certificate,
    Client,
    ClientSecretBasic,
    ClientSecretPost,
    GrantRefusedError,
    PrivateKeyJwt,
    TlsClientAuth,
    Tokens,
)
from nightlatch_client.answers import Granted
from nightlatch_client.exchange import Exchange
from nightlatch_client.logged_in import LoggedIn, revoke
from nightlatch_client.logins import Logins, folder
from nightlatch_client.signing import SigningKey
from tests.attack.certificates import Leaf
from tests.attack.tokens import Signer
from tests.embedded.command import nightlatch
from tests.embedded.forked import Forked
from tests.embedded.helped_callers import Callers, claims, files_of
from tests.embedded.test_oidc_provider import OF_SCOPES
from tests.embedded.tokened_up import ACCESS, ISSUER, TokenedUp, started
from tests.providers.browser import agree
from tests.providers.oidc_provider import RESOURCE, OidcProvider
from tools.node.progress import Progress
from tools.providers import oidc_provider as installed

pytestmark = pytest.mark.timeout(600)

LIFETIME_S = 30
CALLER = "spiffe://corp.example/caller"
PROGRAM = {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []}
METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth")
DEVICE = ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]
FOR = RESOURCE.format(audience="minilm")


def clients(key: Signer):
    """One for each method, one whose tokens are bound to its key, one that only people use."""
    common = {**PROGRAM, "scope": "ml:infer ml:read", "client_secret": "not-secret"}
    for method in METHODS:
        yield {**common, "client_id": method, "token_endpoint_auth_method": method}
    yield {**common, "client_id": "dpop", "dpop_bound_access_tokens": True}
    yield {**common, "client_id": "laptop", "token_endpoint_auth_method": "none", "grant_types": DEVICE}


@pytest.fixture(scope="module")
def key() -> Signer:
    return Signer("ES256", "of-the-client")


@pytest.fixture(scope="module")
def provider(tmp_path_factory, key):
    folder = tmp_path_factory.mktemp("oidc-provider")
    known = {each["client_id"]: each for each in clients(key)}
    known["private_key_jwt"] |= {"jwks": {"keys": [key.jwk]}, "token_endpoint_auth_signing_alg": "ES256"}
    known["tls_client_auth"] |= {
        "tls_client_auth_san_uri": CALLER,
        "tls_client_certificate_bound_access_tokens": True,
    }
    known["laptop"] |= {"scope": "openid offline_access ml:infer ml:read"}
    known["laptop"].pop("client_secret")

    def made():
        return OidcProvider(
            installed.program(Progress()),
            folder,
            Signer("ES256", "first"),
            clients=list(known.values()),
            lifetime=LIFETIME_S,
            nonces=True,
        )

    with started("oidc-provider", installed.missing(), made) as server:
        yield server


@pytest.fixture(scope="module")
def world(provider, lasting, tiny):
    issuers = {"corp": {"issuer": provider.iss, **ISSUER, **OF_SCOPES}}
    return TokenedUp(lasting, tiny, issuers, {"tokens": ACCESS["tokens"]}, {"corp-ca": provider.ca})


@pytest.fixture
def certificate(provider, tmp_path) -> Certificate:
    return Certificate(*files_of(provider.pki.present(Leaf(uris=(CALLER,))), tmp_path))


def client(provider, method: str, key: Signer, certificate: Certificate, **more) -> Client:
    made = {
        "client_secret_basic": ClientSecretBasic("not-secret"),
        "client_secret_post": ClientSecretPost("not-secret"),
        "private_key_jwt": PrivateKeyJwt(lambda: private(key)),
        "tls_client_auth": TlsClientAuth(),
        "dpop": ClientSecretBasic("not-secret"),
    }
    shown = certificate if method == "tls_client_auth" else None
    given = {"scope": "ml:infer", "resource": FOR, "ca": provider.ca, "certificate": shown} | more
    return Client(provider.iss, method, made[method], **given)


def private(signer: Signer) -> str:
    from cryptography.hazmat.primitives import serialization

    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return signer.key.private_bytes(serialization.Encoding.PEM, *form).decode()


@pytest.mark.parametrize("method", METHODS)
async def test_a_program_gets_tokens_by_each_method_of_authentication(
    provider, world, key, certificate, method
) -> None:
    await world.ready()
    tokens = Tokens(client(provider, method, key, certificate))
    token = (await tokens.token_async()).value
    assert claims(token)["client_id"] == method
    if method == "tls_client_auth":
        assert claims(token)["cnf"]["x5t#S256"], "bound to the certificate"
    else:
        assert await world.call("tokens", token) == 200


def test_tokens_are_bound_to_a_key_with_the_nonces_that_the_provider_wants(provider, key, certificate) -> None:
    made = client(provider, "dpop", key, certificate, dpop=True)
    exchange = Exchange(made, key=SigningKey.generate())
    for _ in range(3):
        granted = exchange.grant({"grant_type": "client_credentials", **made.wishes()})
        assert isinstance(granted, Granted), granted
        assert granted.token.kind == "DPoP"
        assert claims(granted.token.value)["cnf"] == {"jkt": exchange.key.thumbprint()}


def test_a_wrong_secret_shows_as_itself(provider) -> None:
    tokens = Tokens(Client(provider.iss, "client_secret_basic", ClientSecretBasic("wrong-secret"), ca=provider.ca))
    with pytest.raises(GrantRefusedError) as raised:
        tokens.token()
    assert raised.value.error == "invalid_client"
    assert "wrong-secret" not in str(raised.value)


async def test_short_tokens_and_an_outage_of_the_provider_fail_no_call(
    provider, world, key, certificate, times
) -> None:
    await world.ready()
    tokens = Tokens(client(provider, "private_key_jwt", key, certificate))
    callers = Callers(world, tokens)
    seconds = times(2, soak=20) * LIFETIME_S
    begun = time.monotonic()
    calling = asyncio.create_task(callers.call_for(seconds))
    # While the token is to be renewed, there is nobody to ask.
    await asyncio.sleep(0.5 * LIFETIME_S)
    provider.stop()
    await asyncio.sleep(0.3 * LIFETIME_S)
    await asyncio.to_thread(provider.start)
    away = time.monotonic() - begun - 0.5 * LIFETIME_S
    await calling
    print(f"{seconds} s, {len(callers.used)} tokens, the provider away for {away:.0f} s: {dict(callers.answers)}")
    assert set(callers.answers) == {200}
    assert callers.answers[200] > seconds
    assert 3 <= len(callers.used) <= seconds / (0.5 * LIFETIME_S)


def test_a_person_logs_in_and_programs_use_the_login_until_it_is_revoked(provider, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    out = tmp_path / "said"
    words = ("--issuer", provider.iss, "--client-id", "laptop", "--ca", provider.ca, "--resource", FOR)
    asked = ["token", "login", *map(str, words), "--scope", "openid offline_access ml:infer", "--dpop"]
    process = Forked(main, asked, out)
    deadline = time.monotonic() + 60
    while not (found := re.search(r"or open (\S+)", out.read_text() if out.exists() else "")):
        assert process.poll() is None, out.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    code = re.search(r"^ +([A-Z-]+)$", out.read_text(), re.MULTILINE)[1]
    last = agree(found[1], provider.ca, user_code=code, login="alice", password="any")
    assert process.wait(60) == 0, (out.read_text(), last)

    done = nightlatch("token")
    assert done.returncode == 1
    assert "bound to a key" in done.stderr, "curl could not use it"
    done = nightlatch("token", "headers", "GET", "https://minilm.example/x")
    assert re.match(r"Authorization: DPoP \S+\nDPoP: \S+\n$", done.stdout), done.stderr
    first = claims(done.stdout.split()[2])
    assert (first["sub"], first["aud"]) == ("alice", "minilm")

    logins = Logins(folder({"XDG_STATE_HOME": str(tmp_path)}))
    refresh = logins.read("default").refresh_token
    users = [Tokens(LoggedIn(logins)) for _ in range(4)]
    time.sleep(max(0.0, first["exp"] - time.time() + 1))
    with ThreadPoolExecutor(4) as pool:
        got = set(pool.map(lambda each: each(), users))
    assert len(got) == 1, "one of them has renewed the login for all"
    assert claims(got.pop())["cnf"] == first["cnf"], "the key is the login's"
    assert logins.read("default").refresh_token != refresh, "this provider gives another each time"

    kept = logins.read("default")
    assert revoke(logins, "default") == ""
    time.sleep(max(0.0, kept.asked_at + LIFETIME_S - time.time() + 1))
    with pytest.raises(GrantRefusedError, match=r"invalid_grant.*log in again"):
        Tokens(LoggedIn(logins)).token()
    done = nightlatch("token", "headers", "GET", "https://minilm.example/x")
    assert (done.returncode, "invalid_grant" in done.stderr) == (1, True)
    assert nightlatch("token", "logout").returncode == 0
    assert logins.read("default") is None
    secrets = (kept.access_token, kept.refresh_token, refresh)
    assert not [each for each in secrets if each in out.read_text() + done.stderr + done.stdout]
