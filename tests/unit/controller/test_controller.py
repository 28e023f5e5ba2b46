"""The control loop over a real FilesStore: what becomes of endpoints and clients, and of their end."""

import base64
import json
import logging
from datetime import timedelta

import pytest

from nightlatch import api_keys, pki
from nightlatch.api import names
from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, SECRET, TOKEN_ISSUER, NamespacedName
from nightlatch.logs import JsonLines
from nightlatch.scaling.runtime import EndpointRuntime
from nightlatch.wire.issuer_document import decode_issuer
from nightlatch.wire.route_document import TrustedIssuer
from tests.attack.tokens import Signer
from tests.unit.controller.world import (
    CLIENT,
    ENDPOINT,
    SETTINGS,
    World,
    client_object,
    endpoint_object,
    until,
)

KEY_SECRET = NamespacedName("search", "bot-key")
UPSTREAM = NamespacedName("search", names.upstream_tls(ENDPOINT))
SERVER = NamespacedName(SETTINGS.operator_namespace, names.server_tls(ENDPOINT))
OTHER = NamespacedName("search", "other")


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "state")


async def granted(world, endpoint=ENDPOINT):
    """The client's digest once the endpoint's document holds it."""

    async def holds():
        data = await world.secret(KEY_SECRET)
        digest = api_keys.digest(data["api-key"].decode()) if data else ""
        return digest if digest in (await world.digests(endpoint) or ()) else None

    return await until(holds)


async def test_an_endpoint_and_a_client_end_up_as_a_key_in_the_document(world):
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))
    async with world.running():
        await granted(world)
        document = await world.document()
        await until(lambda: _is(world, INFERENCE_CLIENT, CLIENT, "CredentialsReady", "True"))
    data = await world.secret(KEY_SECRET)
    assert data["url"] == b"https://minilm.search.localhost:8443"
    assert data["ca.crt"].decode() == document.upstream_ca
    assert document.hosts == ("minilm.search.localhost",)
    assert [(grant.client, grant.permissions) for grant in document.keys] == [(CLIENT, ("infer", "metadata"))]
    assert world.workloads.workloads[ENDPOINT].tls_secret == UPSTREAM.name


async def test_a_second_endpoint_in_the_spec_replaces_the_url_by_a_list_and_keeps_the_key(world):
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))
    async with world.running():
        await granted(world)
        before = await world.secret(KEY_SECRET)
        both = [{"name": ENDPOINT.name}, {"name": OTHER.name}]
        await world.update(INFERENCE_CLIENT, CLIENT, lambda spec: spec.update(endpoints=both))

        async def without_url():
            data = await world.secret(KEY_SECRET)
            return data if "url" not in data else None

        after = await until(without_url)
    assert after["api-key"] == before["api-key"]
    assert list(json.loads(before["endpoints.json"])) == [str(ENDPOINT)]
    assert json.loads(after["endpoints.json"])[str(OTHER)] == {"url": f"https://{OTHER.name}.search.localhost:8443"}


async def test_the_key_is_known_to_the_named_endpoint_alone_and_leaves_when_unnamed(world):
    for key in (ENDPOINT, OTHER):
        await world.store.create(endpoint_object(key))
    await world.store.create(client_object(CLIENT, ENDPOINT))
    async with world.running():
        digest = await granted(world)
        assert await until(lambda: world.document(OTHER))
        assert await world.digests(OTHER) == set()
        before = (await world.document()).sequence
        await world.update(INFERENCE_CLIENT, CLIENT, lambda spec: spec.update(endpoints=[{"name": OTHER.name}]))
        await until(lambda: _equals(world.digests(), set()))
        await until(lambda: _equals(world.digests(OTHER), {digest}))
    assert (await world.document()).sequence > before


async def test_a_document_that_says_nothing_new_keeps_its_sequence(world):
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))
    async with world.running() as controller:
        await granted(world)
        before = await world.document()
        await world.update(INFERENCE_ENDPOINT, ENDPOINT, lambda spec: spec["scaling"].update(idleAfter="1m"))
        await until(lambda: _observed(world, 2))
        controller.enqueue(INFERENCE_ENDPOINT.kind, ENDPOINT)
        await until(lambda: _idle(controller))
    assert (await world.document()).sequence == before.sequence


