"""`plan_installation()`: which CAs and leaves of the installation to make, keep, replace or refuse. Pure.

The key of a CA is replaced only by its planned successor. A Secret that is damaged, or not ours, is never touched: the
plan ends there, and `refusal` says what an administrator must do.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import takewhile

from nightlatch.api import names
from nightlatch.api.conditions import Reason
from nightlatch.api.meta import SECRET, NamespacedName, ObjectRef
from nightlatch.pki import CertificateAuthority, PkiError, read_ca
from nightlatch.pki.brought import read_brought_ca
from nightlatch.pki.bundle import Finding
from nightlatch.pki.ca import BACKDATE
from nightlatch.pki.material import CA_CRT, TLS_CRT, TLS_KEY, to_pem
from nightlatch.planning.inputs import CAView
from nightlatch.planning.installation.certificates import (
    installation_leaves,
    installation_owner,
    is_issuing_due,
    is_root_due,
)
from nightlatch.planning.installation.ledger import Holder, Ledger, Step, step
from nightlatch.planning.installation.ledger_secret import LedgerError, ledger_secret, put_ledger, read_ledger, told
from nightlatch.planning.installation.places import Place, generation_of, places, usable_ca
from nightlatch.planning.leaves import TLS_SECRET, LeafDecision, decide_leaf
from nightlatch.planning.plan import CopyCA, DeleteSecret, MintCA, OwnedSecret, Plan, PutSecret, UseCA
from nightlatch.planning.secrets import SecretView
from nightlatch.planning.settings import Settings

# Stands for an issuing CA whose key does not exist yet: no leaf is signed by it, so every leaf is issued again.
_NOT_MINTED_YET = CAView("not minted yet", b"")
# Seconds until the next look whether a step can be made: no event tells when the last gateway applied a document.
STEP_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class ObservedInstallation:
    """The Secrets under the names that the installation uses, whoever owns them; None or absent: there is none.

    root, issuing: of the first place. more: those of the second. trust: the ledger. holders: what a step waits for, if
    one is under way. request: the newest wish for a roll-over. brought: the Secret of a CA that somebody brings.
    """

    settings: Settings
    root: SecretView | None = None
    issuing: SecretView | None = None
    leaves: Mapping[NamespacedName, SecretView] = field(default_factory=dict)
    more: Mapping[NamespacedName, SecretView] = field(default_factory=dict)
    trust: SecretView | None = None
    holders: tuple[Holder, ...] = ()
    request: str = ""
    brought: SecretView | None = None

    @property
    def places(self) -> tuple[Place, Place]:
        """Both places for a CA, with what is there."""
        found = {each.key: each for each in (self.root, self.issuing) if each}
        return places(self.settings, {**found, **self.more})


@dataclass(frozen=True, slots=True)
class CADecision:
    """What to do about one CA: keep `ca`, or make the one that `mint` asks for, or nothing because of `refusal`."""

    ca: CertificateAuthority | None = None
    mint: MintCA | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to decide about.

    present: the CA at the place that signs, or the root of one that is being made there (minted); None: not even that.
    brought: the CA that somebody brings, or what is wrong with it; None: nobody brings one.
    """

    signing: Place
    present: CertificateAuthority | None
    brought: CertificateAuthority | Finding | None
    minted: bool


@dataclass(frozen=True, slots=True)
class Authority:
    """Which CA signs, and what is made or deleted so that another can take its place.

    view: None while the ledger knows no CA yet, which then is trusted alone.
    """

    signer: Place
    view: CAView | None = None
    actions: tuple[MintCA | CopyCA | PutSecret, ...] = ()
    delete: tuple[DeleteSecret, ...] = ()
    step: Step | None = None


