"""Client certificates from the manifest to the answer: `nightlatch up`, the real Envoy, certificates of our own CA."""

import asyncio
import contextlib
import json
import socket
import ssl
from http.client import HTTPException, HTTPResponse
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT
from nightlatch.store.files.store import FilesStore
from tests.attack.certificates import Leaf, Pki, Presented
from tests.embedded.command import nightlatch

ALL = ["infer", "metadata", "health"]
TRAINER = "spiffe://corp.example/ml/trainer"
FOREIGN = {
    "mtls": {"trust": [{"secretName": "corp"}]},
    "rules": [{"permissions": ["health"], "when": {"certificates": [TRAINER]}}],
}
ENDPOINTS = {
    "own": {"mtls": {}},
    "either": {"apiKey": {}, "mtls": {}},
    "both": {"apiKey": {}, "mtls": {}, "accept": [["apiKey", "mtls"]]},
    "foreign": FOREIGN,
}
HEALTH = "/v2/health/ready"
# A call may wait for a wake.
PATIENCE = 60


class Certified:
    """An `up` with these endpoints and clients, whose manifest the tests edit."""

    def __init__(self, start, folder: Path, model: Path) -> None:
        self.pki = Pki("corp")
        self.trust = folder / "corp.crt"
        self.trust.write_text(self.pki.trust)
        self._folder = folder
        self._model = model
        self.clients = {
            "bot": {"endpoints": [{"name": each, "permissions": ALL} for each in ("own", "either", "both")]},
            "reader": {"endpoints": [{"name": "own", "permissions": ["metadata"]}]},
            "stranger": {"endpoints": []},
        }
        for spec in self.clients.values():
            spec["certificate"] = {}
        self.clients["bot"]["apiKey"] = {}
        self.up = start(self._text(), arguments=["--trust", f"corp={self.trust}"])

    def _text(self) -> str:
        model = {"source": {"path": str(self._model)}}
        objects = [
            ("InferenceEndpoint", name, {"model": model, "access": access}) for name, access in ENDPOINTS.items()
        ]
        objects += [("InferenceClient", name, spec) for name, spec in self.clients.items()]
        shared = {"apiVersion": "nightlatch.dev/v1alpha1"}
        return "---\n".join(
            json.dumps({**shared, "kind": kind, "metadata": {"name": name}, "spec": spec}) + "\n"
            for kind, name, spec in objects
        )

    def save(self) -> None:
        self.up.manifest.write_text(self._text())

    def files(self, client: str) -> Path:
        return self.up.files(client)

    def shown(self, client: str) -> Presented:
        files = self.files(client)
        return Presented((files / "tls.crt").read_text(), (files / "tls.key").read_text())

    @contextlib.contextmanager
    def connection(self, endpoint: str, shown: Presented | None):
        context = ssl.create_default_context(cafile=str(self.files("bot") / "ca.crt"))
        if shown:
            files = [self._folder / f"shown.{kind}" for kind in ("crt", "key")]
            for path, text in zip(files, (shown.chain, shown.key), strict=True):
                path.write_text(text)
            context.load_cert_chain(*files)
        with (
            socket.create_connection(("127.0.0.1", self.up.ports[0]), PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=self.up.host(endpoint)) as tls,
        ):
            yield tls

    def call(self, endpoint: str, shown: Presented | None, path: str = HEALTH, **headers: str) -> int | None:
        """The status; None if the handshake fails."""
        try:
            with self.connection(endpoint, shown) as tls:
                return self.ask(tls, endpoint, path, **headers)
        except (OSError, HTTPException):
            return None

    def ask(self, tls: ssl.SSLSocket, endpoint: str, path: str = HEALTH, **headers: str) -> int:
        lines = {"host": self.up.host(endpoint), **{name.replace("_", "-"): it for name, it in headers.items()}}
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        tls.sendall(f"GET {path} HTTP/1.1\r\n{text}\r\n".encode())
        response = HTTPResponse(tls)
        response.begin()
        response.read()
        return response.status

    async def ready(self) -> None:
        await self.up.started()
        for name in ("bot", "reader", "stranger"):
            await self.up.until(f"the certificate of {name}", (self.files(name) / "tls.key").exists)
            await self.up.until(f"{name} to be Ready", lambda name=name: self.is_true(INFERENCE_CLIENT, name, "Ready"))
        for name in ENDPOINTS:
            await self.up.until(f"{name} to be Ready", lambda name=name: self.up.is_ready(name))

    async def condition(self, kind, name: str, type_: str) -> dict[str, str]:
        store = FilesStore(self.up.probe.layout.root, read_only=True)
        status = (await store.get(kind, "default", name)).get("status") or {}
        return next((each for each in status.get("conditions", ()) if each["type"] == type_), {})

    async def is_true(self, kind, name: str, type_: str) -> bool:
        return (await self.condition(kind, name, type_)).get("status") == "True"

    def audit(self) -> list[dict]:
        path = self.up.probe.layout.gateway(0).audit_log
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def certified(lasting, tmp_path_factory, minilm):
    return Certified(lasting, tmp_path_factory.mktemp("certified"), minilm)


