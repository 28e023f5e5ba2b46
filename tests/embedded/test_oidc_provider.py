"""A second provider that nothing of ours is made for, npm's oidc-provider: ES256, EdDSA, typed tokens, rotation."""

import asyncio

import pytest

from tests.attack.certificates import Leaf
from tests.attack.tokens import Signer
from tests.embedded.tokened_up import ACCESS, BEARERS, ISSUER, MODEL, Load, TokenedUp, started
from tests.providers.oidc_provider import OidcProvider
from tools.node.progress import Progress
from tools.providers import oidc_provider as installed

pytestmark = pytest.mark.timeout(600)

CALLERS = 2
OF_SCOPES = {
    "tokenType": "at+jwt",
    "permissionsFrom": {"map": {"ml:infer": ["infer", "health"], "ml:read": ["metadata"]}},
}


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    def made():
        folder = tmp_path_factory.mktemp("oidc-provider")
        return OidcProvider(installed.program(Progress()), folder, Signer("ES256", "first"))

    with started("oidc-provider", installed.missing(), made) as server:
        yield server


@pytest.fixture(scope="module")
def world(provider, lasting, tiny):
    issuers = {"corp": {"issuer": provider.iss, **ISSUER, **OF_SCOPES}}
    return TokenedUp(lasting, tiny, issuers, ACCESS, {"corp-ca": provider.ca})


async def test_scopes_are_permissions_and_the_audience_counts(provider, world):
    await world.ready()
    infer, read = (provider.token("caller", scope=scope) for scope in ("ml:infer", "ml:read"))
    assert (await world.call("tokens", infer), await world.call("tokens", infer, MODEL)) == (200, 403)
    assert (await world.call("tokens", read), await world.call("tokens", read, MODEL)) == (403, 200)
    assert await world.call("tokens", provider.token("caller", audience="minilm2", scope="ml:infer")) == 401
    assert await world.kids() == ["first"]


async def test_a_token_that_is_bound_to_a_certificate_counts_with_that_certificate_alone(provider, world):
    await world.ready()
    shown, other, stranger = (
        provider.pki.present(Leaf(uris=(each,))) for each in (*BEARERS, "spiffe://corp.example/x")
    )
    bound = provider.token("bound", scope="ml:infer", shown=shown)
    assert await world.call("bound", bound, shown=shown) == 200
    assert await world.call("bound", bound, shown=other) == 401
    assert await world.call("bound", bound, shown=stranger) == 401
    assert await world.call("tokens", bound) == 401


async def test_keys_of_two_kinds_rotate_under_load_without_a_failed_call(provider, world, times):
    await world.ready()
    load = Load()
    asking = [
        asyncio.create_task(world.keep_calling(load, "tokens", lambda: provider.token("caller", scope="ml:infer")))
        for _ in range(CALLERS)
    ]
    rotations = times(1, soak=10)
    for number in range(rotations):
        new = Signer("EdDSA" if number % 2 == 0 else "ES256", f"rotated-{number}")
        provider.keys.append(new)
        await asyncio.to_thread(provider.reread)

        async def is_known(kid=new.kid) -> bool:
            return kid in await world.kids()

        await world.up.until("the new key to be in use", is_known, 120.0)
        provider.signs = new.kid
        await asyncio.to_thread(provider.reread)
        until = load.answers.total() + 200
        await world.up.until("calls by the new key", lambda until=until: load.answers.total() >= until, 120.0)
    load.stopped = True
    await asyncio.gather(*asking)
    print(f"{rotations} rotations: {load.answers.total():,} calls, {load.answers.total() - load.answers[200]} failed")
    assert set(load.answers) == {200}
