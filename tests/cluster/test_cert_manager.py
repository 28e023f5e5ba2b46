"""`issuerRef`: certificates of cert-manager's issuers, from cert-manager's own controllers."""

import asyncio
import contextlib
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cert_manager import ask_to_renew, ca_issuer, certificate, gone, running
from tests.cluster.conftest import install
from tests.cluster.installation import SYSTEM, Installation, client, endpoint, eventually, until
from tests.cluster.test_least_privilege import rights
from tests.embedded.raw_http import Connection, Reply, request

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

NAMESPACE = "issued"
CONNECTIONS, PAUSE_S = 8, 0.05
# Of each kind: by our annotation, and as cert-manager's own command line asks for it.
RENEWALS = 3


@pytest.fixture(scope="module")
def enabled(installation: Installation) -> Iterator[Installation]:
    """The chart with `certManager.enabled`; as it was afterwards."""
    installation.namespace(NAMESPACE)
    try:
        install(installation.kubeconfig, installation.images, "certManager.enabled=true")
        yield installation
    finally:
        for kind in ("ie", "ic"):
            installation.kubectl("delete", kind, "--all", "-n", NAMESPACE)
        install(installation.kubeconfig, installation.images)


@pytest.fixture
def cert_manager(enabled: Installation, tmp_path: Path) -> Iterator[Installation]:
    """cert-manager with an Issuer `corp`, whose CA is in the Secret `corp-trust`."""
    with running(enabled, tmp_path / "cert-manager.log"):
        ca_issuer(enabled, "corp", NAMESPACE)
        yield enabled
        for kind in ("ie", "ic"):
            enabled.kubectl("delete", kind, "--all", "-n", NAMESPACE)


def issued_endpoint(name: str, issuer: str | None = "corp", **spec: Any) -> dict[str, Any]:
    """Awake all the time. Callers show certificates of `corp`, and see one of the issuer."""
    tls = {"tls": {"issuerRef": {"name": issuer}}} if issuer else {}
    access = {"mtls": {"trust": [{"secretName": "corp-trust"}]}}
    return endpoint(name, NAMESPACE, access=access, scaling={"minReplicas": 1}, **tls, **spec)


def issued_client(name: str, *endpoints: str, issuer: str = "corp") -> dict[str, Any]:
    made = client(name, NAMESPACE, *endpoints, permissions=("infer", "metadata"))
    del made["spec"]["apiKey"]
    made["spec"]["certificate"] = {"issuerRef": {"name": issuer}}
    return made


def condition(installation: Installation, kind: str, name: str, wanted: str) -> dict[str, Any]:
    found = installation.get(kind, name, NAMESPACE) or {}
    listed = found.get("status", {}).get("conditions", [])
    return next((each for each in listed if each["type"] == wanted), {})


def says(installation: Installation, kind: str, name: str, wanted: str, reason: str) -> str:
    """Wait until the condition has the reason; its message."""
    until(lambda: condition(installation, kind, name, wanted).get("reason") == reason, f"{kind}/{name} says {reason}")
    return str(condition(installation, kind, name, wanted)["message"])


def ready(installation: Installation, name: str, bot: str) -> None:
    installation.ready(name, NAMESPACE)
    installation.kubectl("wait", "--for=condition=Ready", f"ic/{bot}", "-n", NAMESPACE, "--timeout=120s")
    until(lambda: installation.state(name, NAMESPACE) == "Awake", f"{name} is awake", 300)


@dataclass
class MutualCaller:
    """Who has the Secret of a client's certificate, and reads it again for each connection."""

    installation: Installation
    name: str
    secret: str
    held: dict[str, str] = field(default_factory=dict)

    def read(self) -> None:
        self.held = self.installation.credentials(self.secret, NAMESPACE)

    def read_with_the_ca(self) -> None:
        """Once the Secret trusts `corp`, which follows the endpoint's own certificate."""
        ca = self.installation.credentials("corp-trust", NAMESPACE)["ca.crt"]

        def trusts() -> bool:
            self.read()
            return ca in self.held.get("server-ca.crt", "")

        until(trusts, f"{self.secret} trusts corp")

    @property
    def host(self) -> str:
        return f"{self.name}.{NAMESPACE}.svc"

    def context(self) -> ssl.SSLContext:
        """It trusts what the Secret says, and nothing else."""
        context = ssl.create_default_context(cadata=self.held["server-ca.crt"])
        with tempfile.TemporaryDirectory() as directory:
            chain, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
            chain.write_text(self.held["tls.crt"])
            key.write_text(self.held["tls.key"])
            context.load_cert_chain(chain, key)
        context.set_alpn_protocols(["http/1.1"])
        return context

    async def connect(self) -> Connection:
        return await Connection.open(443, self.host, self.context(), host=self.installation.gateway)

    async def call(self, raw: bytes) -> Reply:
        connection = await self.connect()
        try:
            return await connection.send(raw)
        finally:
            await connection.close()

    def metadata(self) -> bytes:
        return request("GET", f"/v2/models/{self.name}", self.host)

    def embedding(self) -> bytes:
        return request("POST", "/v1/embeddings", self.host, {"model": self.name, "input": ["A cat sleeps."]})


