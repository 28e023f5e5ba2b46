"""Compiling a few changed endpoints gives what compiling everything gives."""

import os
from dataclasses import replace

from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import operations_for
from nightlatch.gatekeeper.process.fallback import fallback_certificate
from nightlatch.gatekeeper.xds.program import Program
from nightlatch.gatekeeper.xds.resources import Resources
from nightlatch.pki.material import TlsMaterial
from nightlatch.routing.ir import Serving
from nightlatch.wire.route_document import RouteDocument
from nightlatch.wire.xds_types import ADDRESSES, ROUTES, SECRET
from tests.embedded.envoy_fixture import Caller
from tests.unit.gatekeeper.test_documents import CA, DOCUMENT

FALLBACK = fallback_certificate()
OPEN = Serving(hold=False, addresses=(("127.0.0.1", 9000),))
SHUT = Serving(hold=True)


def document(name: str, *hosts: str) -> RouteDocument:
    key = NamespacedName("search", name)
    hosts = hosts or (f"{name}.search.localhost",)
    return replace(DOCUMENT, endpoint=key, hosts=hosts, operations=operations_for(None, name))


class Compiled:
    """A program and what Envoy was given by it."""

    def __init__(self) -> None:
        self.program = Program("127.0.0.1", 8443, FALLBACK)
        self.program.put_client(TlsMaterial(b"c", b"k", b"a"))
        self.resources = Resources()

    def put(self, document: RouteDocument, serving: Serving) -> "Compiled":
        self.program.put(document, serving)
        return self

    def push(self) -> set[tuple[str, str]]:
        changes = self.program.changes()
        self.resources.update(changes)
        return set(changes)

    def everything(self) -> dict[tuple[str, str], bytes]:
        return {
            (kind, name): each.message.SerializeToString(deterministic=True)
            for kind in self.resources._current
            for name, each in self.resources.of_type(kind).items()
        }


def test_a_flipped_hold_changes_that_endpoints_route_and_addresses_alone() -> None:
    compiled = Compiled().put(document("a"), SHUT).put(document("b"), SHUT)
    compiled.push()
    compiled.put(document("b"), OPEN)
    assert compiled.push() == {(ADDRESSES, "search/b"), (ROUTES, "search/b")}


def test_any_order_of_changes_ends_at_the_same_resources() -> None:
    caller = Caller("bot", os.urandom, "infer")
    steps = Compiled().put(document("a"), SHUT).put(document("b"), SHUT)
    steps.push()
    steps.put(replace(document("a"), keys=(caller.grant,)), SHUT).push()
    steps.put(document("b"), OPEN)
    steps.push()
    steps.put(document("c", "c.search.localhost", "b.search.localhost"), OPEN).push()
    steps.program.remove(NamespacedName("search", "a"))
    steps.push()
    steps.put(replace(document("b"), denied="Broken"), SHUT).push()
    at_once = Compiled()
    at_once.put(replace(document("b"), denied="Broken"), SHUT)
    at_once.put(document("c", "c.search.localhost", "b.search.localhost"), OPEN).push()
    assert steps.everything() == at_once.everything()


def test_denying_all_calls_changes_every_route_and_ends_without_a_trace() -> None:
    compiled = Compiled().put(document("a"), OPEN).put(document("b"), SHUT)
    compiled.push()
    before = compiled.everything()
    compiled.program.deny_all("Stale")
    assert {(ROUTES, "search/a"), (ROUTES, "search/b")} <= compiled.push()
    compiled.put(document("b"), SHUT).put(document("c"), SHUT).push()
    denied = Compiled()
    for name, serving in (("a", OPEN), ("b", SHUT), ("c", SHUT)):
        denied.put(replace(document(name), denied="Stale"), serving)
    denied.push()
    assert compiled.everything() == denied.everything()
    compiled.program.remove(NamespacedName("search", "c"))
    compiled.program.deny_all(None)
    compiled.push()
    assert compiled.everything() == before


def test_a_new_trust_bundle_is_one_push_however_many_documents_bring_it() -> None:
    compiled = Compiled().put(document("a"), SHUT).put(document("b"), OPEN)
    compiled.push()
    pushes = []
    for number, name in enumerate(("a", "b")):
        renewed = replace(document(name), upstream_ca=CA + CA, sequence=DOCUMENT.sequence + 1 + number)
        compiled.put(renewed, SHUT if name == "a" else OPEN)
        pushes.append(compiled.push())
    # A policy carries the sequence of its document.
    assert pushes == [{(SECRET, "trust:own"), (ROUTES, "search/a")}, {(ROUTES, "search/b")}]