def digest_of(shown: Presented) -> str:
    return x509.load_pem_x509_certificate(shown.chain.encode()).fingerprint(hashes.SHA256()).hex()


async def test_the_certificate_of_a_client_lets_it_in_where_it_is_named_and_nowhere_else(certified):
    await certified.ready()
    bot, reader, stranger = (certified.shown(name) for name in ("bot", "reader", "stranger"))
    alike = Leaf(uris=("spiffe://nightlatch.local/ns/default/ic/bot",))
    other_ca = certified.pki.present(alike)
    for shown, expected in [(reader, 403), (stranger, 401), (None, 401), (other_ca, None)]:
        assert certified.call("own", shown) == expected
    assert certified.up.probe.model_servers() == 0, "a refused call woke the endpoint"
    assert certified.call("own", bot) == 200


async def test_accept_asks_for_any_or_for_all(certified):
    await certified.ready()
    bot, key = certified.shown("bot"), certified.up.key("bot")
    for endpoint, shown, headers, expected in [
        ("either", bot, {}, 200),
        ("either", None, {"x_api_key": key}, 200),
        ("either", bot, {"x_api_key": key}, 200),
        ("either", bot, {"x_api_key": "nl_wrong"}, 401),
        ("either", None, {}, 401),
        ("both", bot, {"x_api_key": key}, 200),
        ("both", bot, {}, 401),
        ("both", None, {"x_api_key": key}, 401),
    ]:
        assert certified.call(endpoint, shown, **headers) == expected, (endpoint, headers)


async def test_a_call_with_a_certificate_wakes_the_endpoint(certified):
    await certified.ready()
    answer = await asyncio.to_thread(
        nightlatch, "call", "own", "--text", "A cat sleeps.", "--client", "bot", "--state-dir", certified.up.state
    )
    assert answer.returncode == 0, answer.stderr
    assert "384 numbers" in answer.stdout


async def test_other_ca_s_certificates_count_where_they_are_trusted_and_named(certified):
    await certified.ready()
    trainer = certified.pki.present(Leaf(uris=(TRAINER,)))
    named = certified.pki.present(Leaf(uris=("spiffe://corp.example/ml/other",)))
    assert certified.call("foreign", trainer) == 200
    assert certified.call("foreign", trainer, "/v2/models/foreign") == 403
    assert certified.call("foreign", named) == 401
    # Our own CA is not trusted there, nor is the other one elsewhere.
    assert certified.call("foreign", certified.shown("bot")) is None
    assert certified.call("own", trainer) is None
    # Not even in the name of a client of ours.
    minted = certified.pki.present(Leaf(uris=("spiffe://nightlatch.local/ns/default/ic/bot",)))
    assert certified.call("foreign", minted) == 401


async def test_a_bad_file_of_cas_is_told_and_the_last_good_one_stays(certified):
    await certified.ready()
    trainer = certified.pki.present(Leaf(uris=(TRAINER,)))
    good = certified.trust.read_text()
    for bad, reason in [
        ("no certificate\n", "TrustWithoutCA"),
        (trainer.chain, "TrustHoldsLeaf"),
        (good + trainer.key, "TrustHoldsPrivateKey"),
    ]:
        certified.trust.write_text(bad)

        async def told(reason=reason):
            found = await certified.condition(INFERENCE_ENDPOINT, "foreign", "CertificatesReady")
            return (found.get("status"), found.get("reason")) == ("False", reason)

        await certified.up.until(reason, told)
        assert certified.call("foreign", trainer) == 200
    certified.trust.write_text(good + good)

    async def cleaned():
        found = await certified.condition(INFERENCE_ENDPOINT, "foreign", "CertificatesReady")
        return (found.get("status"), found.get("reason")) == ("True", "TrustCleaned")

    await certified.up.until("the second copy to be named", cleaned)
    assert certified.call("foreign", trainer) == 200
    certified.trust.write_text(Pki("another").trust)
    await certified.up.until("the CA to be trusted no more", lambda: certified.call("foreign", trainer) is None)
    certified.trust.write_text(good)
    await certified.up.until("the CA to be trusted again", lambda: certified.call("foreign", trainer) == 200)


