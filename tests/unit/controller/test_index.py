"""The reverse index: whom a change touches, and what of it is urgent."""

import base64
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from nightlatch import api_keys, pki
from nightlatch.api import names
from nightlatch.api.meta import NamespacedName, ObjectRef
from nightlatch.api.validation.allowed import Allowed
from nightlatch.controller.apply import secret_object
from nightlatch.controller.index import Index, Requeue
from nightlatch.planning.client.key_secret import ledger_data
from nightlatch.planning.client.ledger import Ledger, LedgerKey
from nightlatch.planning.plan import OwnedSecret, Owner
from nightlatch.planning.settings import Settings
from nightlatch.wire.route_document import CertificateGrant, KeyGrant, RouteDocument, encode
from tests.unit.controller.world import CLIENT, ENDPOINT, SETTINGS, client_object, endpoint_object

OTHER = NamespacedName("search", "other")
BOT, MINILM, SECOND = (
    ObjectRef("InferenceClient", CLIENT),
    ObjectRef("InferenceEndpoint", ENDPOINT),
    ObjectRef("InferenceEndpoint", OTHER),
)
KEY = api_keys.mint(lambda size: b"k" * size)
KEY_SECRET = ObjectRef("Secret", NamespacedName("search", "bot-key"))


def stored(raw, generation=1, uid="uid-c"):
    raw["metadata"] |= {"uid": uid, "generation": generation, "resourceVersion": "1"}
    return raw


def key_secret(*, name="bot-key", namespace="search", uid="uid-c", text=KEY.text, owner=BOT):
    target = OwnedSecret(
        NamespacedName(namespace, name), names.ROLE_API_KEY, Owner(owner, uid, "nightlatch.dev/v1alpha1")
    )
    key = LedgerKey(KEY.key_id, api_keys.digest(text), "Current", 1_800_000_000, text=text)
    data = {entry: value for entry, value in ledger_data(Ledger((key,))).items() if value is not None}
    return stored(secret_object(target, data), uid="uid-s")


GRANT = KeyGrant(api_keys.digest(KEY.text), CLIENT, KEY.key_id, ("infer",))


def document(*, namespace=SETTINGS.gateway_namespace, sequence=7, keys=(GRANT,)):
    """A route document that lets the client in with its key."""
    pem = "-----BEGIN CERTIFICATE-----\n"
    found = RouteDocument(
        endpoint=ENDPOINT,
        uid="uid-1",
        sequence=sequence,
        hosts=("minilm.search.localhost",),
        operations=(),
        upstream_identity="spiffe://nightlatch.local/ns/search/ie/minilm",
        keys=keys,
        server_certificate=pem,
        server_private_key=pem,
        upstream_ca=pem,
    )
    owner = Owner(MINILM, "uid-1", "nightlatch.dev/v1alpha1")
    target = OwnedSecret(NamespacedName(namespace, names.route_document(ENDPOINT)), names.ROLE_ROUTE_DOCUMENT, owner)
    return stored(secret_object(target, encode(found)), uid="uid-d")


def known(raw):
    """The client with a status that knows the key."""
    keys = [{"id": KEY.key_id, "state": "Current", "createdAt": "2026-01-01T00:00:00Z"}]
    return {**raw, "status": {"keys": keys}}


@pytest.fixture
def index():
    """Two endpoints; a client of the first, with its key."""
    index = Index(SETTINGS)
    index.put(stored(endpoint_object(ENDPOINT), uid="uid-1"))
    index.put(stored(endpoint_object(OTHER), uid="uid-2"))
    index.put(stored(client_object(CLIENT, ENDPOINT)))
    index.put(key_secret())
    return index


def test_the_clients_of_an_endpoint_come_with_their_digests_and_never_the_text(index):
    (view,) = index.clients_of(ENDPOINT)
    assert [key.sha256 for key in view.keys] == [api_keys.digest(KEY.text)]
    assert KEY.text not in repr(vars(index))
    assert index.clients_of(OTHER) == ()


def test_an_endpoint_that_is_no_longer_named_is_touched_urgently(index):
    requeue = index.put(stored(client_object(CLIENT, OTHER), generation=2))
    assert set(requeue) == {Requeue(BOT), Requeue(MINILM, urgent=True), Requeue(SECOND)}


def test_a_grant_that_only_grows_is_not_urgent(index):
    requeue = index.put(stored(client_object(CLIENT, ENDPOINT, OTHER), generation=2))
    assert not any(each.urgent for each in requeue)