async def test_a_foreign_secret_is_never_overwritten(world):
    foreign = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": KEY_SECRET.name, "namespace": KEY_SECRET.namespace},
        "data": {"password": base64.b64encode(b"hunter2").decode()},
    }
    created = await world.store.create(foreign)
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))
    async with world.running():
        await until(lambda: _is(world, INFERENCE_CLIENT, CLIENT, "CredentialsReady", "False", "SecretConflict"))
        await until(world.document)
        assert await world.digests() == set()
        await world.delete(INFERENCE_CLIENT, CLIENT)
        await world.delete(INFERENCE_ENDPOINT, ENDPOINT)
        await until(lambda: _gone(world, SECRET, SERVER))
    assert (await world.find(SECRET, KEY_SECRET)) == created


async def test_keys_and_cas_survive_a_restart(world, tmp_path):
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))
    async with world.running():
        digest = await granted(world)
        before = await world.document()
    again = World(tmp_path / "state")
    async with again.running() as controller:
        await until(lambda: _has(again.workloads.workloads))
        await until(lambda: _idle(controller))
    assert await again.digests() == {digest}
    assert await again.document() == before


async def test_leaves_near_their_end_are_issued_again_at_start(world):
    await world.store.create(endpoint_object())
    async with world.running():
        before = await until(world.document)
        serials = [await _serial(world, key) for key in (SERVER, UPSTREAM, *_own_leaves())]
    world.ahead = timedelta(hours=17)
    async with world.running():
        for key, serial in zip((SERVER, UPSTREAM, *_own_leaves()), serials, strict=True):
            await until(lambda key=key, serial=serial: _renewed(world, key, serial))
        renewed = await until(lambda: _newer(world, before.sequence))
    assert renewed.server_certificate != before.server_certificate
    assert renewed.upstream_ca == before.upstream_ca


async def test_a_new_issuing_ca_comes_at_half_life_and_its_leaves_follow(world):
    async with world.running():
        await until(lambda: _renewed(world, _own_leaves()[0], ""))
        old = pki.read_ca(await world.secret(_issuing()))
    world.ahead = timedelta(days=190)
    async with world.running():
        await until(lambda: _issued_by_another(world, _own_leaves()[0], old.key_id))
        new = pki.read_ca(await world.secret(_issuing()))
    assert new.trust == old.trust


async def test_a_deleted_client_leaves_the_documents_and_then_its_secret_goes(world):
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))
    async with world.running():
        await granted(world)
        await world.delete(INFERENCE_CLIENT, CLIENT)
        await until(lambda: _gone(world, SECRET, KEY_SECRET))
        assert await world.digests() == set()


async def test_a_deleted_endpoint_takes_everything_along(world):
    await world.store.create(endpoint_object())
    async with world.running():
        await until(world.document)
        await until(lambda: _has(world.workloads.workloads))
        await world.delete(INFERENCE_ENDPOINT, ENDPOINT)
        for key in (SERVER, UPSTREAM, NamespacedName(SETTINGS.gateway_namespace, names.route_document(ENDPOINT))):
            await until(lambda key=key: _gone(world, SECRET, key))
        await until(lambda: _has([not world.workloads.workloads] if not world.workloads.workloads else []))


async def test_what_was_deleted_while_nobody_watched_is_swept_at_start(world):
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))
    async with world.running():
        await granted(world)
        await until(lambda: _has(world.workloads.workloads))
    await world.delete(INFERENCE_ENDPOINT, ENDPOINT)
    await world.delete(INFERENCE_CLIENT, CLIENT)
    async with world.running():
        for key in (SERVER, UPSTREAM, KEY_SECRET):
            await until(lambda key=key: _gone(world, SECRET, key))
        await until(lambda: _has([1] if not world.workloads.workloads else []))