@dataclass
class Load:
    """Steady calls until the block ends, each connection for at most twenty of them."""

    caller: MutualCaller
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    _stop: bool = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read())
            for _ in range(CONNECTIONS):
                group.create_task(self._call())
            try:
                yield
            finally:
                self._stop = True

    async def _read(self) -> None:
        while not self._stop:
            await asyncio.to_thread(self.caller.read)
            await asyncio.sleep(0.5)

    async def _call(self) -> None:
        connection: Connection | None = None
        left = 0
        while not self._stop:
            try:
                if connection is None:
                    connection, left = await self.caller.connect(), 20
                    self.connections += 1
                reply = await connection.send(self.caller.metadata())
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failed[type(error).__name__] += 1
                connection = None
                continue
            left -= 1
            if reply.status == 200:
                self.answered += 1
            else:
                self.failed[f"{reply.status} {reply.body[:200]!r}"] += 1
            if left == 0 or reply.headers.get("connection", "").lower() == "close":
                await connection.close()
                connection = None
            await asyncio.sleep(PAUSE_S)
        if connection is not None:
            await connection.close()


async def test_without_cert_manager_a_condition_says_so_and_it_is_used_once_it_is_installed(
    enabled: Installation, tmp_path: Path
):
    held = rights(enabled, "nightlatch-operator", SYSTEM, NAMESPACE)
    assert held["certificates.cert-manager.io"] == {"get", "list", "watch", "create", "patch", "delete"}
    assert held["certificates.cert-manager.io/status"] == {"patch"}

    enabled.apply(issued_endpoint("late"), issued_client("late-bot", "late"))
    assert "install it" in says(enabled, "ie", "late", "CertificatesReady", "CertManagerMissing")
    assert "install it" in says(enabled, "ic", "late-bot", "CredentialsReady", "CertManagerMissing")

    with running(enabled, tmp_path / "cert-manager.log"):
        ca_issuer(enabled, "corp", NAMESPACE)
        ready(enabled, "late", "late-bot")
        caller = MutualCaller(enabled, "late", "late-bot-certificate")
        await asyncio.to_thread(caller.read_with_the_ca)
        reply = await caller.call(caller.embedding())
        assert reply.status == 200, reply.body
        assert len(reply.json()["data"][0]["embedding"]) == 384

    # It goes again, and what it made stays in use until its end.
    await asyncio.sleep(20)
    assert (await caller.call(caller.metadata())).status == 200
    assert condition(enabled, "ie", "late", "CertificatesReady")["status"] == "True"
    for kind in ("ie", "ic"):
        enabled.kubectl("delete", kind, "--all", "-n", NAMESPACE)


async def test_certificates_of_both_kinds_are_renewed_under_load_and_no_call_fails(cert_manager: Installation):
    cert_manager.apply(issued_endpoint("one"), issued_client("bot", "one"))
    ready(cert_manager, "one", "bot")
    caller = MutualCaller(cert_manager, "one", "bot-certificate")
    await asyncio.to_thread(caller.read_with_the_ca)
    assert (await caller.call(caller.embedding())).status == 200

    def shown() -> dict[str, str]:
        """The serial numbers in the statuses of client and endpoint."""
        listed = cert_manager.status("one", NAMESPACE)["certificates"]
        own = (cert_manager.get("ic", "bot", NAMESPACE) or {})["status"]["certificate"]
        return {"client": own["serial"]} | {each["role"]: each["serial"] for each in listed}

    load, seen = Load(caller), [shown()]
    started = time.monotonic()
    async with load.running():
        for number in range(RENEWALS):
            for role, kind, name, made in (
                ("client", "ic", "bot", "bot-certificate"),
                ("server-tls", "ie", "one", "one-serving-cert"),
            ):
                for way in ("annotation", "cmctl"):
                    before = shown()[role]
                    if way == "annotation":
                        now = f"{NAMESPACE}-{number}"
                        cert_manager.kubectl(
                            "annotate", kind, name, "-n", NAMESPACE, "--overwrite", f"nightlatch.dev/renew={now}"
                        )
                    else:
                        ask_to_renew(cert_manager, made, NAMESPACE)
                    what = f"{role} is renewed by {way}"
                    await eventually(lambda role=role, before=before: shown()[role] != before, what)
                    seen.append(shown())
                    # So that connections with the new certificate are among the calls.
                    await asyncio.sleep(2)
    print(
        f"{load.answered} calls on {load.connections} connections in {time.monotonic() - started:.0f} s,"
        f" {4 * RENEWALS} renewals, failed: {dict(load.failed)}"
    )
    assert not load.failed
    assert load.answered > 100 * RENEWALS
    assert len({each["client"] for each in seen}) == len({each["server-tls"] for each in seen}) == 2 * RENEWALS + 1
    # Each renewal once: cert-manager counts them.
    for name in ("bot-certificate", "one-serving-cert"):
        assert (certificate(cert_manager, name, NAMESPACE) or {})["status"]["revision"] == 2 * RENEWALS + 1


