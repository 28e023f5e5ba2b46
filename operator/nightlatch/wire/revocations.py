"""The revocations document: which clients and credentials every gateway refuses, whatever the route documents say.

It is one Secret in the gateway's namespace, so a revocation is one small write for any number of endpoints. The route
documents follow; an entry leaves again once every gateway has applied documents without it. It only refuses: whatever
a gateway does not know of it concerns a kind of credential that this gateway does not accept, and is ignored.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from nightlatch.api.meta import NamespacedName
from nightlatch.wire.fields import Fields

FORMAT = 1
REVOCATIONS_JSON = "revocations.json"

_KEY_ID = re.compile(r"[A-Za-z0-9]{1,64}")
_CLIENT = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[-.a-z0-9]{1,253}")
_CERTIFICATE = re.compile(rf"{_CLIENT.pattern} [0-9a-f]{{64}}")
_IDENTITY = re.compile(r"[!-~]{1,512}")
_SEQUENCE_LIMIT = 2**53


class RevocationsError(ValueError):
    """The data is not a revocations document. The message never repeats a value."""


class RevokedCertificate(NamedTuple):
    """One certificate of a client. It counts for this client alone, so that nobody can revoke another's.

    sha256: lower-case hex.
    """

    client: NamespacedName
    sha256: str


@dataclass(frozen=True, slots=True)
class Revocations:
    """`sequence` grows with every change. `keys`: ids of API keys, the twelve digits after `nl_`.

    `identities`: URIs and DNS names in client certificates.
    """

    sequence: int = 0
    clients: frozenset[NamespacedName] = frozenset()
    keys: frozenset[str] = frozenset()
    certificates: frozenset[RevokedCertificate] = frozenset()
    identities: frozenset[str] = frozenset()

    @property
    def empty(self) -> bool:
        """Whether nothing is revoked."""
        return not (self.clients or self.keys or self.certificates or self.identities)


def encode_revocations(revocations: Revocations) -> dict[str, bytes]:
    """The Secret's data. Equal revocations give equal bytes."""
    body = {
        "clients": _sorted(revocations.clients),
        "keys": sorted(revocations.keys),
        "certificates": sorted(f"{each.client} {each.sha256}" for each in revocations.certificates),
        "identities": sorted(revocations.identities),
    }
    members = {"format": FORMAT, "sequence": revocations.sequence, "body": body}
    return {REVOCATIONS_JSON: orjson.dumps(members, option=orjson.OPT_SORT_KEYS)}


def decode_revocations(data: Mapping[str, bytes], reads: int = FORMAT) -> Revocations:
    """The inverse. `reads`: the newest format that the reader knows. Raises RevocationsError."""
    try:
        members = orjson.loads(data[REVOCATIONS_JSON])
    except KeyError:
        raise RevocationsError(f"the Secret has no {REVOCATIONS_JSON}") from None
    except orjson.JSONDecodeError:
        raise RevocationsError("the Secret holds something that is not JSON") from None
    fields = Fields(members, "revocations", RevocationsError, lenient=True)
    found = fields.integer("format", 1, _SEQUENCE_LIMIT)
    if found > reads:
        raise RevocationsError(f"format {found} is newer than {reads}, the newest that this gateway reads")
    sequence = fields.integer("sequence", 0, _SEQUENCE_LIMIT)
    return fields.nested("body", lambda body: _revocations(body, sequence))


def _revocations(body: Fields, sequence: int) -> Revocations:
    clients = body.texts("clients", _CLIENT, "NAMESPACE/NAME")
    keys = body.texts("keys", _KEY_ID, "the id of a key")
    # Documents of an operator before there were client certificates lack these.
    body.default("certificates", [])
    body.default("identities", [])
    certificates = body.texts("certificates", _CERTIFICATE, "NAMESPACE/NAME and 64 lower-case hex digits")
    identities = body.texts("identities", _IDENTITY, "the URI or the DNS name of a certificate")
    return Revocations(
        sequence,
        frozenset(map(NamespacedName.parse, clients)),
        frozenset(keys),
        frozenset(map(_revoked_certificate, certificates)),
        frozenset(identities),
    )


def _revoked_certificate(text: str) -> RevokedCertificate:
    client, _, digest = text.partition(" ")
    return RevokedCertificate(NamespacedName.parse(client), digest)


def _sorted(clients: Iterable[NamespacedName]) -> list[str]:
    return sorted(map(str, clients))
