"""How keys are fetched: from allowed addresses alone, bounded, without redirects; and how often."""

import asyncio
import time
from ipaddress import ip_network

import pytest

from nightlatch.api.conditions import Reason
from nightlatch.api.meta import NamespacedName
from nightlatch.controller.issuer_keys import key_sets as module
from nightlatch.controller.issuer_keys import provider as provider_module
from nightlatch.controller.issuer_keys.addresses import LOOPBACK, AllowedAddresses
from nightlatch.controller.issuer_keys.key_sets import KeySets
from nightlatch.controller.issuer_keys.provider import LARGEST, Provider, ProviderError
from nightlatch.planning.issuer.key_source import DISCOVERY_PATH, Fetched, KeySource, Published
from tests.attack import provider as fake
from tests.attack.tokens import Signer

CORP, OTHER = NamespacedName("ids", "corp"), NamespacedName("ids", "other")


@pytest.mark.parametrize(
    ("address", "admitted"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("0.0.0.0", False),  # noqa: S104 - an address to refuse
        ("10.0.0.1", False),
        ("172.16.5.4", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("ff02::1", False),
        ("255.255.255.255", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:a00:1::1", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_only_public_addresses_are_allowed(address, admitted):
    assert AllowedAddresses().admit(address) is admitted


def test_an_administrator_allows_networks_by_name_and_nothing_beside_them():
    allowed = AllowedAddresses((ip_network("10.96.0.0/12"),))
    assert all(map(allowed.admit, ("10.96.0.1", "::ffff:10.96.0.1")))
    assert not any(map(allowed.admit, ("10.95.255.255", "127.0.0.1")))


@pytest.fixture
def provider(tmp_path):
    provider = fake.Provider(tmp_path, Signer("ES256"))
    yield provider
    provider.stop()


async def fetch(provider, source=None, allowed=LOOPBACK):
    source = source or KeySource(provider.jwks_uri, ca=provider.ca.read_text())
    return (await Provider(AllowedAddresses(allowed)).fetch(source)).content


async def refusal(provider, source=None, allowed=LOOPBACK):
    with pytest.raises(ProviderError) as caught:
        await fetch(provider, source, allowed)
    return caught.value.finding


async def test_a_key_set_is_fetched_by_its_url_and_by_discovery(provider):
    assert b'"keys"' in await fetch(provider)
    ca = provider.ca.read_text()
    found = await fetch(provider, KeySource(provider.iss + DISCOVERY_PATH, provider.iss, ca))
    assert b'"keys"' in found
    assert provider.asked == [fake.JWKS, fake.DISCOVERY, fake.JWKS]


async def test_an_address_that_is_not_allowed_is_never_connected_to(provider):
    finding = await refusal(provider, allowed=())
    assert finding.reason == Reason.ADDRESS_NOT_ALLOWED
    literal = KeySource(f"https://127.0.0.1:{provider.port}/keys", ca=provider.ca.read_text())
    assert (await refusal(provider, literal, ())).reason == Reason.ADDRESS_NOT_ALLOWED
    assert provider.asked == []


async def test_a_discovery_document_leads_to_no_address_that_is_not_allowed(provider):
    provider.says(fake.DISCOVERY, {"issuer": provider.iss, "jwks_uri": "https://169.254.169.254/keys"})
    source = KeySource(provider.iss + DISCOVERY_PATH, provider.iss, provider.ca.read_text())
    assert (await refusal(provider, source)).reason == Reason.ADDRESS_NOT_ALLOWED


async def test_a_provider_whose_certificate_is_not_trusted_is_unreachable(provider):
    finding = await refusal(provider, KeySource(provider.jwks_uri))
    assert (finding.reason, provider.asked) == (Reason.PROVIDER_UNREACHABLE, [])


@pytest.mark.parametrize(
    ("content", "status", "headers", "reason"),
    [
        (b"", 302, {"location": "https://localhost/keys"}, Reason.ANSWER_REFUSED),
        (b"", 307, {"location": "/keys"}, Reason.ANSWER_REFUSED),
        (b"x" * (LARGEST + 1), 200, {}, Reason.ANSWER_REFUSED),
        (b"", 500, {}, Reason.PROVIDER_UNREACHABLE),
        (b"", 404, {}, Reason.PROVIDER_UNREACHABLE),
    ],
)
async def test_an_answer_that_is_no_key_set_is_refused(provider, content, status, headers, reason):
    provider.says(fake.JWKS, content, status, **headers)
    assert (await refusal(provider)).reason == reason
    assert provider.asked == [fake.JWKS], "no redirect is followed"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"issuer": "https://other.example", "jwks_uri": "https://localhost/keys"}, Reason.ISSUER_MISMATCH),
        ({"jwks_uri": "https://localhost/keys"}, Reason.ISSUER_MISMATCH),
        (None, Reason.ANSWER_REFUSED),
        ({"jwks_uri": "http://localhost/keys"}, Reason.ANSWER_REFUSED),
        ({"jwks_uri": 7}, Reason.ANSWER_REFUSED),
    ],
)
async def test_a_discovery_document_must_be_the_issuers_own(provider, document, reason):
    if document is not None and reason == Reason.ANSWER_REFUSED:
        document = {"issuer": provider.iss, **document}
    provider.says(fake.DISCOVERY, b"<html>" if document is None else document)
    source = KeySource(provider.iss + DISCOVERY_PATH, provider.iss, provider.ca.read_text())
    assert (await refusal(provider, source)).reason == reason