@pytest.mark.parametrize(
    "changed",
    [
        {"suspend": True},
        {"apiKey": {"revokedKeyIds": [KEY.key_id]}},
        {"endpoints": [{"name": ENDPOINT.name, "permissions": ["metadata"]}]},
    ],
)
def test_whatever_takes_from_a_client_is_urgent(index, changed):
    raw = client_object(CLIENT, ENDPOINT)
    raw["spec"] |= changed
    assert Requeue(MINILM, urgent=True) in index.put(stored(raw, generation=2))


def test_a_deleted_client_is_urgent(index):
    assert Requeue(MINILM, urgent=True) in index.drop(BOT)
    assert index.clients_of(ENDPOINT) == ()


def digests(index):
    return [key.sha256 for view in index.clients_of(ENDPOINT) for key in view.keys]


def test_a_deleted_secret_takes_no_key_from_a_client_whose_key_the_documents_hold(index):
    index.put(document())
    index.put(known(stored(client_object(CLIENT, ENDPOINT))))
    assert not any(each.urgent for each in index.drop(KEY_SECRET))
    assert digests(index) == [api_keys.digest(KEY.text)]


def test_a_client_that_was_created_again_has_nothing_of_the_one_before(index):
    index.put(document())
    index.put(known(stored(client_object(CLIENT, ENDPOINT))))
    index.drop(BOT)
    index.drop(KEY_SECRET)
    index.put(stored(client_object(CLIENT, ENDPOINT), uid="uid-new"))
    assert digests(index) == []


def test_what_an_earlier_document_allows_counts_until_all_gateways_have_the_newest(index):
    for sequence, keys in ((7, (GRANT,)), (8, ()), (9, ())):
        index.put(document(sequence=sequence, keys=keys))
    for applied, allowed in ((8, {(CLIENT, KEY.key_id)}), (9, set()), (8, set())):
        (found,) = index.document_keys(lambda _, sequence, applied=applied: applied >= sequence)
        assert (found.keys, found.applied) == (allowed, applied == 9)
    index.put(document(sequence=10))
    index.put(document(sequence=11, keys=()))
    index.drop(ObjectRef("Secret", NamespacedName.of(document())))
    index.put(document(sequence=12, keys=()))
    assert [found.keys for found in index.document_keys(lambda _, __: False)] == [frozenset()]


def test_a_document_outside_the_gateways_namespace_says_nothing(index):
    index.put(document(namespace="search"))
    index.put(known(stored(client_object(CLIENT, ENDPOINT))))
    index.drop(KEY_SECRET)
    assert digests(index) == []


def test_the_keys_of_a_client_stay_while_its_secret_is_renamed(index):
    raw = client_object(CLIENT, ENDPOINT, apiKey={"secretName": "renamed"})
    assert not any(each.urgent for each in index.put(stored(raw, generation=2)))
    assert digests(index) == [api_keys.digest(KEY.text)]
    index.put(key_secret(name="renamed"))
    assert not any(each.urgent for each in index.drop(KEY_SECRET))
    assert digests(index) == [api_keys.digest(KEY.text)]


def test_an_endpoint_that_lets_fewer_in_is_urgent_and_its_clients_are_told(index):
    raw = endpoint_object(ENDPOINT, access={"apiKey": {}, "allowedNamespaces": {"from": "Names", "names": ["b"]}})
    requeue = index.put(stored(raw, generation=2, uid="uid-1"))
    assert set(requeue) == {Requeue(MINILM, urgent=True), Requeue(BOT)}


def test_our_own_writing_of_status_calls_for_nothing(index):
    raw = stored(client_object(CLIENT, ENDPOINT))
    raw["metadata"]["resourceVersion"] = "2"
    assert index.put({**raw, "status": {"observedGeneration": 1}}) == ()


@pytest.mark.parametrize(
    "forged",
    [
        {"namespace": "elsewhere", "text": api_keys.mint(lambda size: b"x" * size).text},
        {"owner": ObjectRef("InferenceClient", OTHER)},
        {"uid": "uid-other", "text": api_keys.mint(lambda size: b"x" * size).text},
    ],
)
def test_a_secret_that_only_says_it_is_the_clients_gives_no_key(index, forged):
    index.drop(KEY_SECRET)
    index.put(key_secret(**forged))
    assert index.clients_of(ENDPOINT)[0].keys == ()


def test_a_secret_without_our_annotation_touches_nobody(index):
    raw = key_secret()
    del raw["metadata"]["annotations"]
    raw["data"]["api-key"] = base64.b64encode(b"x").decode()
    assert index.put(raw) == ()


