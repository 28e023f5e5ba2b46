"""The client helper and a real Keycloak: every method of authentication, a login, short tokens, a revoked grant."""

import asyncio
import re
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

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
from nightlatch_client.logged_in import LoggedIn
from nightlatch_client.logins import Logins, folder
from tests.attack.certificates import Leaf
from tests.embedded.command import nightlatch
from tests.embedded.forked import Forked
from tests.embedded.helped_callers import Callers, claims, files_of
from tests.embedded.test_keycloak import ROLES as OF_ROLES
from tests.embedded.tokened_up import ACCESS, ISSUER, TokenedUp, started
from tests.providers.browser import agree
from tests.providers.keycloak import Keycloak
from tools.node.progress import Progress
from tools.providers import keycloak as distribution

pytestmark = pytest.mark.timeout(900)

LIFETIME_S = 30
METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth")
CALLER = "helped-caller"
ROLES = ("ml-infer", "ml-read")
PASSWORD = "not-secret-alice"


@pytest.fixture(scope="module")
def certificate(keycloak, tmp_path_factory) -> Certificate:
    shown = keycloak.pki.present(Leaf(common_name=CALLER))
    return Certificate(*files_of(shown, tmp_path_factory.mktemp("caller")))


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory):
    def made():
        return Keycloak(distribution.distribution(Progress()), tmp_path_factory.mktemp("keycloak"))

    with started("Keycloak", distribution.missing(), made) as server:
        yield server


@pytest.fixture(scope="module")
def clients(keycloak, certificate) -> dict[str, str]:
    """The ids of a client for each method, of one with tokens that are bound to a key, and of one that people use."""
    short = {"access.token.lifespan": str(LIFETIME_S)}
    program = {"serviceAccountsEnabled": True, "roles": ROLES}
    public = x509.load_pem_x509_certificate(certificate.chain.read_bytes()).public_bytes(serialization.Encoding.PEM)
    signed = {
        "token.endpoint.auth.signing.alg": "ES256",
        "jwt.credential.certificate": "".join(public.decode().splitlines()[1:-1]),
    }
    shown = {
        "x509.subjectdn": f"CN={CALLER}",
        "tls.client.certificate.bound.access.tokens": "true",
    }
    people = {"oauth2.device.authorization.grant.enabled": "true", "dpop.bound.access.tokens": "true"}
    return {
        "client_secret_basic": keycloak.add_client(
            "client_secret_basic", secret="not-secret", attributes=short, **program
        ),
        "client_secret_post": keycloak.add_client(
            "client_secret_post", secret="not-secret", attributes=short, **program
        ),
        "private_key_jwt": keycloak.add_client(
            "private_key_jwt", clientAuthenticatorType="client-jwt", attributes=short | signed, **program
        ),
        "tls_client_auth": keycloak.add_client(
            "tls_client_auth", clientAuthenticatorType="client-x509", attributes=short | shown, **program
        ),
        "dpop": keycloak.add_client(
            "dpop", secret="not-secret", attributes=short | {"dpop.bound.access.tokens": "true"}, **program
        ),
        "laptop": keycloak.add_client("laptop", publicClient=True, attributes=short | people),
        "plain": keycloak.add_client(
            "plain",
            publicClient=True,
            attributes=short | {"oauth2.device.authorization.grant.enabled": "true"},
        ),
    }


@pytest.fixture(scope="module")
def world(keycloak, lasting, tiny):
    issuers = {"corp": {"issuer": keycloak.iss, "permissionsFrom": OF_ROLES, **ISSUER}}
    return TokenedUp(lasting, tiny, issuers, {"tokens": ACCESS["tokens"]}, {"corp-ca": keycloak.ca})


def client(keycloak, method: str, certificate: Certificate, **more) -> Client:
    made = {
        "client_secret_post": ClientSecretPost("not-secret"),
        "private_key_jwt": PrivateKeyJwt(certificate.key),
        "tls_client_auth": TlsClientAuth(),
    }
    shown = certificate if method == "tls_client_auth" else None
    proof = made.get(method, ClientSecretBasic("not-secret"))
    return Client(keycloak.iss, method, proof, ca=keycloak.ca, certificate=shown, **more)


@pytest.mark.parametrize("method", METHODS)
async def test_a_program_gets_tokens_by_each_method_of_authentication(
    keycloak, world, clients, certificate, method
) -> None:
    await world.ready()
    token = (await Tokens(client(keycloak, method, certificate)).token_async()).value
    assert claims(token)["azp"] == method
    if method == "tls_client_auth":
        assert claims(token)["cnf"]["x5t#S256"], "bound to the certificate"
    else:
        assert await world.call("tokens", token) == 200


