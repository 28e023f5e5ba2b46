"""What new policies and configurations do to the native gate while it serves."""

import asyncio
import base64
import concurrent.futures
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.embedded.envoy_fixture import until
from tests.embedded.gate_lab import ECDS, EVERYTHING, HOSTS, INFER, RDS, GateLab, Key, policy

ONE, TWO = HOSTS[:2]
LIMITED = {
    "limits": {"slow": {"requests": 1, "perMilliseconds": 60000, "burst": 1}},
    "clients": [{"id": "search/bot", "permissions": ["infer"], "limit": "slow"}],
}


@pytest.fixture(scope="module")
def key():
    return Key()


@pytest.fixture(scope="module")
def running(tmp_path_factory, key):
    lab = GateLab(tmp_path_factory.mktemp("gate"))
    try:
        lab.start(one=policy(key), two=policy(key, name="search/two"))
        yield lab
    finally:
        lab.stop()


@pytest.fixture
def lab(running, key):
    """Each test begins with the same policies and configuration."""
    running.outcome(ECDS, running.configure)
    for name in ("one", "two"):
        running.outcome(RDS, lambda name=name: running.route(name, policy(key, name=f"search/{name}")))
    return running


def issuer(name):
    """As the operator writes it, with one key."""
    point = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(number.to_bytes(32)).rstrip(b"=").decode() for number in (point.x, point.y))
    return {
        "name": name,
        "issuer": "https://id.example",
        "audiences": ["minilm"],
        "algorithms": ["ES256"],
        "clockSkewMilliseconds": 0,
        "maxLifetimeMilliseconds": 600_000,
        "identityFrom": ["sub"],
        "permissionsFrom": {"claim": ["scope"], "map": {}},
        "requiredClaims": [],
        "senderConstrained": "IfBound",
        "keys": [{"kty": "EC", "crv": "P-256", "kid": "k1", "x": x, "y": y}],
    }


def put(lab, name, value):
    return lab.outcome(RDS, lambda: lab.route(name, value))[0]


def test_a_policy_that_cannot_be_read_is_refused_alone_and_the_last_one_stays(lab, key):
    assert put(lab, "one", {"format": 2, "endpoint": "search/one", "sequence": 1}) == "NACK"
    assert put(lab, "one", "{") == "NACK"
    assert lab.call(key).status == 200
    stranger = Key()
    assert put(lab, "two", policy(stranger, name="search/two")) == "ACK"
    assert lab.call(stranger, host=TWO).status == 200
    assert lab.call(key, host=TWO).status == 401


def test_a_removed_key_and_a_denial_are_in_force_with_the_ack_on_an_open_connection(lab, key):
    request = f"POST {INFER} HTTP/1.1\r\nHost: {ONE}\r\nContent-Length: 0\r\nX-API-Key: {key.text}\r\n\r\n".encode()

    def status(tls):
        tls.sendall(request)
        time.sleep(0.1)
        return tls.recv(4096).split(b" ")[1]

    with lab.connect() as tls:
        assert status(tls) == b"200"
        assert put(lab, "one", policy(Key())) == "ACK"
        assert status(tls) == b"401"
        assert put(lab, "one", policy(key, denied={"code": "PolicyUnreadable"})) == "ACK"
        assert status(tls) == b"503"


def test_a_limit_outlives_every_push(lab, key):
    name = "search/limited"
    answers = []
    for sequence in range(8):
        put(lab, "one", policy(key, name=name, sequence=sequence, **LIMITED))
        answers.append(lab.call(key).status)
        if sequence == 3:
            put(lab, "one", policy(name=name, denied={"code": "PolicyUnreadable"}))
        if sequence == 5:
            lab.outcome(ECDS, lambda: lab.configure(revoked={"clients": ["search/other"]}))
    assert answers == [200] + [429] * 7
    refused = lab.call(key)
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert (refused.headers["ratelimit-limit"], refused.headers["ratelimit-remaining"]) == ("1", "0")


