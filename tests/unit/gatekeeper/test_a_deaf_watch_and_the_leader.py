"""A gateway whose watch tells nothing learns of a new document from the leader, over the real report stream."""

import asyncio
import base64
import json
from contextlib import suppress
from dataclasses import replace

import grpc.aio
import pytest

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName, ObjectRef
from nightlatch.controller.autoscaling.autoscaler import Autoscaler
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.embedded.gateway_directory import FileGatewayDirectory
from nightlatch.gatekeeper.gatekeeper import Gatekeeper
from nightlatch.gatekeeper.process.fallback import fallback_certificate
from nightlatch.gatekeeper.report_stream import credentials
from nightlatch.gatekeeper.xds.program import Program
from nightlatch.planning.plan import DocumentSequence
from nightlatch.wire.revocations import Revocations, encode_revocations
from tests.unit.controller.stand_in_gateway import TRUST_DOMAIN, Pki
from tests.unit.gatekeeper.test_documents import DOCUMENT, KEY, NAMESPACE, Deaf, secret

NAME = names.route_document(KEY)


class NoWorkloads:
    async def observe(self, _key):
        return None

    async def changes(self):
        await asyncio.Event().wait()
        yield KEY


def plain_secret(name, role, data):
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {names.LABEL_ROLE: role}}
    encoded = {entry: base64.b64encode(value).decode() for entry, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}


@pytest.fixture
async def installation(tmp_path):
    """Store, gatekeeper and leader."""
    pki, store = Pki(), Deaf(tmp_path / "state")
    client = pki.issue(names.gateway_identity(TRUST_DOMAIN), "client")
    await store.create(plain_secret(names.GATEWAY_CLIENT_TLS_SECRET, names.ROLE_GATEWAY_TLS, client.secret_data()))
    await store.create(secret(DOCUMENT))
    gatekeeper = Gatekeeper(
        name="gateway-0",
        store=store,
        gateway_namespace=NAMESPACE,
        workloads=NoWorkloads(),
        operator_identity=names.operator_identity(TRUST_DOMAIN),
        program=Program("127.0.0.1", 1, fallback_certificate()),
        max_held=8,
        max_staleness=3600.0,
    )
    await gatekeeper.become_current()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((gatekeeper.reports.handler(),))
    port = server.add_secure_port("127.0.0.1:0", credentials(lambda: pki.gateway))
    await server.start()
    announce = tmp_path / "announce.json"
    announce.write_text(json.dumps({"report": {"host": "127.0.0.1", "port": port}}))

    async def material():
        return pki.operator

    leader = Autoscaler(
        workloads=NoWorkloads(),
        runtime_status=RuntimeStatus(),
        directory=FileGatewayDirectory({"gateway-0": announce}),
        material=material,
    )
    tasks = [asyncio.create_task(gatekeeper.follow()), asyncio.create_task(leader.run())]
    yield store, gatekeeper, leader
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await server.stop(0)
    gatekeeper.close()


async def within(seconds, condition):
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)
    assert condition(), f"not within {seconds} s"


async def test_a_document_that_the_watch_does_not_tell_of_arrives_within_seconds(installation):
    store, gatekeeper, leader = installation
    await within(20, lambda: gatekeeper.reports.connected)
    await store.replace(secret(replace(DOCUMENT, sequence=2)))
    await asyncio.sleep(0.3)
    assert gatekeeper.endpoints[KEY].document.sequence == 1
    leader.written(DocumentSequence(NAME, 2))
    await within(5, lambda: gatekeeper.endpoints[KEY].document.sequence == 2)


async def test_deletions_and_revocations_arrive_as_well(installation):
    store, gatekeeper, leader = installation
    await within(20, lambda: gatekeeper.reports.connected)
    revoked = Revocations(5, frozenset({NamespacedName("search", "bot")}))
    await store.create(plain_secret(names.REVOCATIONS_SECRET, names.ROLE_REVOCATIONS, encode_revocations(revoked)))
    leader.written(DocumentSequence(names.REVOCATIONS_SECRET, 5))
    await within(5, lambda: gatekeeper.gate_state.revocations == revoked)
    await store.delete(ObjectRef("Secret", NamespacedName(NAMESPACE, NAME)))
    leader.written(DocumentSequence(NAME, 0))
    await within(5, lambda: KEY not in gatekeeper.endpoints)
