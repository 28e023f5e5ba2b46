"""`plan_installation()`: which CAs and leaves of the installation to make, keep, replace or refuse. Pure.

The key of a CA is replaced only by its planned successor. A Secret that is damaged, or not ours, is never touched: the
plan ends there, and `refusal` says what an administrator must do.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile

from nightlatch.api import names
from nightlatch.api.meta import SECRET, NamespacedName, ObjectRef
from nightlatch.pki import CertificateAuthority, PkiError, read_ca
from nightlatch.planning.inputs import CAView
from nightlatch.planning.installation.certificates import (
    installation_leaves,
    installation_owner,
    is_issuing_due,
    issuing_secret,
    root_secret,
)
from nightlatch.planning.leaves import TLS_SECRET, LeafDecision, decide_leaf
from nightlatch.planning.plan import MintCA, OwnedSecret, Plan, UseCA
from nightlatch.planning.secrets import SecretView
from nightlatch.planning.settings import Settings

# Stands for an issuing CA whose key does not exist yet: no leaf is signed by it, so every leaf is issued again.
_NOT_MINTED_YET = CAView("not minted yet", b"")


@dataclass(frozen=True, slots=True)
class ObservedInstallation:
    """The Secrets under the names that the installation uses, whoever owns them; None or absent: there is none."""

    settings: Settings
    root: SecretView | None = None
    issuing: SecretView | None = None
    leaves: Mapping[NamespacedName, SecretView] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CADecision:
    """What to do about one CA: keep `ca`, or make the one that `mint` asks for, or nothing because of `refusal`."""

    ca: CertificateAuthority | None = None
    mint: MintCA | None = None
    refusal: str = ""


def plan_installation(observed: ObservedInstallation, now: datetime) -> Plan:
    """The root first, then the issuing CA, then the leaves: each is signed by the one before."""
    settings = observed.settings
    survivor = _survivor(observed)
    root = CADecision() if survivor else decide_root(observed.root, settings)
    if root.refusal:
        return Plan(refusal=root.refusal)
    issuing = survivor or decide_issuing(observed.issuing, root.ca, settings, now)
    minted = tuple(decision.mint for decision in (root, issuing) if decision.mint)
    if issuing.refusal:
        return Plan(apply=minted, refusal=issuing.refusal)
    signer = CAView(issuing.ca.key_id, issuing.ca.trust_pem) if issuing.ca else _NOT_MINTED_YET
    leaves = [
        decide_leaf(wanted, observed.leaves.get(wanted.key), signer, now) for wanted in installation_leaves(settings)
    ]
    ours = tuple(takewhile(lambda leaf: not leaf.taken, leaves))
    written = (write for leaf in ours if (write := leaf.issue or leaf.refresh))
    return Plan(
        apply=(*minted, UseCA(issuing_secret(settings)), *written),
        delete=tuple(leaf.delete for leaf in ours if leaf.delete),
        requeue_after=_next_renewal(ours, now),
        refusal=_not_ours(leaves[len(ours)].wanted.key) if len(ours) < len(leaves) else "",
        warning=_root_is_lost(settings) if survivor else "",
    )


def _survivor(observed: ObservedInstallation) -> CADecision | None:
    """The issuing CA, if the root was deleted or a restore left it out.

    A new root would cut off every caller who trusts the one before, and without a root the issuing CA still signs.
    """
    if observed.root is not None or observed.issuing is None:
        return None
    issuing = _read(observed.issuing, observed.settings)
    return issuing if issuing.ca else None


def decide_root(found: SecretView | None, settings: Settings) -> CADecision:
    """The root is made once and kept."""
    if found is not None:
        return _read(found, settings)
    return CADecision(mint=MintCA(_target(root_secret(settings), settings), settings.root_duration))


def decide_issuing(
    found: SecretView | None, root: CertificateAuthority | None, settings: Settings, now: datetime
) -> CADecision:
    """Replaced at half its life, and when it belongs to another root. `root`: None when it is still to be made."""
    kept = _read(found, settings) if found else CADecision()
    if kept.refusal or (kept.ca and root and not is_issuing_due(kept.ca, root, now)):
        return kept
    target, replaces = _target(issuing_secret(settings), settings), found.revision if found else None
    return CADecision(mint=MintCA(target, settings.issuing_duration, root_secret(settings), replaces))


def _read(found: SecretView, settings: Settings) -> CADecision:
    if not found.is_of(installation_owner(settings), names.ROLE_CA):
        return CADecision(refusal=_not_ours(found.key))
    try:
        return CADecision(ca=read_ca(found.data))
    except PkiError as error:
        ref = ObjectRef(SECRET.kind, found.key)
        return CADecision(refusal=f"{ref} is damaged ({error}): restore it, or delete it to start with a new CA")


def _target(key: NamespacedName, settings: Settings) -> OwnedSecret:
    return OwnedSecret(key, names.ROLE_CA, installation_owner(settings), TLS_SECRET)


def _next_renewal(leaves: Iterable[LeafDecision], now: datetime) -> float | None:
    """Seconds until a leaf is due. One that is being issued comes back with the event of its Secret."""
    waits = [(leaf.renew_at - now).total_seconds() for leaf in leaves if leaf.renew_at and not leaf.issue]
    return max(0.0, min(waits)) if waits else None


def _root_is_lost(settings: Settings) -> str:
    return (
        f"Secret {root_secret(settings)} is missing: restore it before the issuing CA ends; to start with a new CA,"
        f" which every caller must fetch, delete Secret {issuing_secret(settings)}, too"
    )


def _not_ours(key: NamespacedName) -> str:
    return f"Secret {key} exists and is not ours: rename or delete it"