async def test_a_failed_handshake_leaves_a_line_in_the_audit_log(certified):
    await certified.ready()

    def refused() -> int:
        told = {"decision": "deny", "code": "certificate_refused", "host": certified.up.host("own")}
        return sum(told.items() <= line.items() for line in certified.audit())

    # Lines of the tests before may come late.
    await asyncio.sleep(1.5)
    before = refused()
    assert certified.call("own", certified.pki.present(Leaf(uris=(TRAINER,)))) is None
    await certified.up.until("a line", lambda: refused() == before + 1)


async def test_a_certificate_revoked_by_its_digest_is_refused_on_an_open_connection_and_a_new_one_works(certified):
    await certified.ready()
    old = certified.shown("bot")
    with certified.connection("own", old) as tls:
        assert certified.ask(tls, "own") == 200
        certified.clients["bot"]["certificate"]["revokedDigests"] = [digest_of(old)]
        certified.save()
        await certified.up.until("the refusal", lambda: certified.ask(tls, "own") == 401)
    await certified.up.until("a certificate in its place", lambda: certified.shown("bot").chain != old.chain)
    # The two files are replaced one after another.
    await certified.up.until("the new one to work", lambda: certified.call("own", certified.shown("bot")) == 200)
    assert certified.call("own", old) == 401


async def test_the_verb_revokes_the_newest_certificate_and_inspect_names_it(certified):
    await certified.ready()
    old, state = certified.shown("bot"), ("--state-dir", certified.up.state)
    digest, others = digest_of(old), digest_of(certified.shown("reader"))

    async def verb(*arguments):
        return await asyncio.to_thread(nightlatch, *arguments, *state)

    mistaken = await verb("revoke", "ic/bot", "--certificate", others)
    assert (mistaken.returncode, f"{others} is one of InferenceClient default/reader" in mistaken.stderr) == (1, True)
    assert certified.call("own", old) == 200
    done = await verb("revoke", "ic/bot", "--certificate", "current", "--wait")
    assert done.returncode == 0, done.stderr
    assert f"certificate {digest} is refused from now on" in done.stdout
    await certified.up.until("the refusal", lambda: certified.call("own", old) == 401)
    await certified.up.until("the new one to work", lambda: certified.call("own", certified.shown("bot")) == 200)
    assert f"certificate {digest} is revoked" in (await verb("inspect", "ic/bot")).stdout
    # An edit of the manifest, which does not name it, undoes nothing.
    certified.clients["bot"]["rateLimit"] = {"requests": 1000}
    certified.save()
    await certified.up.until("the edit", lambda: limited(certified))
    assert certified.call("own", old) == 401


async def limited(certified):
    found = await FilesStore(certified.up.probe.layout.root, read_only=True).get(INFERENCE_CLIENT, "default", "bot")
    return "rateLimit" in found["spec"]


async def test_a_suspended_client_is_refused_on_an_open_connection(certified):
    await certified.ready()
    with certified.connection("own", certified.shown("bot")) as tls:
        assert certified.ask(tls, "own") == 200
        certified.clients["bot"]["suspend"] = True
        certified.save()
        await certified.up.until("the refusal", lambda: certified.ask(tls, "own") == 401)
        del certified.clients["bot"]["suspend"]
        certified.save()
        await certified.up.until("the client to be let in again", lambda: certified.ask(tls, "own") == 200)


async def test_a_deleted_client_is_refused_and_its_files_go(certified):
    await certified.ready()
    shown = certified.shown("reader")
    with certified.connection("own", shown) as tls:
        assert certified.ask(tls, "own", "/v2/models/own") == 200
        spec = certified.clients.pop("reader")
        certified.save()
        await certified.up.until("the refusal", lambda: certified.ask(tls, "own", "/v2/models/own") == 401)
    await certified.up.until("its files to go", lambda: not certified.files("reader").exists())
    certified.clients["reader"] = spec
    certified.save()
    await certified.ready()
