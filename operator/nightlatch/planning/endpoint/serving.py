"""The certificate that callers see: our own, or one that cert-manager makes, and what happens between the two.

Whoever is asked for the certificate, callers go on to see the one before until the new one can be used.
"""

from dataclasses import dataclass
from datetime import datetime

from nightlatch.api.endpoint import Tls
from nightlatch.planning.endpoint.certificates import server_leaf, serving_leaf
from nightlatch.planning.inputs import Observed
from nightlatch.planning.issued import decide_issued, judge, withdrawn
from nightlatch.planning.leaves import LeafDecision, WantedLeaf, decide_leaf, renewal_request
from nightlatch.planning.parsed import ParsedEndpoint
from nightlatch.planning.plan import CertificateAction, DeleteSecret, IssueLeaf, MergeSecret, Owner
from nightlatch.planning.secrets import SecretView


@dataclass(frozen=True, slots=True)
class ServingDecision:
    """`leaf`: what was decided about the certificate of the spec. `secret`: the one to show to callers; None: the one
    that they see already."""

    leaf: LeafDecision
    secret: SecretView | None
    apply: tuple[IssueLeaf | MergeSecret | CertificateAction, ...] = ()
    delete: tuple[DeleteSecret, ...] = ()


def decide_serving(endpoint: ParsedEndpoint, observed: Observed, owner: Owner, now: datetime) -> ServingDecision:
    """While a spec is rejected, the certificate that is there stays, and is renewed with the default durations."""
    accepted = endpoint.spec.tls if endpoint.spec and endpoint.rejection is None else None
    tls = accepted or Tls()
    asked = renewal_request(endpoint.metadata.annotations)
    wanted = server_leaf(observed.settings, endpoint.key, owner, tls, asked)
    serving = serving_leaf(observed.settings, endpoint.key, owner, tls, asked)
    own = decide_leaf(wanted, observed.server_tls, observed.issuing_ca, now)
    if tls.issuer_ref is None:
        theirs = _kept(observed, owner, serving, now) if accepted is None else None
        return theirs or _ours(own, observed, owner, accepted=accepted is not None)
    leaf = decide_issued(serving, tls.issuer_ref, observed.serving_cert, observed.cert_manager, now)
    ensure = (leaf.ensure,) if leaf.ensure else ()
    removed = (leaf.delete,) if leaf.delete else ()
    if leaf.usable:
        earlier = _deleted(observed.server_tls, owner, own.wanted.role)
        return ServingDecision(leaf, observed.serving_cert, ensure, (*removed, *earlier))
    if own.leaf is None:
        return ServingDecision(leaf, None, ensure, removed)
    # Our own stays in use until there is another one. It is not made anew for that.
    writes = tuple(write for write in (own.issue, own.refresh) if write)
    return ServingDecision(leaf, observed.server_tls if own.usable else None, (*ensure, *writes), removed)


def _ours(own: LeafDecision, observed: Observed, owner: Owner, *, accepted: bool) -> ServingDecision:
    writes = tuple(write for write in (own.issue, own.refresh) if write)
    removed = (own.delete,) if own.delete else ()
    if not own.usable or not accepted:
        return ServingDecision(own, observed.server_tls if own.usable else None, writes, removed)
    # What cert-manager made before goes once callers can be shown our own.
    gone = _deleted(observed.serving_cert, owner, own.wanted.role)
    return ServingDecision(
        own, observed.server_tls, (*withdrawn(observed.cert_manager, owner), *writes), (*removed, *gone)
    )


def _kept(observed: Observed, owner: Owner, serving: WantedLeaf, now: datetime) -> ServingDecision | None:
    """What cert-manager made for the spec before the rejected one."""
    found = observed.serving_cert
    if found is None or not found.is_of(owner, serving.role) or found.certificate != serving.key.name:
        return None
    leaf, violation = judge(serving, found, now)
    if leaf is None or violation is not None:
        return None
    kept = LeafDecision(serving, leaf, renew_at=leaf.not_after, issuer="cert-manager", look_again=leaf.not_after)
    return ServingDecision(kept, found)


def _deleted(found: SecretView | None, owner: Owner, role: str) -> tuple[DeleteSecret, ...]:
    ours = found is not None and found.is_of(owner, role)
    return (DeleteSecret(found.key, found.revision),) if found is not None and ours else ()
