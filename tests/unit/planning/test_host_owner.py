"""Planning and routing agree on which endpoint owns a host that several claim."""

from dataclasses import replace
from itertools import permutations

import pytest

from nightlatch.planning.endpoint.hosts import host_claim, host_conflict
from nightlatch.planning.endpoint.plan import plan_endpoint
from nightlatch.planning.plan import PutSecret
from nightlatch.planning.settings import hosts
from nightlatch.routing.ir import BrokenDocument, CertificateIR, GatewaySettings
from nightlatch.routing.translate import translate
from nightlatch.wire import route_document as routing
from tests.unit.planning.scene import NOW, SETTINGS, endpoint, issued

EARLY, LATE, UNREADABLE = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "yesterday"
NOBODY = CertificateIR("", "")
GATEWAY = GatewaySettings("127.0.0.1", 8443, NOBODY, NOBODY)
# All three are called a.b.c.d.localhost.
NAMES = (("a.b.c", "d"), ("a.b", "c.d"), ("a", "b.c.d"))


@pytest.mark.parametrize(
    ("created", "owner"),
    [
        pytest.param((EARLY, LATE, LATE), "d/a.b.c", id="the oldest"),
        pytest.param((LATE, EARLY, LATE), "c.d/a.b", id="the oldest in the middle"),
        pytest.param((LATE, LATE, EARLY), "b.c.d/a", id="the oldest last"),
        pytest.param((EARLY, EARLY, LATE), "c.d/a.b", id="two of the same second: the first by namespace and name"),
        pytest.param((EARLY, EARLY, EARLY), "b.c.d/a", id="all of the same second"),
        pytest.param((EARLY, "2026-01-01T01:00:00+01:00", LATE), "c.d/a.b", id="the same time in another zone"),
        pytest.param((UNREADABLE, EARLY, LATE), "d/a.b.c", id="an unreadable time counts as the oldest"),
    ],
)
def test_both_sides_decide_alike(created, owner):
    # Not in the order of names: a uid must not decide.
    endpoints = [
        endpoint(name=name, namespace=namespace, uid=f"uid-{9 - rank}", created=time)
        for rank, ((name, namespace), time) in enumerate(zip(NAMES, created, strict=True))
    ]
    for order in permutations(endpoints):
        assert accepted(order) == [owner]
        assert served([document(each) for each in order]) == [owner]
        assert served([broken(each) for each in order]) == [owner]


def accepted(endpoints):
    """The endpoints that planning lets have their hosts."""
    claims = {each.key: host_claim(each, SETTINGS) for each in endpoints}
    return [
        str(each.key)
        for each in endpoints
        if host_conflict(each, SETTINGS, [claim for key, claim in claims.items() if key != each.key]) is None
    ]


def served(documents):
    """The endpoints that a gateway serves under the host."""
    return [str(each.endpoint) for each in translate(documents, {}, GATEWAY).endpoints if each.hosts]


def document(subject):
    """As planning writes it, but for the name: a document does not carry a name with dots yet."""
    plain = endpoint(created=subject.metadata.creation_timestamp)
    put = next(action for action in plan_endpoint(plain, issued(plain), NOW).apply if isinstance(action, PutSecret))
    return replace(routing.decode(put.data), endpoint=subject.key, hosts=hosts(SETTINGS, subject.key))


def broken(subject):
    made = document(subject)
    return BrokenDocument(made.endpoint, "Damaged", made.hosts, made.created)
