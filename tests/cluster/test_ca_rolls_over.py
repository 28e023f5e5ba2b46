"""Certificates are renewed and the CA is replaced under steady load over mTLS on two gateways, and no call fails.

Meanwhile a gateway and an operator restart in good order, and in a soak somebody brings a CA. The client reads its
certificate and the CAs for each new connection from its Secret as a pod has it mounted, so the kubelet decides when it
sees new ones. No call is repeated. What failed is counted at the client, and what was answered at the model server too.
"""

import asyncio
import base64
import contextlib
import functools
import os
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from nightlatch.api import names
from nightlatch.controller.cluster.config import LEAST_CALLERS_TAKE_S
from nightlatch.pki.material import root_key_id
from nightlatch.planning.installation.places import generation_shown
from tests.cluster.conftest import install
from tests.cluster.installation import GATEWAYS, SYSTEM, Caller, Installation, client, endpoint, eventually, until
from tests.cluster.refusals import PORT
from tests.cluster.under_load import gateway_names, leader, mounted, restart, served
from tests.embedded.raw_http import Connection, request
from tests.unit.pki.test_brought_ca import authority, brought

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
NAMESPACE, NAME, BOT = "rollover", "one", "bot"
# Calls a second, and on how many connections. Half of the connections end after so many calls, and the others when the
# gateway ends them.
METADATA_RPS, METADATA_CONNECTIONS = 200, 20
EMBEDDING_RPS, EMBEDDING_CONNECTIONS = 10, 2
CALLS_A_CONNECTION = 50
# In which renewal of four a gateway restarts, and in which an operator does.
GATEWAY_AT, OPERATOR_AT, EVERY = 0, 1, 4
# So many calls do gateways make to the model server themselves whenever one starts.
GATEWAYS_OWN_CALLS = 20
BROUGHT = "corp-ca"


@dataclass
class Mounted:
    """The client's Secret in a pod that does nothing else; `shown`: every certificate with which it has connected."""

    path: Path
    shown: set[bytes] = field(default_factory=set)

    def version(self) -> Path:
        """The kubelet replaces all files at once, by one link. It leads outside for whoever is outside the pod."""
        return self.path / (self.path / "..data").readlink()

    def read(self, entry: str) -> bytes:
        return (self.version() / entry).read_bytes()

    def context(self) -> ssl.SSLContext:
        deadline = time.monotonic() + 1
        while True:
            try:
                version = self.version()
                context = ssl.create_default_context(cafile=version / "ca.crt")
                context.load_cert_chain(version / "tls.crt", version / "tls.key")
                context.set_alpn_protocols(["http/1.1"])
                self.shown.add((version / "tls.crt").read_bytes())
            except OSError:
                # The kubelet deletes the version before as soon as there is a new one.
                assert time.monotonic() < deadline
                continue
            return context


@dataclass
class Load:
    """Steady calls until the block ends. `failed`: what was wrong with each call that was not answered 200."""

    caller: Caller
    mounted: Mounted
    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    took: float = 0.0
    _stop: bool = False

    @property
    def calls(self) -> int:
        return self.answered.total() + self.failed.total()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(METADATA_CONNECTIONS):
                pause = METADATA_CONNECTIONS / METADATA_RPS
                group.create_task(self._call(number, "metadata", self._metadata(), pause))
            for number in range(EMBEDDING_CONNECTIONS):
                pause = EMBEDDING_CONNECTIONS / EMBEDDING_RPS
                group.create_task(self._call(number, "embeddings", self._embedding(), pause))
            try:
                yield
            finally:
                self._stop = True
        self.took = time.monotonic() - started

    async def _call(self, number: int, what: str, raw: bytes, pause: float) -> None:
        connection: Connection | None = None
        left, keeps = 0, number % 2 == 0
        due = time.monotonic() + number * pause / METADATA_CONNECTIONS
        while not self._stop:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + pause, time.monotonic())
            try:
                if connection is None:
                    connection, left = await self._connect(), CALLS_A_CONNECTION
                reply = await connection.send(raw)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failed[f"{what}: {error!r} after {CALLS_A_CONNECTION - left} calls"] += 1
                connection = None
                continue
            left -= 1
            if reply.status == 200:
                self.answered[what] += 1
            else:
                self.failed[f"{what}: {reply.status} {reply.body[:200]!r}"] += 1
            if reply.headers.get("connection", "").lower() == "close" or (left == 0 and not keeps):
                await connection.close()
                connection = None
        if connection:
            await connection.close()

    async def _connect(self) -> Connection:
        self.connections += 1
        context = self.mounted.context()
        return await Connection.open(self.caller.port, self.caller.host, context, host=self.caller.address)

    def _metadata(self) -> bytes:
        return request("GET", f"/v2/models/{NAME}", self.caller.host)

    def _embedding(self) -> bytes:
        return request("POST", "/v1/embeddings", self.caller.host, {"model": NAME, "input": ["A cat sleeps."]})


