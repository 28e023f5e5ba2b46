"""`plan_revocations()`: the Secret with the gateway-wide revocations document. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from nightlatch.api import names
from nightlatch.api.meta import NamespacedName, ObjectRef
from nightlatch.planning.access.revocations import DocumentKeys, GoodStanding, decide_revocations
from nightlatch.planning.installation.certificates import installation_owner
from nightlatch.planning.plan import DocumentSequence, OwnedSecret, Plan, PutSecret
from nightlatch.planning.secrets import SecretView
from nightlatch.planning.settings import Settings
from nightlatch.wire.revocations import (
    Revocations,
    RevocationsError,
    RevokedCertificate,
    decode_revocations,
    encode_revocations,
)

REVOCATIONS = "Revocations"
# Seconds until the next look whether entries can leave: no event tells when the last gateway applied a document.
LOOK_AGAIN = 2.0


@dataclass(frozen=True, slots=True)
class ObservedRevocations:
    """Everything that the plan depends on. `secret`: the one of that name, also when it is not ours."""

    settings: Settings
    secret: SecretView | None
    documents: Iterable[DocumentKeys]
    standing: GoodStanding
    certificates: frozenset[RevokedCertificate] = frozenset()
    unreadable: frozenset[NamespacedName] = frozenset()


def revocations_ref(settings: Settings) -> ObjectRef:
    """The key under which the revocations are reconciled."""
    return ObjectRef(REVOCATIONS, revocations_secret(settings))


def revocations_secret(settings: Settings) -> NamespacedName:
    """In the gateway's namespace, beside the route documents."""
    return NamespacedName(settings.gateway_namespace, names.REVOCATIONS_SECRET)


def plan_revocations(observed: ObservedRevocations, now: datetime) -> Plan:
    """Replace the Secret if the revocations changed, and look again while there are any."""
    found, owner = observed.secret, installation_owner(observed.settings)
    if found is not None and not found.is_of(owner, names.ROLE_REVOCATIONS):
        return Plan(refusal=f"Secret {found.key} exists and is not ours: rename or delete it")
    before = read_revocations(found)
    wanted = decide_revocations(
        before or Revocations(), observed.documents, observed.standing, observed.certificates, observed.unreadable
    )
    look_again = None if wanted.empty else LOOK_AGAIN
    if wanted == before or (found is None and wanted.empty):
        return Plan(document=_sequence(wanted.sequence) if found else None, requeue_after=look_again)
    sequence = max(int(now.timestamp() * 1000), wanted.sequence + 1)
    target = OwnedSecret(revocations_secret(observed.settings), names.ROLE_REVOCATIONS, owner)
    data = encode_revocations(replace(wanted, sequence=sequence))
    put = PutSecret(target, data, found.revision if found else None)
    return Plan(apply=(put,), document=_sequence(sequence), requeue_after=look_again)


def _sequence(sequence: int) -> DocumentSequence:
    return DocumentSequence(names.REVOCATIONS_SECRET, sequence)


def read_revocations(found: SecretView | None) -> Revocations | None:
    """The revocations in a Secret; None if there is none or it cannot be read (it is then written again)."""
    if found is None:
        return None
    try:
        return decode_revocations(found.data)
    except RevocationsError:
        return None
