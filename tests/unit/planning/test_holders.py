"""Who holds a step of the trust ledger back: Secrets and documents by what is in them, gateways by what they say."""

from dataclasses import replace

import pytest

from nightlatch import pki
from nightlatch.api.meta import NamespacedName
from nightlatch.pki import LeafRequest, issue_leaf
from nightlatch.planning.installation.holders import holders
from nightlatch.planning.installation.ledger import CAFound, Holder, Ledger, step
from nightlatch.planning.installation.places import generation_of
from nightlatch.planning.plan import Revision
from nightlatch.planning.secrets import SecretView
from nightlatch.scaling.runtime import EndpointRuntime
from nightlatch.wire.route_document import encode
from tests.unit.planning.scene import NOW
from tests.unit.wire.test_route_document import DOCUMENT

OLD, NEW = (pki.new_issuing(pki.new_root(now=NOW), now=NOW) for _ in range(2))
OLD_CA, NEW_CA = generation_of(OLD), generation_of(NEW)
BOTH = OLD.trust_pem + NEW.trust_pem
ENDPOINT = DOCUMENT.endpoint
ALL = frozenset({OLD_CA.key_id, NEW_CA.key_id})


def secret(signer=OLD, bundle=BOTH, **data):
    material = issue_leaf(signer, LeafRequest("spiffe://td/x", "client"), now=NOW).secret_data()
    return view({**material, "ca.crt": bundle} | data)


def view(data):
    return SecretView(NamespacedName("search", "s"), Revision("u", "1"), "", "", "", "", data)


def document(*, bundle=BOTH, signer=OLD, client_ca=""):
    chain = issue_leaf(signer, LeafRequest("spiffe://td/x", "server"), now=NOW)
    accept = {"accept": (("mtls",),), "client_ca": client_ca} if client_ca else {}
    written = replace(
        DOCUMENT,
        upstream_ca=bundle.decode(),
        server_certificate=chain.certificate.decode(),
        server_private_key=chain.private_key.decode(),
        **accept,
    )
    return view(encode(written))


def found(leaves=(), bundles=(), documents=(), runtime=None):
    runtimes = {ENDPOINT: runtime or EndpointRuntime(members={"gw-0": DOCUMENT.sequence})}
    anchors = OLD_CA.anchors | NEW_CA.anchors
    return holders(leaves, bundles, documents, runtimes, ALL, anchors)


def waiting(known: tuple[Holder, ...], newest: CAFound = NEW_CA) -> bool:
    """Whether these hold back the activation of the new CA."""
    start = step(Ledger(), OLD_CA, (), 0, callers=10).ledger
    prepared = step(start, newest, known, 0, callers=10).ledger
    return step(prepared, newest, known, 100, callers=10).ledger.find("Prepared") is not None


@pytest.mark.parametrize(
    ("seen", "holds_back"),
    [
        ({"leaves": [secret()], "documents": [document()]}, False),
        ({"leaves": [secret(bundle=OLD.trust_pem)]}, True),
        ({"bundles": [view({"ca.crt": OLD.trust_pem})]}, True),
        ({"bundles": [view({"ca.crt": BOTH})]}, False),
        ({"bundles": [view({})]}, True),
        ({"leaves": [secret(bundle=b"damaged")]}, True),
        ({"documents": [document(bundle=OLD.trust_pem)]}, True),
        ({"documents": [document(client_ca=OLD.trust_pem.decode())]}, True),
        ({"documents": [document(client_ca=BOTH.decode())]}, False),
        # The CAs of others are no concern of ours.
        ({"documents": [document(client_ca=pki.new_root(now=NOW).trust_pem.decode())]}, False),
        ({"documents": [view({"document.json": b"{}"})]}, True),
        ({"documents": [document()], "runtime": EndpointRuntime(members={"gw-0": DOCUMENT.sequence - 1})}, True),
        ({"documents": [document()], "runtime": EndpointRuntime(members={"gw-0": None})}, True),
        ({"documents": [document()], "runtime": EndpointRuntime()}, True),
    ],
)
def test_what_does_not_trust_the_next_ca_holds_it_back(seen, holds_back):
    assert waiting(found(**seen)) == holds_back


def test_what_shows_a_leaf_of_the_ca_before_is_known_by_the_root_of_its_chain():
    for signer, ca in ((OLD, OLD_CA), (NEW, NEW_CA)):
        assert [each.shows for each in found(leaves=[secret(signer)], documents=[document(signer=signer)])] == [
            {ca.key_id},
            {ca.key_id},
        ]


def test_a_gateway_that_has_not_confirmed_may_show_anything():
    silent = EndpointRuntime(members={"gw-0": DOCUMENT.sequence, "gw-1": None})
    (_, gateway) = found(documents=[document(signer=NEW)], runtime=silent)
    assert (gateway.name, gateway.trusts, gateway.shows) == ("gateway gw-1", frozenset(), ALL)


def test_what_cert_manager_made_holds_nothing_back():
    """It never brings our CA along, so a step would wait for it for ever."""
    theirs = pki.new_issuing(pki.new_root(now=NOW), now=NOW)
    made = secret(theirs, theirs.trust_pem)
    assert waiting(found(leaves=[made]))
    assert not waiting(found(leaves=[replace(made, certificate="s")]))
    # A route document that shows its certificate says what it trusts itself.
    assert not waiting(found(documents=[document(signer=theirs)]))