async def test_an_endpoint_made_again_under_its_name_gets_children_of_its_own(world):
    await world.store.create(endpoint_object())
    async with world.running():
        before = await until(world.document)
    await world.delete(INFERENCE_ENDPOINT, ENDPOINT)
    created = await world.store.create(endpoint_object())
    async with world.running():
        after = await until(lambda: _of(world, created["metadata"]["uid"]))
    assert after.sequence > before.sequence
    assert after.server_certificate != before.server_certificate


async def test_a_refused_workload_shows_and_is_tried_again(world):
    world.workloads.refusal = "no memory left: free some"
    await world.store.create(endpoint_object())
    async with world.running():
        await until(lambda: _is(world, INFERENCE_ENDPOINT, ENDPOINT, "WorkloadAvailable", "False", "WorkloadRefused"))
        world.workloads.refusal = ""
        await until(lambda: _is(world, INFERENCE_ENDPOINT, ENDPOINT, "WorkloadAvailable", "True"))


async def test_what_the_autoscaler_sees_reaches_the_status(world):
    await world.store.create(endpoint_object())
    async with world.running() as controller:
        document = await until(world.document)
        await until(lambda: _is(world, INFERENCE_ENDPOINT, ENDPOINT, "Ready", "Unknown", "NoGateway"))
        controller.runtime_status.put(ENDPOINT, EndpointRuntime(applied={"gateway-0": document.sequence}))
        await until(lambda: _is(world, INFERENCE_ENDPOINT, ENDPOINT, "Ready", "True"))
        assert (await world.find(INFERENCE_ENDPOINT, ENDPOINT))["status"]["state"] == "Asleep"


async def test_a_client_is_ready_once_every_gateway_knows_its_key_and_stays_so(world):
    await world.store.create(endpoint_object())
    await world.store.create(client_object(CLIENT, ENDPOINT))
    async with world.running() as controller:
        await granted(world)
        sequence = (await world.document()).sequence
        await until(lambda: _is(world, INFERENCE_CLIENT, CLIENT, "Ready", "False", "KeyNotProgrammed"))
        controller.runtime_status.put(
            ENDPOINT, EndpointRuntime(applied={"gateway-0": sequence, "gateway-1": sequence - 1})
        )
        controller.enqueue(INFERENCE_CLIENT.kind, CLIENT)
        assert await _is(world, INFERENCE_CLIENT, CLIENT, "Ready", "False", "KeyNotProgrammed")
        controller.runtime_status.put(ENDPOINT, EndpointRuntime(applied={"gateway-0": sequence, "gateway-1": sequence}))
        await until(lambda: _is(world, INFERENCE_CLIENT, CLIENT, "Ready", "True"))


async def test_a_client_of_another_namespace_needs_to_be_let_in(world):
    stranger = NamespacedName("other", "bot")
    await world.store.create(endpoint_object())
    await world.store.create(client_object(stranger, ENDPOINT))
    async with world.running():
        await until(lambda: _is(world, INFERENCE_CLIENT, stranger, "EndpointsGranted", "False", "NamespaceNotAllowed"))
        assert await until(world.document)
        assert await world.digests() == set()
        names_ = {"allowedNamespaces": {"from": "Names", "names": ["other"]}}
        await world.update(INFERENCE_ENDPOINT, ENDPOINT, lambda spec: spec["access"].update(names_))
        await until(lambda: _is(world, INFERENCE_CLIENT, stranger, "EndpointsGranted", "True"))
        await until(world.digests)


