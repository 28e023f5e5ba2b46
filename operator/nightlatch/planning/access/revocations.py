"""Decides what the gateway-wide revocations document says. Pure.

It covers what ends everywhere at once: a client without any grant left (deleted, suspended, refused by every endpoint
that it names), and a key that its client no longer has (revoked, replaced, its Secret deleted). A single grant that
ends or narrows, while the client keeps others, concerns the documents of those endpoints alone and is written there.

An entry refuses what some route document may still allow. So it comes as soon as a document names what must not be
allowed, and goes once no document does and every gateway has applied all of them; or at once if the client or the key
is in good standing again. Documents name no single certificate, so one that a client revokes by its digest stays
refused for as long as the client lists it. It counts against that client alone: nobody can revoke another's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nightlatch.api.meta import NamespacedName
from nightlatch.planning.access.api_keys import unrevoked
from nightlatch.planning.access.grants import GrantRequest, refusal, requested_grants
from nightlatch.planning.inputs import ClientView
from nightlatch.planning.parsed import ParsedClient, ParsedEndpoint
from nightlatch.wire.revocations import Revocations, RevokedCertificate

# By client: the ids of its live keys. Only clients that some endpoint grants access.
GoodStanding = Mapping[NamespacedName, frozenset[str]]


@dataclass(frozen=True, slots=True)
class DocumentKeys:
    """What one route document allows: each key id with its client, and the clients whose certificates count. applied:
    every gateway enforces this document."""

    keys: frozenset[tuple[NamespacedName, str]]
    applied: bool
    certified: frozenset[NamespacedName] = frozenset()


def good_standing(clients: Iterable[ClientView], endpoints: Mapping[NamespacedName, ParsedEndpoint]) -> GoodStanding:
    """Every client that some endpoint grants access, with its live keys."""
    return {
        view.client.key: frozenset(key.key_id for key in unrevoked(view))
        for view in clients
        if any(
            refusal(GrantRequest(view.client, named, endpoints.get(named))) is None
            for named in requested_grants(view.client)
        )
    }


def revoked_certificates(clients: Iterable[ParsedClient]) -> frozenset[RevokedCertificate]:
    """The certificates that clients list in `certificate.revokedDigests`."""
    return frozenset(
        RevokedCertificate(client.key, digest)
        for client in clients
        if client.spec is not None and client.spec.certificate is not None
        for digest in client.spec.certificate.revoked_digests
    )


def decide_revocations(
    before: Revocations,
    documents: Iterable[DocumentKeys],
    standing: GoodStanding,
    certificates: frozenset[RevokedCertificate] = frozenset(),
    unreadable: frozenset[NamespacedName] = frozenset(),
) -> Revocations:
    """The revocations from now on; `before` itself if nothing changes. The sequence stays that of `before`.

    unreadable: the clients whose spec cannot be read, so that what they revoked before stays revoked.
    """
    found = tuple(documents)
    live = frozenset(key_id for keys in standing.values() for key_id in keys)
    named = {pair for document in found for pair in document.keys}
    certified = {client for document in found for client in document.certified}
    clients = {client for client, _ in named if client not in standing} | (certified - standing.keys())
    keys = {key_id for _, key_id in named if key_id not in live}
    if not all(document.applied for document in found):
        clients |= before.clients - standing.keys()
        keys |= before.keys - live
    kept = frozenset(each for each in before.certificates if each.client in unreadable)
    return Revocations(before.sequence, frozenset(clients), frozenset(keys), certificates | kept)
