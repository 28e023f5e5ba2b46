"""A real Keycloak as the provider: client credentials, roles, tokens bound to certificates, keys rotated under load."""

import asyncio
import time

import pytest

from tests.attack.certificates import Leaf
from tests.embedded.tokened_up import ACCESS, BEARERS, BOTH, HEALTH, ISSUER, MODEL, Load, TokenedUp, started
from tests.providers.keycloak import Keycloak
from tools.node.progress import Progress
from tools.providers import keycloak as distribution

pytestmark = pytest.mark.timeout(900)

CALLERS = 4
ROLES = {
    "claim": "realm_access.roles",
    "map": {"ml-infer": ["infer", "health"], "ml-read": ["metadata"]},
}
STRICT = {"strict": {"jwt": {"issuers": [{"name": "strict"}]}, **BOTH}}


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory):
    def made():
        return Keycloak(distribution.distribution(Progress()), tmp_path_factory.mktemp("keycloak"))

    with started("Keycloak", distribution.missing(), made) as server:
        yield server


@pytest.fixture(scope="module")
def world(keycloak, lasting, tiny):
    corp = {"issuer": keycloak.iss, "permissionsFrom": ROLES, **ISSUER}
    issuers = {"corp": corp, "strict": {**corp, "senderConstrained": "Always"}}
    return TokenedUp(lasting, tiny, issuers, ACCESS | STRICT, {"corp-ca": keycloak.ca})


async def test_realm_roles_are_permissions_and_the_audience_counts(keycloak, world):
    await world.ready()
    caller, reader = keycloak.token("caller"), keycloak.token("reader")
    assert (await world.call("tokens", caller), await world.call("tokens", caller, MODEL)) == (200, 200)
    # This client's tokens are signed by ES256, the others by RS256.
    assert (await world.call("tokens", reader), await world.call("tokens", reader, MODEL)) == (403, 200)
    assert await world.call("tokens", keycloak.token("elsewhere")) == 401, "a token for another audience"
    assert sorted(await world.kids()) == sorted(keycloak.published())
    assert len(await world.kids()) == 2


async def test_a_token_that_is_bound_to_a_certificate_counts_with_that_certificate_alone(keycloak, world):
    await world.ready()
    shown, other, stranger = (
        keycloak.pki.present(Leaf(uris=(each,))) for each in (*BEARERS, "spiffe://corp.example/x")
    )
    bound, free = keycloak.token("bound", shown), keycloak.token("caller")
    assert await world.call("bound", bound, shown=shown) == 200
    assert await world.call("bound", bound, shown=other) == 401
    assert await world.call("bound", bound) == 401
    assert await world.call("tokens", bound) == 401, "without mTLS nothing proves who holds it"
    assert await world.call("bound", free, shown=other) == 200, "a token that is not bound, beside a known certificate"
    assert await world.call("bound", free, shown=stranger) == 401
    assert await world.call("strict", bound, shown=shown) == 200
    assert await world.call("strict", free, shown=shown) == 401, "senderConstrained: Always"


async def test_signing_keys_rotate_under_load_without_a_failed_call(keycloak, world, times):
    await world.ready()
    load = Load()
    asking = [
        asyncio.create_task(world.keep_calling(load, "tokens", lambda: keycloak.token("caller")))
        for _ in range(CALLERS)
    ]
    rotations = times(1, soak=20)
    for number in range(rotations):
        name, before = f"rotated-{number}", set(await world.kids())
        # Published first, so that every gateway knows the key before a token is signed by it.
        component = await asyncio.to_thread(keycloak.add_key, name, priority=200 + number, active=False)

        async def is_known(before=before) -> bool:
            return bool(set(await world.kids()) - before)

        await world.up.until("the new key to be in use", is_known, 120.0)
        called = load.answers.total()
        await asyncio.to_thread(keycloak.activate_key, component, name, priority=200 + number)
        until = load.answers.total() + 200
        await world.up.until("calls by the new key", lambda until=until: load.answers.total() >= until, 120.0)
        assert load.answers.total() > called
    load.stopped = True
    await asyncio.gather(*asking)
    print(f"{rotations} rotations: {load.answers.total():,} calls, {load.answers.total() - load.answers[200]} failed")
    assert set(load.answers) == {200}


async def test_a_key_that_signs_at_once_is_accepted_within_seconds_and_refused_for_good_when_it_leaves(keycloak, world):
    await world.ready()
    await asyncio.to_thread(keycloak.add_key, "at-once", priority=900, active=True)
    begun = time.monotonic()
    token = await asyncio.to_thread(keycloak.token, "caller")
    # Its key may be on its way, so a caller is told to come again, and not that the token is bad.
    assert await world.call("tokens", token) in (200, 503)
    await world.until_call(200, "tokens", token)
    print(f"accepted {time.monotonic() - begun:.1f} s after it was made")
    await asyncio.to_thread(keycloak.remove_key, "at-once")
    # Nobody asks for unknown keys meanwhile, so this is the time of `refresh`.
    await world.until_call(401, "tokens", token, 120.0)
    assert await world.call("tokens", await asyncio.to_thread(keycloak.token, "caller"), HEALTH) == 200


async def test_an_outage_of_the_provider_is_none_of_the_calls(keycloak, world):
    await world.ready()
    token = await asyncio.to_thread(keycloak.token, "caller")
    keycloak.stop()
    begun = time.monotonic()
    while time.monotonic() < begun + 5:
        assert await world.call("tokens", token) == 200
