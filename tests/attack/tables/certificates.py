"""Client certificates that must be refused, each with a twin that differs in one thing and is let through."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

from tests.attack.certificates import Leaf, Pki, Presented

Expected = Literal["closed", "unauthenticated", "misdirected"]
_DAY = timedelta(days=1)
BOT = "spiffe://nightlatch.local/ns/search/ic/bot"
NAMED = "trainer.corp.example"


@dataclass(frozen=True)
class CertificateRow:
    """`show` makes what the caller presents, `twin` what is let through.

    expected: `closed` is a handshake that fails; the others are answers.
    """

    name: str
    show: Callable[[Pki], Presented]
    twin: Callable[[Pki], Presented]
    expected: Expected = "closed"
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def _leaf(**changes: object) -> Callable[[Pki], Presented]:
    leaf = replace(Leaf(uris=(BOT,)), **changes)  # type: ignore[arg-type]
    return lambda pki: pki.present(leaf)


GOOD = _leaf()
_NAMED = _leaf(uris=(), dns=(NAMED,))

ROWS = [
    CertificateRow("expired", _leaf(begins=-2 * _DAY, ends=-_DAY), GOOD),
    CertificateRow("not yet valid", _leaf(begins=_DAY, ends=2 * _DAY), GOOD),
    CertificateRow("of another CA", lambda pki: pki.other.present(Leaf(uris=(BOT,))), GOOD),
    CertificateRow("for servers alone", _leaf(usage="server"), GOOD),
    CertificateRow("self-signed", lambda pki: pki.self_signed(Leaf(uris=(BOT,))), GOOD),
    CertificateRow(
        "under an intermediate without the CA bit",
        lambda pki: pki.below(Leaf(uris=(BOT,)), ca=False),
        lambda pki: pki.below(Leaf(uris=(BOT,))),
    ),
    CertificateRow(
        "under an intermediate that may not sign",
        lambda pki: pki.below(Leaf(uris=(BOT,)), signs=False),
        lambda pki: pki.below(Leaf(uris=(BOT,))),
    ),
    CertificateRow(
        "one CA more than the path length allows",
        lambda pki: pki.below(Leaf(uris=(BOT,)), depth=2, path_length=0),
        lambda pki: pki.below(Leaf(uris=(BOT,)), depth=2, path_length=1),
    ),
    CertificateRow("under a leaf", lambda pki: pki.below_a_leaf(Leaf(uris=(BOT,))), GOOD),
    CertificateRow("none at all", lambda _: Presented("", ""), GOOD, "unauthenticated"),
    CertificateRow("signed by nobody's key", lambda pki: pki.forged(Leaf(uris=(BOT,))), GOOD),
    CertificateRow("two URIs", _leaf(uris=(BOT, "spiffe://nightlatch.local/x")), GOOD, "unauthenticated"),
    CertificateRow("the same URI twice", _leaf(uris=(BOT, BOT)), GOOD, "unauthenticated"),
    CertificateRow("a comma in its URI", _leaf(uris=(f"{BOT},{BOT}",)), GOOD, "unauthenticated"),
    CertificateRow("a line end in its URI", _leaf(uris=(f"{BOT}\nx",)), GOOD, "unauthenticated"),
    CertificateRow("a common name alone", _leaf(uris=(), common_name=BOT), GOOD, "unauthenticated"),
    CertificateRow("the URI as a DNS name", _leaf(uris=(), dns=(BOT,)), GOOD, "unauthenticated"),
    CertificateRow("another client's URI", _leaf(uris=(BOT + "2",)), GOOD, "unauthenticated"),
    CertificateRow("a URI in capitals", _leaf(uris=(BOT.upper(),)), GOOD, "unauthenticated"),
    CertificateRow("a longer path", _leaf(uris=(f"{BOT}/x",)), GOOD, "unauthenticated"),
    CertificateRow("a DNS name that nobody named", _leaf(uris=(), dns=("x." + NAMED,)), _NAMED, "unauthenticated"),
    CertificateRow("two DNS names", _leaf(uris=(), dns=(NAMED, "x.example")), _NAMED, "unauthenticated"),
    CertificateRow(
        "a named DNS name beside another's URI", _leaf(uris=("a:b",), dns=(NAMED,)), _NAMED, "unauthenticated"
    ),
    CertificateRow("a wildcard", _leaf(uris=(), dns=("*.corp.example",)), _NAMED, "unauthenticated"),
    CertificateRow(
        "a thousand names, the right one first",
        _leaf(uris=(BOT, *(f"spiffe://x/{number}" for number in range(1_000)))),
        GOOD,
        "unauthenticated",
    ),
    CertificateRow(
        "the certificate of another in a header",
        _leaf(uris=(BOT + "2",)),
        GOOD,
        "unauthenticated",
        {"x-forwarded-client-cert": f"By=x;Hash={'0' * 64};URI={BOT}", "x-nightlatch-client": "search/bot"},
    ),
]