def plan_installation(observed: ObservedInstallation, now: datetime) -> Plan:
    """The root first, then the issuing CA, then the leaves: each is signed by the one before."""
    settings = observed.settings
    try:
        ledger = _ledger(observed)
    except LedgerError as error:
        ref = ObjectRef(SECRET.kind, ledger_secret(settings))
        return Plan(refusal=f"{ref} cannot be used ({error}): restore it, or delete it while no roll-over is under way")
    brought = _brought(observed, now)
    if all(each.empty for each in observed.places) and brought is not None:
        return _first_brought(observed, brought, now)
    place = _signing(observed, ledger)
    survivor = _survivor(place, settings)
    root = CADecision() if survivor else decide_root(place, settings)
    if root.refusal:
        return Plan(refusal=root.refusal)
    issuing = survivor or decide_issuing(place, root.ca, settings, now)
    minted = tuple(decision.mint for decision in (root, issuing) if decision.mint)
    if issuing.refusal:
        return Plan(apply=minted, refusal=issuing.refusal)
    # A CA that is still to be made is trusted through its root.
    found = Found(place, issuing.ca or root.ca, brought, minted=issuing.mint is not None)
    authority = _authority(observed, ledger, found, now)
    use, signer = UseCA(authority.signer.issuing_key), _NOT_MINTED_YET
    if view := authority.view:
        use = UseCA(use.secret, view.trust_pem, view.since, view.reissue_over)
        signer = signer if issuing.mint else view
    leaves = [
        decide_leaf(wanted, observed.leaves.get(wanted.key), signer, now) for wanted in installation_leaves(settings)
    ]
    ours = tuple(takewhile(lambda leaf: not leaf.taken, leaves))
    written = (write for leaf in ours if (write := leaf.issue or leaf.refresh))
    done = authority.step
    return Plan(
        apply=(*minted, *authority.actions, use, *written),
        delete=(*(leaf.delete for leaf in ours if leaf.delete), *authority.delete),
        requeue_after=_requeue_after(ours, done, now),
        told={**told(done), **_told_of_brought(observed, brought)} if done else {},
        refusal=_not_ours(leaves[len(ours)].wanted.key) if len(ours) < len(leaves) else "",
        warning=_warning(place, brought) if survivor else "",
    )


def _ledger(observed: ObservedInstallation) -> Ledger:
    """The ledger. One whose CA is gone, because somebody deleted or replaced it, starts anew."""
    found = observed.trust
    if found is not None and not found.is_of(installation_owner(observed.settings), names.ROLE_CA):
        raise LedgerError("it is not ours: rename it")
    ledger = read_ledger(found)
    active = ledger.find("Active")
    present = {generation_of(ca).key_id for each in observed.places if (ca := usable_ca(each, observed.settings))}
    return ledger if active is None or active.key_id in present else Ledger(request=ledger.request)


def _signing(observed: ObservedInstallation, ledger: Ledger) -> Place:
    """The place of the CA that signs; without a ledger, the first one with a CA."""
    active, settings = ledger.find("Active"), observed.settings
    for each in observed.places if active else ():
        ca = usable_ca(each, settings)
        if active and ca and generation_of(ca).key_id == active.key_id:
            return each
    return next((each for each in observed.places if not each.empty), observed.places[0])


def _brought(observed: ObservedInstallation, now: datetime) -> CertificateAuthority | Finding | None:
    name = observed.settings.brought_ca
    if not name:
        return None
    if observed.brought is None:
        return Finding(
            Reason.CA_MISSING,
            f"there is no Secret {_brought_key(observed.settings)}: create it, with {TLS_CRT}, {TLS_KEY} and {CA_CRT}",
        )
    return read_brought_ca(name, observed.brought.data, now)


def _first_brought(observed: ObservedInstallation, brought: CertificateAuthority | Finding, now: datetime) -> Plan:
    """A new installation signs with the CA that is brought, and with no other."""
    if isinstance(brought, Finding):
        return Plan(refusal=f"{brought.reason}: {brought.message}")
    settings, place = observed.settings, observed.places[0]
    leaves = [
        decide_leaf(wanted, observed.leaves.get(wanted.key), _NOT_MINTED_YET, now)
        for wanted in installation_leaves(settings)
    ]
    copy = CopyCA(_target(place.issuing_key, settings), _brought_key(settings), brought.key_id)
    return Plan(apply=(copy, UseCA(place.issuing_key), *(leaf.issue for leaf in leaves if leaf.issue)))


def _brought_key(settings: Settings) -> NamespacedName:
    return NamespacedName(settings.operator_namespace, settings.brought_ca)


