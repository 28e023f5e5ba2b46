"""A new document is a revocation if it takes away any access that the old one gave."""

from dataclasses import replace

from nightlatch.api.meta import NamespacedName
from nightlatch.gatekeeper.hold.revocation import takes_away
from nightlatch.wire.route_document import KeyGrant
from tests.unit.gatekeeper.test_documents import DOCUMENT


def test_revocations_are_told_from_other_changes() -> None:
    grant = KeyGrant("0" * 64, NamespacedName("search", "bot"), "k", ("infer", "metadata"), not_after=100)
    before = replace(DOCUMENT, keys=(grant,))
    assert not takes_away(before, replace(before, sequence=2, request_timeout=1.0))
    assert not takes_away(before, replace(before, keys=(grant, replace(grant, sha256="1" * 64))))
    assert not takes_away(before, replace(before, keys=(replace(grant, not_after=200),)))
    for less in (
        replace(before, keys=()),
        replace(before, keys=(replace(grant, permissions=("metadata",)),)),
        replace(before, keys=(replace(grant, not_after=50),)),
        replace(before, denied="broken"),
    ):
        assert takes_away(before, less)
