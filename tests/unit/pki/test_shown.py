"""What is said of a caller's certificate without a gateway is what Envoy does with it: the tables of tests/attack."""

from datetime import UTC, datetime

import pytest

from nightlatch.pki.material import PkiError
from nightlatch.pki.shown import read_shown
from tests.attack.certificates import Leaf, Pki
from tests.attack.tables import certificates, chains

PRESENTED = [row for row in certificates.ROWS if row.name != "none at all"]


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki()


def fault(pki: Pki, chain: str) -> str:
    return read_shown(chain.encode(), pki.trust, now=datetime.now(UTC)).fault


@pytest.mark.parametrize("row", PRESENTED, ids=str)
def test_a_handshake_fails_here_if_it_fails_at_the_gateway(row: certificates.CertificateRow, pki: Pki) -> None:
    assert bool(fault(pki, row.show(pki).chain)) == (row.expected == "closed")
    assert not fault(pki, row.twin(pki).chain)


# cryptography refuses every constraint of these kinds, so what Envoy would do cannot be said.
ONLY_A_GATEWAY_CAN_TELL = {
    "a URI outside the permitted ones",
    "a URI among the excluded ones",
    "a subject outside the permitted ones",
    "a subject among the excluded ones",
    "a policy that a CA requires and nobody has",
}


@pytest.mark.parametrize("row", chains.ROWS, ids=str)
def test_of_the_kinds_of_limbo_every_good_twin_is_let_in_or_not_judged(
    row: certificates.CertificateRow, pki: Pki
) -> None:
    if row.name in ONLY_A_GATEWAY_CAN_TELL:
        with pytest.raises(PkiError, match="only a gateway can judge"):
            fault(pki, row.twin(pki).chain)
    else:
        assert not fault(pki, row.twin(pki).chain)


def test_the_note_is_that_of_the_listener(pki: Pki) -> None:
    shown = pki.present(Leaf(uris=("a:b", "c:d"), dns=("X.example",)))
    head, uris, dns = read_shown((shown.key + shown.chain).encode(), pki.trust, now=datetime.now(UTC)).note.split("\n")
    ends, digest = head.split(" ")
    assert (uris, dns, len(digest)) == ("a:b,c:d", "X.example", 64)
    assert int(ends) > datetime.now(UTC).timestamp()


def test_what_is_no_certificate_is_refused_without_being_quoted(pki: Pki) -> None:
    with pytest.raises(PkiError) as refusal:
        read_shown(b"nl_secret", pki.trust, now=datetime.now(UTC))
    assert "secret" not in str(refusal.value)