async def test_an_endpoint_follows_its_token_issuer_from_its_creation_to_its_end(world):
    inline = {"keys": [Signer("ES256").jwk]}
    issuer = {
        "apiVersion": "nightlatch.dev/v1alpha1",
        "kind": "TokenIssuer",
        "metadata": {"name": "corp", "namespace": "search"},
        "spec": {"issuer": "https://id.example", "audiences": ["minilm"], "keys": {"inline": inline}},
    }
    subject = endpoint_object()
    subject["spec"]["access"]["jwt"] = {"issuers": [{"name": "corp"}]}
    await world.store.create(subject)
    key = NamespacedName("search", "corp")
    secret = NamespacedName(SETTINGS.gateway_namespace, names.issuer_document(key))
    async with world.running() as controller:
        controller.runtime_status.put(ENDPOINT, EndpointRuntime(formats={"g0": SETTINGS.document_format}))
        await until(lambda: _is(world, INFERENCE_ENDPOINT, ENDPOINT, "IssuersReady", "False", "IssuerNotFound"))
        await world.store.create(issuer)
        await until(lambda: _is(world, TOKEN_ISSUER, key, "Ready", "True"))
        await until(lambda: _is(world, INFERENCE_ENDPOINT, ENDPOINT, "IssuersReady", "True"))
        await until(lambda: _takes(world, (TrustedIssuer(key, "https://id.example"),)))
        await world.update(TOKEN_ISSUER, key, lambda spec: spec.update(denied={"jti": ["leaked"]}))
        await until(lambda: _denies(world, secret, "leaked"))
        await world.delete(TOKEN_ISSUER, key)
        await until(lambda: _takes(world, ()))
        assert await world.secret(secret) is None
        await until(lambda: _is(world, INFERENCE_ENDPOINT, ENDPOINT, "IssuersReady", "False", "IssuerNotFound"))


async def _denies(world, secret, jti):
    return jti in decode_issuer(await world.secret(secret)).denied.jti


async def _takes(world, issuers):
    document = await world.document()
    return document is not None and document.issuers == issuers


async def test_a_damaged_ca_stops_issuing_and_is_never_replaced(world, caplog):
    async with world.running():
        await until(lambda: _renewed(world, _own_leaves()[0], ""))
    root = NamespacedName(SETTINGS.operator_namespace, names.ROOT_CA_SECRET)
    found = await world.store.get(SECRET, root.namespace, root.name)
    found["data"]["tls.key"] = base64.b64encode(b"-----BEGIN PRIVATE KEY-----\nMARKER").decode()
    damaged = await world.store.replace(found)
    caplog.set_level(logging.WARNING)
    async with world.running():
        await until(lambda: _has([each for each in caplog.records if "is damaged" in getattr(each, "error", "")]))
    assert await world.find(SECRET, root) == damaged
    assert "MARKER" not in "".join(map(JsonLines().format, caplog.records))


def _issuing():
    return NamespacedName(SETTINGS.operator_namespace, names.ISSUING_CA_SECRET)


def _own_leaves():
    return (
        NamespacedName(SETTINGS.operator_namespace, names.OPERATOR_TLS_SECRET),
        NamespacedName(SETTINGS.gateway_namespace, names.GATEWAY_CLIENT_TLS_SECRET),
        NamespacedName(SETTINGS.gateway_namespace, names.GATEWAY_SERVER_TLS_SECRET),
    )


async def _serial(world, key):
    return pki.read_leaf(await until(lambda: world.secret(key))).serial


async def _renewed(world, key, serial):
    data = await world.secret(key)
    return data is not None and pki.read_leaf(data).serial != serial


async def _issued_by_another(world, key, key_id):
    data = await world.secret(key)
    return data is not None and pki.read_leaf(data).issuer_key_id != key_id


async def _newer(world, sequence):
    found = await world.document()
    return found if found and found.sequence > sequence else None


async def _of(world, uid):
    found = await world.document()
    return found if found and found.uid == uid else None


async def _is(world, kind, key, condition, status, reason=None):
    found = await world.condition(kind, key, condition)
    return found[0] == status and reason in {None, found[1]}


async def _observed(world, generation):
    status = (await world.find(INFERENCE_ENDPOINT, ENDPOINT)).get("status", {})
    return status.get("observedGeneration") == generation


async def _gone(world, kind, key):
    return await world.find(kind, key) is None


async def _equals(awaited, value):
    return await awaited == value


async def _has(collection):
    return len(collection) > 0


async def _idle(controller):
    return not controller.queue.busy()