def settings(installation: Installation) -> tuple[str, ...]:
    """What callers and pods have to take a new CA. In an installation it is a day."""
    return f"pki.callersTake={callers_take_s(installation)}s", "pki.reissueOver=30s"


def callers_take_s(installation: Installation) -> int:
    return max(installation.apps_take_s, round(LEAST_CALLERS_TAKE_S))


@pytest.fixture
def stage(installation: Installation) -> Iterator[tuple[Installation, Load]]:
    """An endpoint that stays awake, its client, and a pod that has the client's Secret mounted."""
    install(installation.kubeconfig, installation.images, *settings(installation))
    namespace = installation.namespace(NAMESPACE)
    bot = client(BOT, namespace, NAME, permissions=("infer", "metadata"))
    bot["spec"]["certificate"] = bot["spec"].pop("apiKey")
    installation.apply(endpoint(NAME, namespace, scaling={"minReplicas": 1}, access={"mtls": {}}), bot)
    installation.ready(NAME, namespace)
    until(lambda: installation.state(NAME, namespace) == "Awake", "the endpoint is awake")
    caller = installation.certified(BOT, NAME, namespace)
    directory = mounted(installation, namespace, {BOT: f"{BOT}-certificate"})
    yield installation, Load(caller, Mounted(directory / BOT))
    for kind, name in (("pod", "reader"), ("ic", BOT), ("ie", NAME)):
        installation.delete(kind, name, namespace)
    installation.delete("secret", BROUGHT, SYSTEM)
    install(installation.kubeconfig, installation.images)


# --- renewals


def certificates(installation: Installation, load: Load) -> dict[str, set[bytes]]:
    """The certificates of each kind: those of servers as they show them, the others as they lie ready."""
    gateways = installation.gateway_addresses().values()
    pods = [pod["status"]["podIP"] for pod in installation.pods(NAME, NAMESPACE)]
    return {
        "client": {load.mounted.read("tls.crt")},
        "gateway, to callers": {presented(each, PORT, load.caller.host) for each in gateways},
        "gateway, to the operator": {presented(each, 9443, names.GATEWAY_REPORT_NAME, "h2") for each in gateways},
        "gateway, to model servers": {stored(installation, GATEWAYS, names.GATEWAY_CLIENT_TLS_SECRET)},
        "operator": {stored(installation, SYSTEM, names.OPERATOR_TLS_SECRET)},
        "model server": {presented(each, 8443, NAME) for each in pods},
    }


def stored(installation: Installation, namespace: str, secret: str) -> bytes:
    return (installation.get("secret", secret, namespace) or {}).get("data", {}).get("tls.crt", "").encode()


def presented(address: str, port: int, host: str, protocol: str = "http/1.1") -> bytes:
    """The certificate that a server shows to somebody without one. With TLS 1.3 it refuses that caller afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    with (
        socket.create_connection((address, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        return tls.getpeercert(binary_form=True) or b""


async def renewed(installation: Installation, load: Load, number: int) -> None:
    """Another certificate of each kind, with a new key.

    Those of the gateways and of the operator have no annotation: they are issued again when their Secret is gone.
    """
    old = await asyncio.to_thread(certificates, installation, load)
    await asyncio.to_thread(_ask_for_renewals, installation, number)
    if number % EVERY == GATEWAY_AT:
        (gateway, *_) = await asyncio.to_thread(gateway_names, installation)
        await asyncio.to_thread(restart, installation, GATEWAYS, gateway)
    if number % EVERY == OPERATOR_AT:
        await asyncio.to_thread(restart, installation, SYSTEM, await asyncio.to_thread(leader, installation))

    def left() -> list[str]:
        try:
            new = certificates(installation, load)
        except OSError:
            return ["a gateway that starts"]
        return [kind for kind, shown in new.items() if shown & old[kind] or not all(shown)]

    await eventually(lambda: not left(), "a new certificate of each kind", timeout=2 * installation.kubelet_s)


def _ask_for_renewals(installation: Installation, number: int) -> None:
    asked = f"{names.ANNOTATION_RENEW}=number-{number}"
    installation.kubectl("annotate", "--overwrite", f"ic/{BOT}", f"ie/{NAME}", "-n", NAMESPACE, asked)
    for secret in (names.GATEWAY_CLIENT_TLS_SECRET, names.GATEWAY_SERVER_TLS_SECRET):
        installation.delete("secret", secret, GATEWAYS)
    installation.delete("secret", names.OPERATOR_TLS_SECRET, SYSTEM)


# --- roll-overs


def told(installation: Installation) -> Mapping[str, str]:
    """What the operator says of its CAs."""
    return (installation.get("configmap", names.INSTALLATION_CONFIG_MAP, SYSTEM) or {}).get("data", {})


def active(installation: Installation) -> str:
    """The key id of the CA that signs."""
    lines = told(installation).get("generations", "").splitlines()
    return next((each.split()[-1] for each in lines if each.startswith("Active")), "")


async def rolled_over(installation: Installation, load: Load, before: str) -> None:
    """Wait until another CA than `before` signs, and nothing trusts that one any more: also in the client's pod."""
    started = time.monotonic()

    def ended() -> bool:
        return active(installation) not in {"", before} and told(installation)["rollover"] == "none"

    # Twice the callers' time, and as much for kubelets and slow machines.
    patience = 4 * callers_take_s(installation)
    try:
        await eventually(ended, "the CA is replaced", timeout=patience)
    except AssertionError as error:
        raise AssertionError(f"{error}: {dict(told(installation))}") from None
    now = await asyncio.to_thread(active, installation)

    def taken() -> bool:
        trusted = load.mounted.read("ca.crt").count(b"BEGIN CERTIFICATE")
        return trusted == 1 and generation_shown(load.mounted.read("tls.crt")) == now

    await eventually(taken, "the client's pod has the new CA alone", timeout=2 * installation.kubelet_s)
    print(f"CA {before[:8]} replaced by {now[:8]} in {time.monotonic() - started:.0f} s")