def test_endpoints_whose_names_make_one_host_are_rivals():
    index = Index(SETTINGS)
    index.put(stored(endpoint_object(NamespacedName("c", "a.b")), uid="uid-1"))
    assert index.host_claims_of(NamespacedName("c", "a.b")) == ()
    index.put(stored(endpoint_object(NamespacedName("b.c", "a")), uid="uid-2"))
    assert [rival.endpoint for rival in index.host_claims_of(NamespacedName("b.c", "a"))] == [
        NamespacedName("c", "a.b")
    ]


CLUSTER = Settings(platform="Cluster")
BY_LABEL = {"from": "Selector", "selector": {"matchLabels": {"team": "ml"}}}
STRANGER = NamespacedName("other", "bot")


def namespace(name="other", **labels):
    return stored({"kind": "Namespace", "metadata": {"name": name, "namespace": name, "labels": labels}}, uid="uid-n")


@pytest.fixture
def selecting():
    """An endpoint that lets clients in by a label, a client of another namespace with its key, and one of its own."""
    index = Index(CLUSTER)
    volume = {"source": {"pvc": {"claimName": "models"}}}
    index.put(stored(endpoint_object(ENDPOINT, model=volume, access={"apiKey": {}, "allowedNamespaces": BY_LABEL})))
    index.put(stored(client_object(STRANGER, ENDPOINT)))
    index.put(stored(client_object(CLIENT, ENDPOINT)))
    index.put(key_secret(namespace="other", owner=ObjectRef("InferenceClient", STRANGER)))
    return index


def may_call(index, client):
    return client in index.good_standing()


def test_a_label_lets_a_namespaces_clients_in_and_its_end_revokes_at_once(selecting):
    stranger = ObjectRef("InferenceClient", STRANGER)
    assert not may_call(selecting, STRANGER)

    gained = selecting.put(namespace(team="ml"))
    assert may_call(selecting, STRANGER)
    assert {Requeue(stranger), Requeue(MINILM)} <= set(gained)
    assert not any(each.urgent for each in gained)

    lost = selecting.put(namespace(team="web"))
    assert not may_call(selecting, STRANGER)
    assert Requeue(MINILM, urgent=True) in lost
    assert all(each.ref.key != CLIENT for each in (*gained, *lost)), "clients of other namespaces are left alone"


def test_a_namespace_that_goes_takes_its_labels_along(selecting):
    selecting.put(namespace(team="ml"))
    assert Requeue(MINILM, urgent=True) in selecting.drop(ObjectRef("Namespace", NamespacedName("other", "other")))
    assert not may_call(selecting, STRANGER)


def test_a_client_that_comes_after_its_namespace_has_its_labels(selecting):
    selecting.drop(ObjectRef("InferenceClient", STRANGER))
    selecting.put(namespace(team="ml"))
    selecting.put(stored(client_object(STRANGER, ENDPOINT)))
    assert may_call(selecting, STRANGER)


def test_labels_that_no_endpoint_asks_for_call_for_nothing(selecting):
    assert selecting.put(namespace("elsewhere", team="ml")) == ()
    volume = {"source": {"pvc": {"claimName": "models"}}}
    by_name = {"apiKey": {}, "allowedNamespaces": {"from": "Names", "names": ["other"]}}
    selecting.put(stored(endpoint_object(ENDPOINT, model=volume, access=by_name), generation=2))
    assert selecting.put(namespace(team="ml")) == ()
    # Only now does an endpoint ask for them.
    by_label = {"apiKey": {}, "allowedNamespaces": BY_LABEL}
    selecting.put(stored(endpoint_object(ENDPOINT, model=volume, access=by_label), generation=3))
    assert may_call(selecting, STRANGER)


def test_the_client_of_a_key_is_known_by_its_id_also_when_its_secret_moves(index):
    assert index.client_of_key(KEY.key_id) == CLIENT
    index.put(key_secret(name="renamed"))
    index.drop(KEY_SECRET)
    assert index.client_of_key(KEY.key_id) == CLIENT
    index.drop(ObjectRef("Secret", NamespacedName("search", "renamed")))
    assert index.client_of_key(KEY.key_id) is None


CORP = NamespacedName("search", "corp")
REVOCATIONS = ObjectRef("Revocations", NamespacedName(SETTINGS.gateway_namespace, names.REVOCATIONS_SECRET))


def cas(*, label=True):
    """A user's Secret of CAs to trust."""
    labels = {names.LABEL_USE: names.USE_TRUST} if label else {}
    return {"kind": "Secret", "metadata": {"namespace": "search", "name": "corp", "labels": labels}, "data": {}}


