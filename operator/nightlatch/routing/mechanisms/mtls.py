"""Client certificates: the identities that a document lists become the policy by which the gate knows a certificate."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nightlatch.routing.ir import ClientIR
from nightlatch.wire.route_document import CertificateGrant, RouteDocument

NAME = "mtls"


@dataclass(frozen=True, slots=True)
class Certificates:
    """The identities that count at an endpoint, each with its client, sorted; and these clients."""

    identities: tuple[tuple[str, str], ...]
    clients: tuple[ClientIR, ...]
    name: str = NAME

    def value(self, places: Mapping[str, int]) -> dict[str, Any]:
        """URIs and DNS names apart, so that a certificate cannot pass one off as the other. A URI has a colon."""
        uris = [[identity, places[client]] for identity, client in self.identities if ":" in identity]
        dns = [[identity, places[client]] for identity, client in self.identities if ":" not in identity]
        return {"uris": uris, "dns": dns}


def from_document(document: RouteDocument) -> Certificates:
    """What the document says of certificates. An identity without a client is a client of its own."""
    return Certificates(
        identities=tuple(sorted((each.identity, _client_id(each)) for each in document.certificates)),
        clients=tuple(_clients(document.certificates)),
    )


def _client_id(grant: CertificateGrant) -> str:
    return str(grant.client) if grant.client else grant.identity


def _clients(grants: tuple[CertificateGrant, ...]) -> Iterator[ClientIR]:
    """A client with several identities has what all of them have."""
    by_client: dict[str, list[CertificateGrant]] = {}
    for grant in grants:
        by_client.setdefault(_client_id(grant), []).append(grant)
    for client, own in sorted(by_client.items()):
        shared = set.intersection(*(set(each.permissions) for each in own))
        yield ClientIR(client, tuple(sorted(shared)), next((each.tier for each in own if each.tier), None))