def _told_of_brought(
    observed: ObservedInstallation, brought: CertificateAuthority | Finding | None
) -> Mapping[str, str]:
    if brought is None:
        return {}
    if isinstance(brought, Finding):
        return {"broughtCA": f"{brought.reason}: {brought.message}; the CA before stays in use"}
    asked = "; to replace it, put another CA into the Secret" if observed.request else ""
    return {"broughtCA": f"CA {generation_of(brought).key_id} in Secret {observed.settings.brought_ca}{asked}"}


def _warning(place: Place, brought: CertificateAuthority | Finding | None) -> str:
    """The root of a CA that is brought stays outside."""
    if isinstance(brought, Finding):
        return brought.message
    return _root_is_lost(place) if brought is None else ""


def _authority(observed: ObservedInstallation, ledger: Ledger, found: Found, now: datetime) -> Authority:
    """One step of the ledger."""
    settings, signing, present, minted = observed.settings, found.signing, found.present, found.minted
    if present is None:
        return Authority(signing)
    (other,) = (each for each in observed.places if each.issuing_key != signing.issuing_key)
    standby = usable_ca(other, settings)
    active = ledger.find("Active")
    reachable = {generation_of(ca).key_id for ca in (present, standby) if ca}
    if active is not None and active.key_id not in reachable:
        # Somebody put another root in the place of the one that signed: that is a new beginning.
        ledger = Ledger(request=ledger.request)
    known = {each.key_id: each.state for each in ledger.generations}
    state = known.get(generation_of(standby).key_id) if standby else None
    newest = standby if standby and state in (None, "Prepared") else present
    if newest is standby:
        # What is asked for while the next CA is prepared is what is being done.
        ledger = replace(ledger, request=observed.request or ledger.request)
    done = step(
        ledger,
        generation_of(newest),
        observed.holders,
        now.timestamp(),
        callers=settings.callers_take.total_seconds(),
    )
    cas = {generation_of(ca).key_id: (place, ca) for place, ca in ((signing, present), (other, standby)) if ca}
    active = done.ledger.find("Active")
    signer, ca = cas[active.key_id] if active else (signing, present)
    stored = read_ledger(observed.trust)
    return Authority(
        signer,
        CAView(
            ca.key_id,
            _bundle(done.ledger, cas),
            now.timestamp() if minted and signer == signing else _since(ca, active.since if active else 0),
            settings.reissue_over.total_seconds(),
        ),
        (
            *((put_ledger(done.ledger, observed.trust, settings),) if done.ledger != stored else ()),
            *_others(observed, done.ledger, found, signer, ca, now),
        ),
        _deleted(other, settings) if state == "Retired" and done.ledger == stored else (),
        done,
    )


def _bundle(ledger: Ledger, cas: Mapping[str, tuple[Place, CertificateAuthority]]) -> bytes:
    """The roots of all live generations, that of the signing CA first."""
    order = {"Active": 0, "Prepared": 1, "Retiring": 2}
    live = sorted((each for each in ledger.generations if each.state in order), key=lambda each: order[each.state])
    roots = [root for each in live if each.key_id in cas for root in cas[each.key_id][1].trust]
    return to_pem(*dict.fromkeys(roots))


def _since(ca: CertificateAuthority, active_since: float) -> float:
    """When the CA began to sign: a CA under the same root may be younger than its generation."""
    return max(active_since, (ca.certificate.not_valid_before_utc + BACKDATE).timestamp())


def _others(
    observed: ObservedInstallation,
    ledger: Ledger,
    found: Found,
    signer: Place,
    ca: CertificateAuthority,
    now: datetime,
) -> tuple[MintCA | CopyCA, ...]:
    """What is made or copied beside what signs now."""
    (other,) = (each for each in observed.places if each.issuing_key != signer.issuing_key)
    if isinstance(found.brought, CertificateAuthority):
        return _take_over(observed, ledger, found.brought, signer, ca, other)
    if found.minted or found.brought is not None:
        return ()
    return _next_ca(observed, ledger, signer, other, now)