def trusting(*names_of_secrets, generation=1):
    trust = [{"secretName": name} for name in names_of_secrets]
    return stored(endpoint_object(ENDPOINT, access={"mtls": {"trust": trust}}), generation, uid="uid-e")


def test_a_change_of_cas_goes_first_to_the_endpoints_that_trust_them():
    index = Index(SETTINGS)
    assert index.put(cas()) == ()
    index.put(trusting("corp", "other"))
    assert index.put(cas()) == (Requeue(MINILM, urgent=True),)
    assert index.put(cas(label=False)) == ()
    assert index.drop(ObjectRef("Secret", CORP)) == (Requeue(MINILM, urgent=True),)
    index.put(trusting("other", generation=2))
    assert index.put(cas()) == ()
    index.drop(MINILM)
    assert index.put({**cas(), "metadata": {**cas()["metadata"], "name": "other"}}) == ()


def certified(generation=1, **spec):
    client = client_object(CLIENT, ENDPOINT, certificate={"revokedDigests": spec.pop("digests", [])}, **spec)
    del client["spec"]["apiKey"]
    return stored(client, generation)


def test_a_certificate_that_is_revoked_or_loses_its_grant_goes_first():
    index = Index(SETTINGS)
    index.put(stored(endpoint_object(ENDPOINT, access={"mtls": {}}), uid="uid-e"))
    assert Requeue(MINILM) in index.put(certified())
    revoked = index.put(certified(2, digests=["ab" * 32]))
    assert Requeue(REVOCATIONS, urgent=True) in revoked
    assert index.revoked_certificates() == {(CLIENT, "ab" * 32)}
    assert Requeue(REVOCATIONS) in index.put(certified(3))
    suspended = index.put(certified(4, suspend=True))
    assert {Requeue(REVOCATIONS, urgent=True), Requeue(MINILM, urgent=True)} <= set(suspended)
    index.put(certified(5))
    assert {Requeue(REVOCATIONS, urgent=True), Requeue(MINILM, urgent=True)} <= set(index.drop(BOT))


PEM = "-----BEGIN CERTIFICATE-----\n"


def certified_document(**changes):
    """It lets the client in with its certificate."""
    grant = CertificateGrant("spiffe://nightlatch.local/ns/search/ic/bot", CLIENT, ("infer",))
    document = RouteDocument(
        endpoint=ENDPOINT,
        uid="uid-1",
        sequence=7,
        hosts=("minilm.search.localhost",),
        operations=(),
        upstream_identity="spiffe://nightlatch.local/ns/search/ie/minilm",
        keys=(),
        certificates=(grant,),
        accept=(("mtls",),),
        client_ca=PEM,
        server_certificate=PEM,
        server_private_key=PEM,
        upstream_ca=PEM,
    )
    owner = Owner(MINILM, "uid-1", "nightlatch.dev/v1alpha1")
    key = NamespacedName(SETTINGS.gateway_namespace, names.route_document(ENDPOINT))
    target = OwnedSecret(key, names.ROLE_ROUTE_DOCUMENT, owner)
    return stored(secret_object(target, encode(replace(document, **changes))), uid="uid-d")


def test_a_client_whose_certificate_a_document_names_is_known_until_the_document_is_written_again():
    index = Index(SETTINGS)
    index.put(certified_document())
    assert index.documents_naming(CLIENT)
    assert index.document_keys_of(CLIENT) == ()
    (said,) = index.document_keys(lambda *_: True)
    assert said.certified == {CLIENT}
    index.put(certified_document(certificates=(), sequence=8))
    assert not index.documents_naming(CLIENT)


@pytest.mark.parametrize(("certificate", "told"), [({"issuerRef": {"name": "corp"}}, True), ({}, False)])
def test_a_client_of_another_issuer_is_told_when_an_endpoint_trusts_other_cas(certificate, told):
    index = Index(replace(SETTINGS, platform="Cluster", allowed=Allowed(cert_manager=True)))
    index.put(stored(client_object(CLIENT, ENDPOINT, certificate=certificate)))
    index.put(certified_document())
    assert Requeue(BOT) not in index.put(certified_document(sequence=8))
    assert (Requeue(BOT) in index.put(certified_document(sequence=9, client_ca=PEM + "another"))) == told
    (document,) = index.documents_for(index.clients[CLIENT])
    assert document.client_ca == PEM + "another"