def test_tokens_are_bound_to_a_key(keycloak, clients, certificate) -> None:
    tokens = Tokens(client(keycloak, "dpop", certificate, dpop=True))
    token = tokens.token()
    assert token.kind == "DPoP"
    assert claims(token.value)["cnf"]["jkt"] == tokens._source.key.thumbprint()


async def test_short_tokens_fail_no_call_and_a_revoked_grant_shows_as_itself(
    keycloak, world, clients, certificate, times
) -> None:
    await world.ready()
    tokens = Tokens(client(keycloak, "client_secret_basic", certificate))
    callers = Callers(world, tokens)
    seconds = times(2, soak=20) * LIFETIME_S
    await callers.call_for(seconds)
    print(f"{seconds} s, {len(callers.used)} tokens: {dict(callers.answers)}")
    assert set(callers.answers) == {200}
    assert callers.answers[200] > seconds
    assert 3 <= len(callers.used) <= seconds / (0.5 * LIFETIME_S)

    await asyncio.to_thread(keycloak.change_client, clients["client_secret_basic"], enabled=False)
    deadline = time.monotonic() + LIFETIME_S + 10

    async def keep_calling() -> None:
        while time.monotonic() < deadline:
            # What was given stays good for as long as it lives.
            assert await world.call("tokens", (await tokens.token_async()).value) == 200
            await asyncio.sleep(0.5)

    with pytest.raises(GrantRefusedError) as raised:
        await keep_calling()
    print(f"a disabled client: {raised.value}")
    assert raised.value.error in ("invalid_client", "unauthorized_client")
    assert "not-secret" not in str(raised.value)
    await asyncio.to_thread(keycloak.change_client, clients["client_secret_basic"], enabled=True)


def log_in(keycloak, name: str, folder, *more: str) -> str:
    """Run `nightlatch token login` as CLIENT, and be the person who agrees. Returns what it printed."""
    out = folder / f"{name}.out"
    words = ["--issuer", keycloak.iss, "--client-id", name, "--ca", str(keycloak.ca), "--login", name, *more]
    process = Forked(main, ["token", "login", *words], out)
    deadline = time.monotonic() + 120
    while not (found := re.search(r"or open (\S+)", out.read_text() if out.exists() else "")):
        assert process.poll() is None, out.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    last = agree(found[1], keycloak.ca, username="alice", password=PASSWORD)
    assert process.wait(60) == 0, (out.read_text(), last)
    return out.read_text()


async def test_a_person_logs_in_and_calls_until_the_session_is_ended(
    keycloak, world, clients, tmp_path, monkeypatch
) -> None:
    await world.ready()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    alice = await asyncio.to_thread(keycloak.add_user, "alice", PASSWORD, roles=ROLES)
    said = await asyncio.to_thread(log_in, keycloak, "plain", tmp_path)
    await asyncio.to_thread(log_in, keycloak, "laptop", tmp_path, "--dpop")

    done = nightlatch("token", "--login", "plain")
    assert done.returncode == 0, done.stderr
    token = done.stdout.strip()
    assert (claims(token)["azp"], claims(token)["name"]) == ("plain", "alice alice")
    assert await world.call("tokens", token) == 200
    headers = nightlatch("token", "headers", "--login", "laptop", "GET", "https://minilm.example/x").stdout
    assert claims(headers.split()[2])["cnf"]["jkt"]

    logins = Logins(folder({"XDG_STATE_HOME": str(tmp_path)}))
    await asyncio.sleep(max(0.0, claims(headers.split()[2])["exp"] - time.time() + 1))
    for name in ("plain", "laptop"):
        tokens = Tokens(LoggedIn(logins, name))
        renewed = (await tokens.token_async()).value
        assert renewed not in (token, headers.split()[2])
    await asyncio.to_thread(keycloak.end_sessions, alice)
    await asyncio.sleep(max(0.0, claims(renewed)["exp"] - time.time() + 1))
    for name in ("plain", "laptop"):
        done = nightlatch("token", "headers", "--login", name, "GET", "https://minilm.example/x")
        assert done.returncode == 1
        assert re.search(r"refuses a token: invalid_grant: .*log in again", done.stderr), done.stderr
        kept = logins.read(name)
        assert not [each for each in (kept.access_token, kept.refresh_token) if each in said + done.stderr]
        nightlatch("token", "logout", "--login", name)
        assert logins.read(name) is None
