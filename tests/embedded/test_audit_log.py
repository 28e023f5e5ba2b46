"""What the audit log says of refusals and of calls that are let through, and how much of it is written."""

import json
import re
import secrets
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.routing.ir import AuditLog, GateIR, IssuerIR, Serving
from nightlatch.wire.route_document import RateTier
from tests.embedded.envoy_fixture import Caller, Gateway, until

KEY = NamespacedName("search", "minilm")
HOST = "minilm.search.localhost"
INFER = "/v2/models/minilm/infer"
BOT = Caller("bot", secrets.token_bytes, "infer", "metadata")
READER = Caller("reader", secrets.token_bytes, "metadata")
LIMITED = Caller("limited", secrets.token_bytes, "metadata", tier="small")
REFUSALS_PER_SECOND = 20


@pytest.fixture
def gateway(tmp_path, request):
    percent = getattr(request, "param", 100)
    audit = AuditLog(str(tmp_path / "audit.log"), REFUSALS_PER_SECOND, percent)
    gateway = Gateway(tmp_path, "--file-flush-interval-msec", "100", audit=audit)
    try:
        model = gateway.model_server(KEY)
        document = gateway.document(
            KEY,
            sequence=17,
            keys=tuple(each.grant for each in (BOT, READER, LIMITED)),
            rate_tiers={"small": RateTier(1, 3600.0, 1)},
        )
        denied = gateway.document(NamespacedName("search", "denied"), denied="policy_invalid")
        gateway.put([document, denied], {KEY: Serving(hold=False, addresses=(model.address,))})
        yield gateway
    finally:
        gateway.stop()


def lines(gateway):
    path = gateway.folder / "audit.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def logged(gateway, number):
    return until(lambda: (found := lines(gateway)) and len(found) >= number and found, f"{number} lines")


def stats(gateway, pattern):
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(str(gateway.folder / "admin.sock"))
        plain.sendall(f"GET /stats?filter={pattern} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
        response = HTTPResponse(plain)
        response.begin()
        found = (line.rsplit(": ", 1) for line in response.read().decode().splitlines() if ": " in line)
        return {name: int(value) for name, value in found}


def key(caller):
    return {"x-api-key": caller.key}


def test_each_kind_of_refusal_and_a_call_that_is_let_through_have_their_line(gateway):
    with gateway.client(HOST) as client:
        client.get("/v2")
        client.get("/v2", headers={**key(BOT), "authorization": "Bearer a.b.c"})
        client.get("/v2", headers=[("x-api-key", BOT.key), ("x-api-key", BOT.key)])
        client.post(INFER, headers=key(READER))
        client.get("/v2", headers=key(LIMITED))
        client.get("/v2", headers=key(LIMITED))
        client.post(INFER, headers=key(BOT), content=b"a secret of the caller")
    with gateway.client("denied.search.localhost") as client:
        client.get("/v2", headers=key(BOT))
    with gateway.client("other.search.localhost", sni=HOST) as client:
        client.get("/v2", headers=key(BOT))
    found = logged(gateway, 9)
    told = [
        tuple(line.get(name) for name in ("status", "decision", "code", "endpoint", "client", "permission"))
        for line in found
    ]
    minilm = str(KEY)
    assert told == [
        (401, "deny", "unauthenticated", minilm, None, None),
        (401, "deny", "unauthenticated", minilm, None, None),
        (400, "deny", "invalid_request", minilm, None, None),
        (403, "deny", "insufficient_scope", minilm, "search/reader", None),
        (200, "allow", None, minilm, "search/limited", "metadata"),
        (429, "deny", "rate_limited", minilm, "search/limited", None),
        (200, "allow", None, minilm, "search/bot", "infer"),
        (503, "deny", "policy_invalid", "search/denied", None, None),
        (421, "deny", "misdirected_request", told[8][3], None, None),
    ]
    allow = found[6]
    assert (allow["credential"], allow["method"], allow["rule"]) == (BOT.grant.key_id, "apiKey", "apiKey")
    assert (allow["sequence"], allow["host"], allow["peer"]) == ("17", HOST, "127.0.0.1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", allow["time"])
    assert len({line["request"] for line in found}) == len(found)


def test_no_credential_no_path_and_no_body_is_in_the_log(gateway):
    with gateway.client(HOST) as client:
        client.get(f"/v2?key={BOT.key}")
        client.get(f"/v2/{BOT.key}", headers=key(BOT))
        client.post(INFER, headers={**key(BOT), "x-request-id": "chosen-by-the-caller"}, content=b"a secret")
    text = json.dumps(logged(gateway, 3))
    for secret in (BOT.key.split("_")[2], BOT.grant.sha256, "a secret", "/v2", "chosen-by-the-caller"):
        assert secret not in text


@pytest.mark.parametrize("gateway", [0], indirect=True)
def test_refusals_are_written_up_to_a_rate_and_the_rest_is_counted(gateway):
    calls = 1000

    def refused(_):
        with gateway.client(HOST) as client:
            return [client.get("/v2").status_code for _ in range(calls // 10)]

    start = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        assert {status for each in pool.map(refused, range(10)) for status in each} == {401}
    took = time.monotonic() - start
    with gateway.client(HOST) as client:
        assert client.get("/v2", headers=key(BOT)).status_code == 200
    (dropped,) = until(lambda: stats(gateway, "audit_dropped"), "a counter").values()
    written = len(logged(gateway, calls - dropped))
    assert written == calls - dropped
    assert written <= REFUSALS_PER_SECOND * (took + 1) + 1
    assert {line["decision"] for line in lines(gateway)} == {"deny"}
    time.sleep(1.0)
    with gateway.client(HOST) as client:
        client.get("/v2")
    assert sum(int(line["dropped"]) for line in logged(gateway, written + 1)) == dropped


def test_an_issuer_that_is_not_usable_is_refused_alone_and_reported(gateway):
    good = IssuerIR("ids/good", "https://id.example", ("k1",))
    bad = IssuerIR("ids/bad", "https://id.example", ())
    gateway.put_gate(GateIR(issuers=(bad, good)))
    assert {name.rpartition("issuer.")[2]: value for name, value in stats(gateway, "issuer_refused").items()} == {
        "ids/good": 0,
        "ids/bad": 1,
    }
    with gateway.client(HOST) as client:
        assert client.get("/v2", headers=key(BOT)).status_code == 200
        gateway.put_gate(GateIR(revoked_keys=(BOT.grant.key_id,)))
        assert client.get("/v2", headers=key(BOT)).status_code == 401
        assert client.get("/v2", headers=key(READER)).status_code == 200
