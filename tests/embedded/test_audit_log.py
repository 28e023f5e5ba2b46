"""What the audit log says of refusals and of calls that are let through, and how much of it is written."""

import asyncio
import base64
import contextlib
import json
import re
import secrets
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPResponse

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from nightlatch.api.meta import NamespacedName
from nightlatch.gatekeeper.hold.waiting_room import Refused
from nightlatch.gatekeeper.process import envoy_counters
from nightlatch.routing.ir import AuditLog, GateIR, IssuerIR, Serving
from nightlatch.wire import caller_errors
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


def request(line, *headers):
    return "\r\n".join([line, f"host: {HOST}", *headers, "", ""]).encode()


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


# What Envoy answers before the gate sees the call: the request, and status, code and Envoy's details in the line.
BY_ENVOY = {
    "no HTTP": (b"garbage\r\n\r\n", 400, "invalid_request", "http1.codec_error"),
    "old version": (request("GET /v2 HTTP/1.0"), 426, "http_version", "low_version"),
    "long header": (
        request("GET /v2 HTTP/1.1", "x: " + "a" * 70_000),
        431,
        "headers_too_large",
        "http1.headers_too_large",
    ),
    "many headers": (
        request("GET /v2 HTTP/1.1", *(f"x-{index}: a" for index in range(100))),
        431,
        "headers_too_large",
        "http1.too_many_headers",
    ),
    "two lengths": (
        request("POST /v2 HTTP/1.1", "content-length: 1", "content-length: 2"),
        400,
        "invalid_request",
        "http1.codec_error",
    ),
    "NUL": (request("GET /v2 HTTP/1.1", "x: a\0b"), 400, "invalid_request", "http1.invalid_characters"),
    "no host": (b"GET /v2 HTTP/1.1\r\n\r\n", 400, "invalid_request", "missing_host_header"),
    "escaped slash": (request("GET /v2%2fa HTTP/1.1"), 400, "invalid_request", "path_normalization_failed"),
    "options of everything": (request("OPTIONS * HTTP/1.1"), 401, "unauthenticated", "absolute_path_rejected"),
    "unknown encoding": (
        request("POST /v2 HTTP/1.1", "transfer-encoding: br"),
        501,
        "request_failed",
        "http1.invalid_transfer_encoding",
    ),
    # By the gate: Envoy takes the header away.
    "unknown upgrade": (
        request("GET /v2 HTTP/1.1", "connection: upgrade", "upgrade: x"),
        401,
        "unauthenticated",
        "nightlatch_unauthenticated",
    ),
}


def test_what_envoy_refuses_before_the_gate_has_its_line(gateway):
    for number, (name, (sent, status, code, details)) in enumerate(BY_ENVOY.items(), start=1):
        assert gateway.raw(HOST, sent)[0] == status, name
        line = logged(gateway, number)[-1]
        told = tuple(line.get(member) for member in ("decision", "status", "code", "details", "host", "peer"))
        assert told == ("deny", status, code, details, HOST, "127.0.0.1"), name


def test_a_request_that_comes_too_slowly_has_its_line(gateway):
    assert gateway.raw(HOST, f"GET /v2 HTTP/1.1\r\nhost: {HOST}\r\n".encode())[0] == 408
    (line,) = logged(gateway, 1)
    assert (line["decision"], line["status"], line["code"]) == ("deny", 408, "request_timeout")


def test_a_call_to_a_host_that_no_endpoint_has_has_its_line(gateway):
    with gateway.client("nobody.search.localhost", verify=False) as client:
        assert client.get("/x", headers=key(BOT)).status_code == 404
    with gateway.client(HOST, sni="127.0.0.1", verify=False) as client:
        assert client.get("/x", headers=key(BOT)).status_code == 404
    nameless, named = sorted(logged(gateway, 2), key=lambda line: "host" in line)
    assert (named["decision"], named["status"], named["code"]) == ("deny", 404, "not_found")
    assert (named["host"], nameless["code"], "host" in nameless) == ("nobody.search.localhost", "not_found", False)
    assert "endpoint" not in named
    assert BOT.key.split("_")[2] not in json.dumps([named, nameless])