def token_issuer(generation, *kids, iss="https://id.example", ready="True"):
    spec = {"issuer": iss, "audiences": ["minilm"], "keys": {"inline": {"keys": [{"kid": kid} for kid in kids]}}}
    at = {"lastTransitionTime": "2026-01-01T00:00:00Z", "message": "", "observedGeneration": generation}
    status = {"conditions": [{"type": "Ready", "status": ready, "reason": "Ready", **at}]}
    raw = {"apiVersion": "nightlatch.dev/v1alpha1", "kind": "TokenIssuer", "spec": spec, "status": status}
    return stored({**raw, "metadata": {"name": "corp", "namespace": "search"}}, generation, uid="uid-i")


def test_new_keys_of_an_issuer_bring_up_none_of_the_endpoints_that_share_it():
    index = Index(SETTINGS)
    corp = ObjectRef("TokenIssuer", NamespacedName("search", "corp"))
    sharing = [NamespacedName("search", f"e{number}") for number in range(3)]
    for key in sharing:
        index.put(stored(endpoint_object(key, access={"jwt": {"issuers": [{"name": "corp"}]}}), uid=key.name))
    everyone = {corp, *(ObjectRef("InferenceEndpoint", key) for key in sharing)}

    def brought_up(raw):
        return {each.ref for each in index.put(raw)}

    assert brought_up(token_issuer(1, "a")) == everyone
    assert brought_up(token_issuer(2, "a", "b")) == {corp}
    assert brought_up(token_issuer(3, "b")) == {corp}
    # They say whether its tokens are verified, and by which `iss` the gates find it.
    assert brought_up(token_issuer(3, "b", ready="False")) == everyone - {corp}
    assert brought_up(token_issuer(4, "b", iss="https://other.example", ready="False")) == everyone


SERVING = NamespacedName("search", "minilm-serving-cert")
CA = pki.new_root(now=datetime.now(UTC)).trust_pem


def serving_cert(ca=CA, *, key=SERVING, uid="uid-e", role=names.ROLE_SERVER_TLS):
    target = OwnedSecret(key, role, Owner(MINILM, uid, ""))
    return stored(secret_object(target, {"tls.crt": b"x", "ca.crt": ca}), uid="uid-t")


def certificate(owner=BOT, *, ready="False", uid="uid-c", name="bot-certificate"):
    metadata = {
        "name": name,
        "namespace": "search",
        "uid": "uid-cert",
        "labels": {names.LABEL_OWNER_UID: uid},
        "annotations": {names.ANNOTATION_OWNER: f"{owner.kind}/{owner.key}"},
    }
    return {
        "kind": "Certificate",
        "metadata": metadata,
        "status": {"conditions": [{"type": "Ready", "status": ready, "message": "m"}]},
    }


def test_what_cert_manager_says_of_a_certificate_concerns_its_owner_and_nobody_else():
    index = Index(SETTINGS)
    assert index.put(certificate()) == (Requeue(BOT),)
    assert index.put(certificate()) == ()
    assert index.put(certificate(ready="True")) == (Requeue(BOT),)
    (found,) = index.certificates_of(BOT)
    assert (found.key.name, found.ready) == ("bot-certificate", True)
    assert index.certificates_of(MINILM) == ()
    assert index.put(certificate(MINILM, name="minilm-serving-cert")) == (Requeue(MINILM),)
    assert index.drop(ObjectRef("Certificate", found.key)) == (Requeue(BOT),)
    assert index.certificates_of(BOT) == ()
    # Somebody else's says nothing to us, whatever owner it names.
    assert index.put(certificate(ObjectRef("Pod", CLIENT), name="pod")) == ()


def test_the_cas_of_an_endpoint_reach_its_clients_and_a_renewal_of_the_same_ca_does_not_bother_them():
    index = Index(SETTINGS)
    index.put(stored(endpoint_object(), uid="uid-e"))
    index.put(stored(client_object(CLIENT, ENDPOINT)))
    bot = index.clients[CLIENT]
    assert index.put(serving_cert()) == (Requeue(MINILM), Requeue(BOT))
    assert index.server_cas_of(bot) == {ENDPOINT: CA}
    assert index.put(serving_cert()) == (Requeue(MINILM),)
    for broken in (b"", b"not a certificate"):
        index.put(serving_cert(broken))
        assert index.server_cas_of(bot) == {}
    # A Secret of an earlier endpoint of the name, of another name, or for another use says nothing of it.
    for other in (
        serving_cert(uid="uid-before"),
        serving_cert(role=names.ROLE_UPSTREAM_TLS),
        serving_cert(key=NamespacedName("search", "elsewhere")),
    ):
        index.put(other)
        assert index.server_cas_of(bot) == {}
    index.put(serving_cert())
    assert index.drop(ObjectRef("Secret", SERVING)) == (Requeue(MINILM), Requeue(BOT))
    assert index.server_cas_of(bot) == {}
