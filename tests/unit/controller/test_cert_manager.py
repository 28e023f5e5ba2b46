"""A controller with cert-manager beside it, which is played by the test: what it is asked for, and what follows."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from nightlatch import pki
from nightlatch.api import names
from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, SECRET, NamespacedName
from nightlatch.api.validation.allowed import Allowed
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.controller.controller import Controller
from nightlatch.informer import Listing, WatchEvent
from nightlatch.planning.objects.certificate import certificate
from nightlatch.planning.settings import Settings
from nightlatch.scaling.runtime import EndpointRuntime
from nightlatch.wire.route_document import FORMAT
from nightlatch.workloads.protocol import CertificateError
from tests.unit.controller.world import (
    CLIENT,
    ENDPOINT,
    RememberedScaling,
    RememberedWorkloads,
    World,
    client_object,
    endpoint_object,
    until,
)

SETTINGS = Settings(platform="Cluster", allowed=Allowed(cert_manager=True))
CA = pki.new_issuing(pki.new_root(now=datetime.now(UTC)), now=datetime.now(UTC))
NAMED = {"issuerRef": {"name": "corp"}}
PVC = {"source": {"pvc": {"claimName": "models"}}}
SERVING = NamespacedName("search", "minilm-serving-cert")
TLS = NamespacedName("search", "bot-certificate")


class Played:
    """cert-manager: issues at once what is asked for, unless it refuses; a source of its own Certificates, too."""

    def __init__(self, store):
        self.available = True
        self.sources = (self,)
        self.refusal = ""
        self.asked = {}
        self.renewals = []
        self._store = store
        self._events = asyncio.Queue()
        self._version = 1

    async def list(self):
        return Listing((), "1")

    async def watch(self, since):  # noqa: ARG002 - there is nothing before
        while True:
            yield await self._events.get()

    async def ensure(self, wanted):
        if self.refusal:
            raise CertificateError(self.refusal)
        known = self.asked.get(wanted.target.key)
        if known is not None and not wanted.renew:
            return
        if wanted.renew:
            self.renewals.append(wanted.target.key)
        self.asked[wanted.target.key] = wanted
        await self._issue(wanted)
        self._tell("Added" if known is None else "Modified", wanted)

    async def delete(self, gone):
        self._tell("Deleted", self.asked.pop(gone.key))

    async def _issue(self, wanted):
        request = wanted.request if wanted.request.identity else replace(wanted.request, identity="spiffe://corp/x")
        data = pki.issue_leaf(CA, request, now=datetime.now(UTC)).secret_data()
        template = certificate(wanted)["spec"]["secretTemplate"]
        key = wanted.target.key
        annotations = template["annotations"] | {names.ANNOTATION_CERTIFICATE: key.name}
        raw = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "labels": template["labels"],
                "annotations": annotations,
            },
            "data": {entry: base64.b64encode(value).decode() for entry, value in data.items()},
        }
        try:
            await self._store.create(raw)
        except Exception:  # noqa: BLE001 - it is there
            found = await self._store.get(SECRET, key.namespace, key.name)
            await self._store.replace({**found, "data": found["data"] | raw["data"]})

    def _tell(self, kind, wanted):
        self._version += 1
        raw = certificate(wanted)
        raw["metadata"] |= {"uid": f"uid-{wanted.target.key.name}", "resourceVersion": str(self._version)}
        raw["status"] = {"conditions": [{"type": "Ready", "status": "True", "message": "up to date"}]}
        self._events.put_nowait(WatchEvent(kind, raw, str(self._version)))


class Workloads(RememberedWorkloads):
    async def publish_trust(self, namespace, bundle):
        pass


@contextlib.asynccontextmanager
async def running(world: World) -> AsyncIterator[Played]:
    """With a gateway that reads every format of a document."""
    status, played = RuntimeStatus(), Played(world.store)
    status.put(ENDPOINT, EndpointRuntime(formats={"gateway-0": FORMAT}))
    controller = Controller(
        world.store, Workloads(), SETTINGS, RememberedScaling(status), status, clock=world.now, certificates=played
    )
    task = asyncio.create_task(controller.run())
    try:
        yield played
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


async def reaches(world, kind, key, condition, wanted):
    async def holds():
        return await world.condition(kind, key, condition) == wanted

    await until(holds)


async def test_what_cert_manager_issues_reaches_callers_and_so_does_each_renewal(world):
    async with running(world) as played:
        await world.store.create(endpoint_object(model=PVC, tls=NAMED))
        await world.store.create(client_object(CLIENT, ENDPOINT))
        await reaches(world, INFERENCE_ENDPOINT, ENDPOINT, "CertificatesReady", ("True", "Issued"))
        first = await until(world.document)
        assert first.server_certificate.encode() == (await world.secret(SERVING))["tls.crt"]

        async def trusts_it():
            held = await world.secret(NamespacedName("search", "bot-key"))
            return held and CA.trust_pem in held["ca.crt"]

        await until(trusts_it)
        await played._issue(played.asked[SERVING])

        async def follows():
            return (await world.document()).server_certificate != first.server_certificate

        await until(follows)
        assert await world.secret(NamespacedName(SETTINGS.operator_namespace, names.server_tls(ENDPOINT))) is None

        await world.delete(INFERENCE_ENDPOINT, ENDPOINT)
        await until(lambda: gone(world, played, SERVING))


async def test_a_client_gets_a_certificate_and_takes_it_along_when_it_goes(world):
    async with running(world) as played:
        await world.store.create(endpoint_object(model=PVC))
        await world.store.create(client_object(CLIENT, ENDPOINT, certificate=NAMED))
        await reaches(world, INFERENCE_CLIENT, CLIENT, "CredentialsReady", ("True", "Issued"))

        async def complete():
            return {"url", "endpoints.json", "server-ca.crt"} <= (await world.secret(TLS)).keys()

        await until(complete)
        found = await world.store.get(SECRET, TLS.namespace, TLS.name)
        assert "ownerReferences" not in found["metadata"]
        assert pki.read_leaf(await world.secret(TLS)).issuer_key_id == CA.key_id

        await world.delete(INFERENCE_CLIENT, CLIENT)
        await until(lambda: gone(world, played, TLS))


async def gone(world, played, key):
    return key not in played.asked and await world.secret(key) is None


async def test_a_refusal_is_said_and_forgotten_once_it_is_over(world):
    async with running(world) as played:
        played.refusal = "the webhook said no"
        await world.store.create(endpoint_object(model=PVC, tls=NAMED))
        await world.store.create(client_object(CLIENT, ENDPOINT, certificate=NAMED))
        await reaches(world, INFERENCE_ENDPOINT, ENDPOINT, "CertificatesReady", ("False", "CertificateRefused"))
        await reaches(world, INFERENCE_CLIENT, CLIENT, "CredentialsReady", ("False", "CertificateRefused"))
        # It is no matter of the workload.
        assert (await world.condition(INFERENCE_ENDPOINT, ENDPOINT, "WorkloadAvailable"))[1] != "WorkloadRefused"
        played.refusal = ""
        await reaches(world, INFERENCE_ENDPOINT, ENDPOINT, "CertificatesReady", ("True", "Issued"))
        await reaches(world, INFERENCE_CLIENT, CLIENT, "CredentialsReady", ("True", "Issued"))


async def test_a_renewal_is_asked_for_once(world):
    async with running(world) as played:
        await world.store.create(endpoint_object(model=PVC))
        await world.store.create(client_object(CLIENT, ENDPOINT, certificate=NAMED))
        await reaches(world, INFERENCE_CLIENT, CLIENT, "CredentialsReady", ("True", "Issued"))
        before = await world.secret(TLS)
        found = await world.store.get(INFERENCE_CLIENT, CLIENT.namespace, CLIENT.name)
        found["metadata"]["annotations"] = {names.ANNOTATION_RENEW: "monday"}
        del found["metadata"]["resourceVersion"]
        await world.store.replace(found)

        async def renewed():
            return (await world.secret(TLS))["tls.crt"] != before["tls.crt"]

        await until(renewed)
        await world.update(INFERENCE_CLIENT, CLIENT, lambda spec: spec.update(rateLimit={"requests": 7}))
        await asyncio.sleep(0.5)
        assert played.renewals == [TLS]


async def test_a_client_whose_ca_an_endpoint_does_not_trust_is_told_until_it_does(world):
    access = {"mtls": {"trust": [{"secretName": "corp"}]}}
    other = pki.new_issuing(pki.new_root(now=datetime.now(UTC)), now=datetime.now(UTC))
    async with running(world):
        await world.store.create(trust_object(other.trust_pem))
        await world.store.create(endpoint_object(model=PVC, access=access))
        named = client_object(CLIENT, ENDPOINT, certificate=NAMED)
        del named["spec"]["apiKey"]
        await world.store.create(named)
        await reaches(world, INFERENCE_CLIENT, CLIENT, "EndpointsGranted", ("False", "CertificateNotTrusted"))
        found = await world.store.get(SECRET, ENDPOINT.namespace, "corp")
        await world.store.replace({**found, "data": trust_object(CA.trust_pem)["data"]})
        await reaches(world, INFERENCE_CLIENT, CLIENT, "EndpointsGranted", ("True", "Granted"))


def trust_object(ca):
    labels = {names.LABEL_USE: names.USE_TRUST}
    metadata = {"name": "corp", "namespace": ENDPOINT.namespace, "labels": labels}
    data = {pki.CA_CRT: base64.b64encode(ca).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
