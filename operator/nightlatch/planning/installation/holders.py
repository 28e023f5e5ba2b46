"""Who trusts which CA and shows leaves of which: what a step of the ledger waits for. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from nightlatch.api.meta import NamespacedName
from nightlatch.pki import PkiError
from nightlatch.pki.bundle import fingerprint
from nightlatch.pki.material import CA_CRT, TLS_CRT, read_certificates
from nightlatch.planning.installation.ledger import Holder
from nightlatch.planning.installation.places import generation_shown
from nightlatch.planning.secrets import SecretView
from nightlatch.scaling.runtime import EndpointRuntime
from nightlatch.wire.route_document import DocumentError, RouteDocument, decode

_NOBODY: frozenset[str] = frozenset()


def holders(
    leaves: Iterable[SecretView],
    bundles: Iterable[SecretView],
    documents: Iterable[SecretView],
    runtimes: Mapping[NamespacedName, EndpointRuntime],
    generations: frozenset[str],
    anchors: frozenset[str],
) -> tuple[Holder, ...]:
    """leaves: Secrets with a certificate and the CAs beside it; bundles: those with CAs alone; documents: route
    documents. generations: the key ids of all that are live, which something that says nothing may show. anchors: of
    all of them, which tell a bundle of ours from one of other CAs.
    """
    return (
        # What cert-manager made neither shows our CA nor brings it along.
        *(_of_secret(each, generations, leaf=True) for each in leaves if not each.certificate),
        *(_of_secret(each, generations, leaf=False) for each in bundles),
        *_of_documents(tuple(documents), runtimes, generations, anchors),
    )


def _of_secret(secret: SecretView, generations: frozenset[str], *, leaf: bool) -> Holder:
    name = f"Secret {secret.key}"
    try:
        shown = frozenset({generation_shown(secret.data.get(TLS_CRT, b""))}) if leaf else _NOBODY
        return Holder(name, _fingerprints(secret.data.get(CA_CRT, b"")), shown)
    except PkiError:
        return Holder(name, _NOBODY, generations)


def _of_documents(
    documents: tuple[SecretView, ...],
    runtimes: Mapping[NamespacedName, EndpointRuntime],
    generations: frozenset[str],
    anchors: frozenset[str],
) -> Iterator[Holder]:
    behind: set[str] = set()
    for secret in documents:
        try:
            document = decode(secret.data)
            yield _of_document(document)
            ours = _fingerprints(document.client_ca.encode()) if document.client_ca else _NOBODY
            if ours & anchors:
                yield Holder(f"the callers' CAs of {document.endpoint}", ours)
        except (DocumentError, PkiError):
            yield Holder(f"the route document {secret.key.name}", _NOBODY, generations)
            continue
        runtime = runtimes.get(document.endpoint)
        if runtime is None or not runtime.members:
            behind.add("(no gateway has reported)")
        else:
            behind.update(runtime.unconfirmed(document.sequence))
    # A gateway that has not confirmed a document may have any older one.
    yield from (Holder(f"gateway {name}", _NOBODY, generations) for name in sorted(behind))


def _of_document(document: RouteDocument) -> Holder:
    shown = frozenset({generation_shown(document.server_certificate.encode())})
    return Holder(f"the route document of {document.endpoint}", _fingerprints(document.upstream_ca.encode()), shown)


def _fingerprints(pem: bytes) -> frozenset[str]:
    return frozenset(map(fingerprint, read_certificates(pem)))