async def test_a_provider_that_does_not_answer_in_time_is_left(provider, monkeypatch):
    monkeypatch.setattr(provider_module, "TIMEOUT_S", 0.2)

    def late() -> fake.Answer:
        time.sleep(1)
        return fake.Answer()

    provider.answers[fake.JWKS] = late
    assert (await refusal(provider)).reason == Reason.PROVIDER_UNREACHABLE


class Source:
    """A provider that counts, and fails while `error` is set."""

    def __init__(self):
        self.fetches, self.error, self.content = 0, None, b"one"

    async def fetch(self, _source):
        self.fetches += 1
        if self.error:
            raise self.error
        return Published(self.content)


@pytest.fixture
async def followed(monkeypatch):
    monkeypatch.setattr(module, "COOLDOWN", 0.05)
    monkeypatch.setattr(module, "FIRST_RETRY", 0.05)
    source, changed = Source(), []
    sets = KeySets(source.fetch, changed.append, lambda: 1000.0)
    yield source, sets, changed
    await sets.close()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_one_fetch_serves_all_issuers_of_a_source(followed):
    source, sets, changed = followed
    assert sets.want(CORP, KeySource("https://a/keys"), 60.0) is None
    assert sets.want(OTHER, KeySource("https://a/keys"), 60.0) is None
    await until(lambda: len(changed) == 2)
    assert (source.fetches, sorted(changed)) == (1, [CORP, OTHER])
    assert sets.want(CORP, KeySource("https://a/keys"), 60.0) == Fetched(b"one", 1000)


async def test_however_many_tokens_come_by_unknown_keys_there_is_one_fetch_a_cooldown(followed):
    source, sets, _ = followed
    sets.want(CORP, KeySource("https://a/keys"), 60.0)
    await until(lambda: source.fetches == 1)
    for _ in range(10_000):
        sets.look_again(CORP)
    sets.look_again(OTHER)
    await until(lambda: source.fetches == 2)
    await asyncio.sleep(0.2)
    assert source.fetches == 2


async def test_what_a_provider_gave_stays_while_it_fails_and_is_fetched_again_by_itself(followed):
    source, sets, _ = followed
    source.error = ProviderError(Reason.PROVIDER_UNREACHABLE, "it is down")
    want = lambda: sets.want(CORP, KeySource("https://a/keys"), 60.0)  # noqa: E731
    want()
    await until(lambda: (want() or Fetched()).problem is not None)
    assert want().content is None
    source.error = None
    await until(lambda: want().content == b"one" and want().problem is None)
    source.error = ProviderError(Reason.PROVIDER_UNREACHABLE, "it is down")
    sets.look_again(CORP)
    await until(lambda: want().problem is not None)
    assert want().content == b"one"


async def test_a_source_that_nobody_wants_any_more_is_not_fetched(followed):
    source, sets, _ = followed
    sets.want(CORP, KeySource("https://a/keys"), 0.05)
    await until(lambda: source.fetches >= 2)
    assert sets.want(CORP, None, 0.0) is None
    await asyncio.sleep(0.02)
    fetches = source.fetches
    sets.look_again(CORP)
    await asyncio.sleep(0.2)
    assert source.fetches == fetches