def test_a_connection_that_is_closed_before_its_handshake_has_its_line(gateway):
    with contextlib.suppress(OSError), gateway.connection(HOST.upper()):
        pytest.fail("the handshake ended")
    with socket.create_connection(("127.0.0.1", gateway.port), 10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert plain.recv(1) == b""
    # One record that begins a ClientHello of 20,000 bytes.
    with socket.create_connection(("127.0.0.1", gateway.port), 10) as plain:
        plain.sendall(b"\x16\x03\x01" + (1 << 14).to_bytes(2) + b"\x01" + (20_000).to_bytes(3) + bytes(100))
        with contextlib.suppress(ConnectionResetError):
            assert plain.recv(1) == b""
    # As a probe does; this is no refusal.
    socket.create_connection(("127.0.0.1", gateway.port), 10).close()
    # Envoy's workers write their lines in any order.
    found = sorted(logged(gateway, 3), key=lambda line: line["details"])
    assert [each.pop("details") for each in found] == [
        "nightlatch_hello_not_tls",
        "nightlatch_hello_spelling",
        "nightlatch_hello_too_long",
    ]
    for line in found:
        assert line.keys() == {"time", "decision", "peer", "dropped"}
        assert (line["decision"], line["peer"]) == ("deny", "127.0.0.1")


def test_a_call_that_is_refused_after_the_gate_let_it_through_has_a_line_that_names_its_client(gateway):
    head = request(f"POST {INFER} HTTP/1.1", f"x-api-key: {BOT.key}", "transfer-encoding: chunked")
    assert gateway.raw(HOST, head + b"zz\r\n")[0] == 400
    documents = [each.source for each in gateway.snapshot.ir.endpoints]
    gateway.put(documents, {KEY: Serving(hold=True)})
    full = caller_errors.TOO_MANY_HELD

    async def refuse():
        gateway.hold.outcome = asyncio.get_running_loop().create_future()
        gateway.hold.outcome.set_result(Refused(full, full.say()))

    gateway.loop.run(refuse())
    with gateway.client(HOST) as client:
        assert client.post(INFER, headers=key(BOT)).status_code == 429
    told = [
        tuple(line.get(name) for name in ("decision", "status", "code", "client", "credential", "endpoint", "sequence"))
        for line in logged(gateway, 2)
    ]
    bot = ("search/bot", BOT.grant.key_id, str(KEY), "17")
    assert sorted(told) == [("deny", 400, "invalid_request", *bot), ("deny", 429, "too_many_held", *bot)]


def test_a_call_of_an_endpoint_that_the_gatekeeper_does_not_have_has_its_line(gateway, monkeypatch):
    """Envoy still has it: it is being removed, or the gatekeeper has just started."""
    gateway.put([each.source for each in gateway.snapshot.ir.endpoints], {KEY: Serving(hold=True)})
    monkeypatch.setattr(gateway.hold, "admit", None)
    with gateway.client(HOST) as client:
        answer = client.post(INFER, headers=key(BOT))
    assert (answer.status_code, answer.json()["code"]) == (503, "endpoint_changing")
    (line,) = logged(gateway, 1)
    told = tuple(line.get(name) for name in ("decision", "status", "code", "client", "credential", "details"))
    assert told == ("deny", 503, "endpoint_changing", "search/bot", BOT.grant.key_id, "ext_authz_denied")


def test_a_call_above_those_that_may_be_in_flight_has_its_line(gateway):
    document = gateway.document(KEY, sequence=18, keys=(BOT.grant,), max_in_flight=1, request_timeout=60.0)
    head = request("GET /v2 HTTP/1.1", f"x-api-key: {BOT.key}")
    # A model server that says nothing in the TLS handshake: the call waits for its connection.
    with socket.create_server(("127.0.0.1", 0)) as silent, contextlib.ExitStack() as open_:
        gateway.put([document], {KEY: Serving(hold=False, addresses=(silent.getsockname(),))})
        connections = [open_.enter_context(gateway.connection(HOST)) for _ in range(3)]
        for each in connections:
            each.sendall(head)
        found = logged(gateway, 2)
    told = [
        tuple(line.get(name) for name in ("decision", "status", "code", "client", "credential", "endpoint", "sequence"))
        for line in found[:2]
    ]
    assert told == [("deny", 429, "too_many_in_flight", "search/bot", BOT.grant.key_id, str(KEY), "18")] * 2
    assert all(line["details"].endswith("{overflow}") for line in found[:2])


def test_a_model_server_that_cannot_be_reached_is_a_failure_and_no_refusal(gateway):
    documents = [each.source for each in gateway.snapshot.ir.endpoints]
    gateway.put(documents, {KEY: Serving(hold=False)})
    with gateway.client(HOST) as client:
        assert client.post(INFER, headers=key(BOT)).status_code == 503
    (line,) = logged(gateway, 1)
    assert (line["decision"], line["status"], "code" in line) == ("allow", 503, False)


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

    def refused(number):
        # By the gate, and by Envoy.
        host, status = ((HOST, 401), ("nobody.search.localhost", 404))[number % 2]
        with gateway.client(host, verify=False) as client:
            assert {client.get("/v2").status_code for _ in range(calls // 10)} == {status}

    start = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(refused, range(10)))
    took = time.monotonic() - start
    with gateway.client(HOST) as client:
        assert client.get("/v2", headers=key(BOT)).status_code == 200
    dropped = sum(until(lambda: stats(gateway, "audit_dropped"), "the counters").values())
    written = len(logged(gateway, calls - dropped))
    assert written == calls - dropped
    assert written <= REFUSALS_PER_SECOND * (took + 1) + 1
    assert {line["decision"] for line in lines(gateway)} == {"deny"}
    time.sleep(1.0)
    with gateway.client(HOST) as client:
        client.get("/v2")
    assert sum(int(line["dropped"]) for line in logged(gateway, written + 1)) == dropped


def test_an_issuer_that_is_not_usable_is_refused_alone_and_reported(gateway):
    point = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(number.to_bytes(32)).rstrip(b"=").decode() for number in (point.x, point.y))
    key_set = ({"kty": "EC", "crv": "P-256", "kid": "k1", "x": x, "y": y},)
    good = IssuerIR("ids/good", "https://id.example", ("minilm",), ("ES256",), key_set)
    bad = replace(good, name="ids/bad", keys=())
    gateway.put_gate(GateIR(issuers=(bad, good)))
    assert {name.rpartition("issuer.")[2]: value for name, value in stats(gateway, "issuer_refused").items()} == {
        "ids/good": 0,
        "ids/bad": 1,
    }
    # As the gateway's metrics tell it.
    assert asyncio.run(envoy_counters.figures(gateway.admin)).refused_issuers == {"ids/good": False, "ids/bad": True}
    with gateway.client(HOST) as client:
        assert client.get("/v2", headers=key(BOT)).status_code == 200
        gateway.put_gate(GateIR(revoked_keys=(BOT.grant.key_id,)))
        assert client.get("/v2", headers=key(BOT)).status_code == 401
        assert client.get("/v2", headers=key(READER)).status_code == 200