async def test_an_issuer_that_never_issues_is_named_and_callers_see_the_certificate_before(cert_manager: Installation):
    cert_manager.apply(issued_endpoint("two", None), issued_client("two-bot", "two"))
    ready(cert_manager, "two", "two-bot")
    caller = MutualCaller(cert_manager, "two", "two-bot-certificate")
    caller.read()
    assert (await caller.call(caller.metadata())).status == 200

    cert_manager.apply(issued_endpoint("two", "nobody"), issued_client("lost-bot", "two", issuer="nobody"))
    message = says(cert_manager, "ie", "two", "CertificatesReady", "CertificateNotIssued")
    assert "Issuer nobody" in message
    assert message.endswith("the certificate before stays in use")
    assert "Issuer nobody" in says(cert_manager, "ic", "lost-bot", "CredentialsReady", "CertificateNotIssued")
    assert (await caller.call(caller.metadata())).status == 200

    # One that issues what nobody can verify.
    cert_manager.apply(issued_endpoint("two", "corp-self"))
    assert "self-signing" in says(cert_manager, "ie", "two", "CertificatesReady", "CertificateUnverified")
    assert (await caller.call(caller.metadata())).status == 200

    # The one that issues, then one that does not, and then none.
    cert_manager.apply(issued_endpoint("two"))
    says(cert_manager, "ie", "two", "CertificatesReady", "Issued")
    cert_manager.apply(issued_endpoint("two", "nobody"))
    assert "Issuer corp" in says(cert_manager, "ie", "two", "CertificatesReady", "CertificateNotRenewed")
    assert condition(cert_manager, "ie", "two", "CertificatesReady")["status"] == "True"
    ours = f"server-tls.{NAMESPACE}.two"
    await eventually(lambda: cert_manager.get("secret", ours, SYSTEM) is None, "ours is gone")
    await asyncio.to_thread(caller.read_with_the_ca)
    assert (await caller.call(caller.metadata())).status == 200
    cert_manager.apply(issued_endpoint("two", None))
    gone(cert_manager, "two-serving-cert", NAMESPACE)
    caller.read()
    assert (await caller.call(caller.metadata())).status == 200


async def test_a_revoked_certificate_is_refused_and_cert_manager_is_asked_for_another(cert_manager: Installation):
    cert_manager.apply(issued_endpoint("three"), issued_client("three-bot", "three"))
    ready(cert_manager, "three", "three-bot")
    caller = MutualCaller(cert_manager, "three", "three-bot-certificate")
    await asyncio.to_thread(caller.read_with_the_ca)
    revoked = (cert_manager.get("ic", "three-bot", NAMESPACE) or {})["status"]["certificate"]["sha256"]
    changed = issued_client("three-bot", "three")
    changed["spec"]["certificate"]["revokedDigests"] = [revoked]
    cert_manager.apply(changed)

    async def status() -> int:
        return (await caller.call(caller.metadata())).status

    async with asyncio.timeout(60):
        while await status() != 401:
            await asyncio.sleep(0.2)
    ready(cert_manager, "three", "three-bot")
    await eventually(
        lambda: (cert_manager.get("ic", "three-bot", NAMESPACE) or {})["status"]["certificate"]["sha256"] != revoked,
        "another certificate",
    )
    caller.read()
    assert await status() == 200

    # What was made for a client goes with it.
    cert_manager.delete("ic", "three-bot", NAMESPACE)
    await asyncio.to_thread(gone, cert_manager, "three-bot-certificate", NAMESPACE)


async def test_our_own_secrets_look_to_tools_like_those_of_cert_manager(cert_manager: Installation):
    ours = client("own-bot", NAMESPACE, "four")
    ours["spec"] = {"endpoints": ours["spec"]["endpoints"], "certificate": {}}
    cert_manager.apply(issued_endpoint("four"), ours, issued_client("their-bot", "four"))
    until(lambda: cert_manager.get("secret", "own-bot-certificate", NAMESPACE), "our Secret")
    cert_manager.kubectl("wait", "--for=condition=Ready", "ic/their-bot", "-n", NAMESPACE, "--timeout=120s")
    own = cert_manager.get("secret", "own-bot-certificate", NAMESPACE)
    theirs = cert_manager.get("secret", "their-bot-certificate", NAMESPACE)
    assert own
    assert theirs
    assert own["type"] == theirs["type"] == "kubernetes.io/tls"
    assert {"tls.crt", "tls.key", "ca.crt"} <= own["data"].keys() & theirs["data"].keys()

    def told(secret: dict[str, Any]) -> set[str]:
        return {name for name in secret["metadata"]["annotations"] if name.startswith("cert-manager.io/")}

    # Only what has a Certificate names one.
    assert told(own) == told(theirs) - {"cert-manager.io/certificate-name"}
    uris = [each["metadata"]["annotations"]["cert-manager.io/uri-sans"] for each in (own, theirs)]
    assert uris == [f"spiffe://nightlatch.local/ns/{NAMESPACE}/ic/{name}" for name in ("own-bot", "their-bot")]
    cert_manager.delete("ic", "own-bot", NAMESPACE)