def _take_over(
    observed: ObservedInstallation,
    ledger: Ledger,
    brought: CertificateAuthority,
    signer: Place,
    ca: CertificateAuthority,
    other: Place,
) -> tuple[CopyCA, ...]:
    """Copy the CA that is brought: over the one that signs if their root is the same, because then everybody trusts it
    already; otherwise to the other place, as soon as that is free."""
    settings = observed.settings
    wanted = generation_of(brought).key_id
    standby = usable_ca(other, settings)
    prepared = ledger.find("Prepared")
    place: Place
    known: CertificateAuthority | None
    if wanted == generation_of(ca).key_id:
        place, known = signer, ca
    elif other.empty or (standby and prepared and generation_of(standby).key_id == prepared.key_id):
        place, known = other, standby
    else:
        return ()
    if known is not None and known.key_id == brought.key_id:
        return ()
    replaces = place.issuing.revision if place.issuing else None
    return (CopyCA(_target(place.issuing_key, settings), _brought_key(settings), brought.key_id, replaces),)


def _next_ca(
    observed: ObservedInstallation, ledger: Ledger, signer: Place, other: Place, now: datetime
) -> tuple[MintCA, ...]:
    """A new root with its issuing CA at the empty place, on request or because the root is at half its life."""
    settings = observed.settings
    moving = any(ledger.find(state) for state in ("Prepared", "Retiring"))
    asked = bool(observed.request) and observed.request != ledger.request
    ca = usable_ca(signer, settings)
    due = ca is not None and is_root_due(ca, now)
    begun = other.root is not None and other.issuing is None
    if moving or not (begun or (other.empty and (asked or due))):
        return ()
    issuing = MintCA(_target(other.issuing_key, settings), settings.issuing_duration, other.root_key)
    root = MintCA(_target(other.root_key, settings), settings.root_duration)
    return (issuing,) if begun else (root, issuing)


def _deleted(place: Place, settings: Settings) -> tuple[DeleteSecret, ...]:
    """The keys of a CA that nobody trusts any more."""
    owner = installation_owner(settings)
    found = (each for each in (place.issuing, place.root) if each and each.is_of(owner, names.ROLE_CA))
    return tuple(DeleteSecret(each.key, each.revision) for each in found)


def _survivor(place: Place, settings: Settings) -> CADecision | None:
    """The issuing CA, if the root was deleted or a restore left it out.

    A new root would cut off every caller who trusts the one before, and without a root the issuing CA still signs.
    """
    if place.root is not None or place.issuing is None:
        return None
    issuing = _read(place.issuing, settings)
    return issuing if issuing.ca else None


def decide_root(place: Place, settings: Settings) -> CADecision:
    """The root is made once and kept; its successor has a place of its own."""
    if place.root is not None:
        return _read(place.root, settings)
    return CADecision(mint=MintCA(_target(place.root_key, settings), settings.root_duration))


def decide_issuing(place: Place, root: CertificateAuthority | None, settings: Settings, now: datetime) -> CADecision:
    """Replaced at half its life, and when it belongs to another root. `root`: None when it is still to be made."""
    found = place.issuing
    kept = _read(found, settings) if found else CADecision()
    if kept.refusal or (kept.ca and root and not is_issuing_due(kept.ca, root, now)):
        return kept
    target, replaces = _target(place.issuing_key, settings), found.revision if found else None
    return CADecision(mint=MintCA(target, settings.issuing_duration, place.root_key, replaces))


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


def _requeue_after(leaves: Iterable[LeafDecision], done: Step | None, now: datetime) -> float | None:
    """Seconds until a leaf or a step is due. A leaf that is being issued comes back with the event of its Secret."""
    waits = [(leaf.renew_at - now).total_seconds() for leaf in leaves if leaf.renew_at and not leaf.issue]
    waits += [done.look_again - now.timestamp()] if done and done.look_again else []
    waits += [STEP_PAUSE] if done and done.waiting_for else []
    return max(0.0, min(waits)) if waits else None


def _root_is_lost(place: Place) -> str:
    return (
        f"Secret {place.root_key} is missing: restore it before the issuing CA ends; to start with a new CA,"
        f" which every caller must fetch, delete Secret {place.issuing_key}, too"
    )


def _not_ours(key: NamespacedName) -> str:
    return f"Secret {key} exists and is not ours: rename or delete it"