def test_a_revocation_of_the_gateway_reaches_every_endpoint_in_one_push(lab, key):
    for revoked in ({"keys": [key.id]}, {"clients": ["search/bot"]}):
        assert lab.outcome(ECDS, lambda revoked=revoked: lab.configure(revoked=revoked))[0] == "ACK"
        assert (lab.call(key).status, lab.call(key, host=TWO).status) == (401, 401)
    assert lab.outcome(ECDS, lab.configure)[0] == "ACK"
    assert lab.call(key).status == 200


def test_a_gate_without_news_denies_by_itself(lab, key):
    soon = int(time.time()) + 2
    lab.outcome(ECDS, lambda: lab.configure(validUntil=soon))
    assert lab.call(key).status == 200
    stale = until(lambda: (answer := lab.call(key)).status == 503 and answer, "the gate is stale")
    assert stale.json()["code"] == "policy_stale"
    assert time.time() >= soon
    lab.outcome(ECDS, lab.configure)
    put(lab, "one", policy(key, validUntil=int(time.time()) - 1))
    assert (lab.call(key).status, lab.call(key, host=TWO).status) == (503, 200)


def test_a_bad_issuer_is_refused_alone_and_reported(lab, key):
    good = issuer("ids/good")
    bad = {**issuer("ids/bad"), "keys": []}
    assert lab.outcome(ECDS, lambda: lab.configure(issuers=[bad, good]))[0] == "ACK"
    assert lab.call(key).status == 200

    def states():
        stats = lab.stats("issuer_refused")
        return {name.rpartition("issuer.")[2]: value for name, value in stats.items()}

    assert states() == {"ids/good": 0, "ids/bad": 1}
    assert lab.outcome(ECDS, lambda: lab.configure(issuers=[issuer("ids/bad"), good]))[0] == "ACK"
    assert states() == {"ids/good": 0, "ids/bad": 0}


def test_a_configuration_that_cannot_be_read_is_refused_and_the_last_one_stays(lab, key):
    assert lab.outcome(ECDS, lambda: lab.configure(format=2))[0] == "NACK"
    assert lab.outcome(ECDS, lambda: lab.configure(errors={}))[0] == "NACK"
    assert (lab.call(key).status, lab.call().status) == (200, 401)


def test_calls_in_flight_are_counted_until_they_are_complete(lab, key):
    async def hold():
        lab.held = asyncio.Event()

    async def release():
        lab.held.set()

    def in_flight():
        return lab.in_flight("search/one")

    lab.loop.run(hold())
    with concurrent.futures.ThreadPoolExecutor() as pool:
        calls = [pool.submit(lab.call, key) for _ in range(5)]
        until(lambda: in_flight() == 5, "five calls are in flight")
        lab.call()
        lab.outcome(ECDS, lambda: lab.configure(validUntil=int(time.time()) + 600))
        put(lab, "one", policy(key, sequence=2))
        assert in_flight() == 5
        with lab.connect() as tls:
            tls.sendall(
                f"POST {INFER} HTTP/1.1\r\nHost: {ONE}\r\nContent-Length: 0\r\nX-API-Key: {key.text}\r\n\r\n".encode()
            )
            until(lambda: in_flight() == 6, "a sixth call is in flight")
        until(lambda: in_flight() == 5, "its caller hung up")
        lab.loop.run(release())
        assert [call.result().status for call in calls] == [200] * 5
    until(lambda: in_flight() == 0, "none is in flight")
    lab.held = None


def test_an_admitted_call_is_logged_whole_only_where_that_is_asked_for(lab, key):
    assert lab.outcome(ECDS, lambda: lab.configure(audit={**EVERYTHING, "allowsPerMillion": 0}))[0] == "ACK"
    lab.call(key)
    lab.call()
    refused = until(lambda: [each for each in lab.lines() if each["decision"] == "deny"], "the refusal is logged", 12)
    admitted = [each for each in lab.lines() if each["status"] == 200 and each["decision"] is None]
    assert refused
    assert admitted[-1]["client"] is None