async def asked_for(installation: Installation, load: Load) -> None:
    """`nightlatch rollover ca`."""
    before = await asyncio.to_thread(active, installation)
    command = [sys.executable, "-m", "nightlatch", "rollover", "ca", "--kubeconfig", installation.kubeconfig]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert done.returncode == 0, done.stderr
    await rolled_over(installation, load, before)


async def brings(installation: Installation, load: Load) -> None:
    """An intermediate whose root stays outside, named with `helm upgrade`, which restarts the operators.

    Then the name is taken away again. The CA that was brought signs on until the next roll-over.
    """
    before = await asyncio.to_thread(active, installation)
    root = authority("corp root", ends=timedelta(days=3650))
    content = brought(authority("corp issuing", root, ends=timedelta(days=900)), root)
    data = {entry: base64.b64encode(value).decode() for entry, value in content.items()}
    metadata = {"name": BROUGHT, "namespace": SYSTEM}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
    await asyncio.to_thread(installation.apply, secret)
    upgrade = functools.partial(install, installation.kubeconfig, installation.images, *settings(installation))
    await asyncio.to_thread(upgrade, f"pki.caSecretName={BROUGHT}")
    await rolled_over(installation, load, before)
    assert await asyncio.to_thread(active, installation) == root_key_id(root[0])
    await asyncio.to_thread(upgrade)


async def test_no_call_fails_while_certificates_are_renewed_and_cas_replaced(
    stage: tuple[Installation, Load], times: Callable[..., int]
) -> None:
    installation, load = stage
    renewals, rollovers, bringings = times(1, soak=10), times(1, soak=3), times(0, soak=1)
    (pod,) = installation.pods(NAME, NAMESPACE)
    before = served(installation, NAME, NAMESPACE)

    async def renew() -> None:
        for number in range(renewals):
            await renewed(installation, load, number)

    try:
        async with load.running(), asyncio.TaskGroup() as group:
            await asyncio.sleep(2)
            group.create_task(renew())
            for _ in range(bringings):
                await brings(installation, load)
            for _ in range(rollovers):
                await asked_for(installation, load)
    finally:
        print(
            f"{load.calls} calls in {load.took:.0f} s on {load.connections} connections, {renewals} renewals of each "
            f"kind, {rollovers + bringings} changes of the CA, {len(load.mounted.shown)} certificates shown: "
            f"{dict(load.answered)} answered 200, failed: {dict(load.failed) or 0}; "
            f"load average {os.getloadavg()[0]:.1f}"
        )
    assert not load.failed
    # The same pod, which read every new certificate and CA from its Secret.
    assert [each["metadata"]["uid"] for each in installation.pods(NAME, NAMESPACE)] == [pod["metadata"]["uid"]]
    starts = renewals + rollovers + bringings
    assert 0 <= served(installation, NAME, NAMESPACE) - before - load.calls <= GATEWAYS_OWN_CALLS * starts
    assert len(load.mounted.shown) > renewals
