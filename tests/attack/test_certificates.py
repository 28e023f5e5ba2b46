"""Client certificates over the wire: a real Envoy with the gate, and callers whose certificates the test makes."""

import contextlib
import json
import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import timedelta
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from nightlatch.api.meta import NamespacedName
from nightlatch.routing.ir import AuditLog, GateIR, Serving
from nightlatch.wire.route_document import CertificateGrant
from tests.attack.certificates import Leaf, Pki, Presented
from tests.attack.tables import chains
from tests.attack.tables.certificates import BOT, GOOD, NAMED, ROWS, CertificateRow
from tests.embedded.envoy_fixture import Caller, Gateway, until

MUST, EITHER, BOTH, PLAIN = (NamespacedName("search", name) for name in ("must", "either", "both", "plain"))
CLIENT = NamespacedName("search", "bot")
_STATUS = {"unauthenticated": 401, "misdirected": 421}
_PATIENCE = 10.0


class World:
    """Endpoints that take a certificate alone, a certificate or a key, both of them, and a key alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.pki = Pki()
        self.audit = folder / "audit.log"
        self.gateway = Gateway(
            folder, "--file-flush-interval-msec", "10", audit=AuditLog(str(self.audit), 100_000, 100)
        )
        self.caller = Caller("bot", secrets.token_bytes, "infer", "metadata")
        self.received: list[dict[str, Any]] = []
        models = {key: self.gateway.model_server(key) for key in (MUST, EITHER, BOTH, PLAIN)}
        for model in models.values():
            model.received = self.received
        certificates = (
            CertificateGrant(BOT, CLIENT, ("infer", "metadata")),
            CertificateGrant(NAMED, None, ("metadata",)),
        )
        own = {"certificates": certificates, "client_ca": self.pki.trust}
        keys = {"keys": (self.caller.grant,)}
        self._documents: dict[NamespacedName, dict[str, Any]] = {
            MUST: {"accept": (("mtls",),), **own},
            EITHER: {"accept": (("mtls",), ("apiKey",)), **own, **keys},
            BOTH: {"accept": (("apiKey", "mtls"),), **own, **keys},
            PLAIN: keys,
        }
        self._serving = {key: Serving(hold=False, addresses=(model.address,)) for key, model in models.items()}
        self.put(PLAIN)

    def put(self, endpoint: NamespacedName, **changes: Any) -> None:
        """Set all documents, this one with changes."""
        documents = [
            self.gateway.document(key, **{**members, **(changes if key == endpoint else {})})
            for key, members in self._documents.items()
        ]
        self.gateway.put(documents, self._serving)

    @contextlib.contextmanager
    def connection(self, endpoint: NamespacedName, shown: Presented | None) -> Iterator[ssl.SSLSocket]:
        context = ssl.create_default_context(cafile=str(self.gateway.ca_file))
        if shown and shown.chain:
            files = [self._folder / f"{secrets.token_hex(8)}.{kind}" for kind in ("crt", "key")]
            for path, text in zip(files, (shown.chain, shown.key), strict=True):
                path.write_text(text)
            # So that this side sends what the other side must refuse.
            context.set_ciphers("DEFAULT@SECLEVEL=0")
            context.load_cert_chain(*files)
        with (
            socket.create_connection(("127.0.0.1", self.gateway.port), _PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=host_of(endpoint)) as tls,
        ):
            yield tls

    def call(self, endpoint: NamespacedName, shown: Presented | None, **headers: str) -> int | None:
        """The status of one call; None if the connection ends without any."""
        try:
            with self.connection(endpoint, shown) as tls:
                return ask(tls, endpoint, **headers)
        except (OSError, HTTPException):
            return None

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit.read_text().splitlines()] if self.audit.exists() else []


def host_of(endpoint: NamespacedName) -> str:
    return f"{endpoint.name}.{endpoint.namespace}.localhost"


def ask(tls: ssl.SSLSocket, endpoint: NamespacedName, host: str = "", **headers: str) -> int:
    lines = {"host": host or host_of(endpoint), **{name.replace("_", "-"): value for name, value in headers.items()}}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    tls.sendall(f"GET /v2/models/{endpoint.name} HTTP/1.1\r\n{text}\r\n".encode())
    response = HTTPResponse(tls)
    response.begin()
    response.read()
    return response.status


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, gate: None) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("certificates"))
    yield world
    world.gateway.stop()


@pytest.mark.parametrize("row", [*ROWS, *chains.ROWS], ids=str)
def test_a_bad_certificate_is_refused_and_its_twin_let_through(world: World, row: CertificateRow):
    before, received = len(world.lines()), len(world.received)
    status = world.call(MUST, row.show(world.pki), **{name.replace("-", "_"): it for name, it in row.headers.items()})
    assert status == _STATUS.get(row.expected)
    assert len(world.received) == received, "the refused call reached a model server"
    assert world.call(MUST, row.twin(world.pki)) == 200
    until(lambda: len(world.lines()) >= before + 2, "two lines of the audit log")
    denied, allowed = world.lines()[before:]
    if denied["decision"] == "allow":
        # A connection's line is written when it is closed.
        denied, allowed = allowed, denied
    assert (denied["decision"], denied["host"]) == ("deny", host_of(MUST))
    assert denied["code"] == ("certificate_refused" if row.expected == "closed" else row.expected)
    assert (allowed["decision"], allowed["method"]) == ("allow", "mtls")


def test_long_chains_are_verified_to_their_end(world: World):
    leaf = Leaf(uris=(BOT,))
    assert world.call(MUST, world.pki.below(leaf, depth=9)) == 200
    assert world.call(MUST, world.pki.below(leaf, depth=50, path_length=49)) == 200
    assert world.call(MUST, world.pki.below(leaf, depth=50, path_length=48)) is None


def test_a_certificate_of_a_thousand_dns_names_is_known_by_its_one_uri(world: World):
    names = tuple(f"n{number}.example" for number in range(1_000))
    assert world.call(MUST, world.pki.present(Leaf(uris=(BOT,), dns=names))) == 200
    assert world.received[-1]["headers"]["x-nightlatch-client"] == "search/bot"
    assert world.call(MUST, world.pki.present(Leaf(dns=(NAMED, *names)))) == 401


@pytest.mark.parametrize("kind", chains.ACCEPTED)
def test_a_chain_that_limbo_refuses_and_envoy_does_not_names_the_caller_that_the_ca_named(world: World, kind: str):
    show, why = chains.ACCEPTED[kind]
    assert world.call(MUST, show(world.pki)) == 200, why
    assert world.received[-1]["headers"]["x-nightlatch-client"] == "search/bot"


def test_a_roll_over_takes_the_leaves_of_the_cas_in_the_bundle_and_no_others(world: World):
    old, new = world.pki, Pki("new root")
    leaf = Leaf(uris=(BOT,))
    # `renewed` has the name of the old CA and another key.
    shown = {"old": old.present(leaf), "new": new.present(leaf), "renewed": old.other.present(leaf)}

    def said() -> dict[str, int | None]:
        return {name: world.call(MUST, each) for name, each in shown.items()}

    bundles = {
        (old,): {"old"},
        (old, new): {"old", "new"},
        (new,): {"new"},
        (old, old.other): {"old", "renewed"},
        (old.other,): {"renewed"},
        (new, old.other): {"new", "renewed"},
    }
    try:
        for bundle, taken in bundles.items():
            world.put(MUST, client_ca="".join(each.trust for each in bundle))
            wanted = {name: 200 if name in taken else None for name in shown}
            until(lambda wanted=wanted: said() == wanted, f"{wanted}")
            assert said() == wanted
    finally:
        world.put(MUST)
        until(lambda: world.call(MUST, shown["old"]) == 200, "the first bundle again")


def test_the_model_server_learns_the_client_and_nothing_of_what_a_caller_claims(world: World):
    assert world.call(MUST, GOOD(world.pki), x_forwarded_client_cert="URI=x", x_nightlatch_client="root") == 200
    headers = world.received[-1]["headers"]
    assert (headers["x-nightlatch-client"], headers["x-nightlatch-method"]) == ("search/bot", "mtls")
    assert "x-forwarded-client-cert" not in headers


def test_a_certificate_says_which_host_it_is_for_by_the_server_name_alone(world: World):
    with world.connection(MUST, GOOD(world.pki)) as tls:
        assert ask(tls, MUST, host=host_of(EITHER)) == 421


def test_another_ca_s_client_has_what_the_rules_give_it(world: World):
    shown = world.pki.present(Leaf(dns=(NAMED,)))
    assert world.call(MUST, shown) == 200
    assert world.received[-1]["headers"]["x-nightlatch-client"] == NAMED


def test_accept_says_which_proofs_suffice(world: World):
    good, stranger, key = GOOD(world.pki), world.pki.present(Leaf(uris=("spiffe://x/y",))), world.caller.key
    for endpoint, shown, headers, expected in [
        (EITHER, good, {}, 200),
        (EITHER, None, {"x_api_key": key}, 200),
        (EITHER, good, {"x_api_key": key}, 200),
        (EITHER, None, {}, 401),
        (EITHER, stranger, {"x_api_key": key}, 401),
        (EITHER, good, {"x_api_key": key + "0"}, 401),
        (EITHER, world.pki.other.present(Leaf(uris=(BOT,))), {"x_api_key": key}, None),
        (BOTH, good, {"x_api_key": key}, 200),
        (BOTH, good, {}, 401),
        (BOTH, None, {"x_api_key": key}, 401),
        (PLAIN, None, {"x_api_key": key}, 200),
        # Nobody is asked for a certificate there, so nobody has shown one.
        (PLAIN, good, {}, 401),
    ]:
        assert world.call(endpoint, shown, **headers) == expected, (endpoint, headers)


def test_who_stands_beside_the_caller_is_told(world: World):
    assert world.call(BOTH, GOOD(world.pki), x_api_key=world.caller.key) == 200
    headers = world.received[-1]["headers"]
    assert headers["x-nightlatch-method"] == "apiKey"
    assert headers["x-nightlatch-beside"].startswith("mtls search/bot ")


@pytest.mark.parametrize("by", ["certificates", "identities", "clients"])
def test_a_revocation_ends_access_on_an_open_connection(world: World, by: str):
    shown = GOOD(world.pki)
    leaf = x509.load_pem_x509_certificate(shown.chain.encode())
    digest = leaf.fingerprint(hashes.SHA256()).hex()
    revoked = {"certificates": (str(CLIENT), digest), "identities": BOT, "clients": str(CLIENT)}
    with world.connection(MUST, shown) as tls:
        assert ask(tls, MUST) == 200
        started = time.monotonic()
        world.gateway.put_gate(GateIR(**{f"revoked_{by}": (revoked[by],)}))
        try:
            assert ask(tls, MUST) == 401
            print(f"refused {time.monotonic() - started:.3f} s after the push began")
            assert world.call(MUST, GOOD(world.pki)) == (200 if by == "certificates" else 401)
        finally:
            world.gateway.put_gate(GateIR())
        assert ask(tls, MUST) == 200


def test_an_endpoint_s_own_revocation_ends_access_there_and_nowhere_else(world: World):
    shown = GOOD(world.pki)
    digest = x509.load_pem_x509_certificate(shown.chain.encode()).fingerprint(hashes.SHA256()).hex()
    with world.connection(MUST, shown) as tls:
        assert ask(tls, MUST) == 200
        world.put(MUST, revoked_certificates=(digest,))
        try:
            until(lambda: ask(tls, MUST) == 401, "the refusal")
            assert world.call(MUST, GOOD(world.pki)) == 200
            assert world.call(EITHER, shown) == 200
        finally:
            world.put(MUST)
        until(lambda: ask(tls, MUST) == 200, "the end of the revocation")


def test_a_certificate_that_ends_is_refused_on_an_open_connection(world: World):
    shown = world.pki.present(Leaf(uris=(BOT,), ends=timedelta(seconds=4)))
    with world.connection(MUST, shown) as tls:
        assert ask(tls, MUST) == 200
        until(lambda: ask(tls, MUST) == 401, "the certificate's end")
