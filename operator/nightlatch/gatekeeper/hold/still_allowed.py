"""Tells whether a held call may still go on, by the policy that is in force now. Pure.

The gate let the call in before it was held, and by the policy of that moment. A held call must not outlive its access.
"""

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

from nightlatch.api.operations import Operation
from nightlatch.api.scalars import Permission
from nightlatch.wire import caller_errors
from nightlatch.wire.error_body import CallerError
from nightlatch.wire.route_document import (
    CertificateGrant,
    ClientRule,
    KeyGrant,
    RouteDocument,
    TokenRule,
    TrustedIssuer,
)

API_KEY = "apiKey"
JWT = "jwt"
MTLS = "mtls"
_DENIALS = {error.code: error for error in (caller_errors.POLICY_INVALID, caller_errors.POLICY_STALE)}
_SEGMENT = re.compile(r"[-._A-Za-z0-9]+")


class TokenPolicy(NamedTuple):
    """Whose tokens a document accepts, and all rules that may be about them."""

    issuers: tuple[TrustedIssuer, ...] = ()
    rules: tuple[TokenRule | ClientRule, ...] = ()


NO_TOKENS = TokenPolicy()


class Proof(NamedTuple):
    """How a caller proved who it is, as the gate found out.

    `client` is NAMESPACE/NAME, or the identity in a certificate of another CA, or NAMESPACE/NAME of the issuer, a colon
    and whom its token names. `credential` is the id of the key or
    token, or the digest of the certificate.
    """

    method: str
    client: str
    credential: str


# One that the gate wrote and nobody here understands: it proves nothing.
UNKNOWN = Proof("", "", "")


@dataclass(frozen=True, slots=True)
class HeldCall:
    """What its caller proved, and what it asks for. The first proof says who the caller is; all of them are needed.

    ends: when one of its tokens and certificates ends, in Unix seconds; None where none does.
    judged_by: what was said of tokens when the call was let in. A token is not kept, so it cannot be judged anew.
    granted: whether the other proofs permitted the call by themselves at that time.
    """

    proofs: tuple[Proof, ...]
    method: str
    path: str
    ends: float | None = None
    judged_by: TokenPolicy = NO_TOKENS
    granted: bool = True

    @property
    def client(self) -> str:
        """Who the caller is."""
        return self.proofs[0].client

    @property
    def issuers(self) -> frozenset[str]:
        """NAMESPACE/NAME of the issuers of its tokens."""
        return frozenset(proof.client.partition(":")[0] for proof in self.proofs if proof.method == JWT)


class Access:
    """What one document grants, arranged for looking it up."""

    def __init__(self, document: RouteDocument) -> None:
        self._denied = document.denied
        self._operations = document.operations
        accepted = {name for group in document.accept or ((API_KEY,),) for name in group}
        keys = document.keys if API_KEY in accepted else ()
        certificates = document.certificates if MTLS in accepted else ()
        self._rules = document.client_rules
        rules: tuple[TokenRule | ClientRule, ...] = (*document.token_rules, *document.client_rules)
        self._tokens = TokenPolicy(document.issuers, rules) if JWT in accepted else NO_TOKENS
        self._issuers = frozenset(str(each.issuer) for each in self._tokens.issuers)
        self._keys = {(str(grant.client), grant.key_id): grant for grant in keys}
        self._certificates = {str(grant.client or grant.identity): grant for grant in certificates}
        self._revoked_certificates = frozenset(document.revoked_certificates)

    def judged(self, call: HeldCall) -> HeldCall:
        """The call, which the gate has just let in, with what lets it be judged later without its token."""
        return replace(call, judged_by=self._tokens if call.issuers else NO_TOKENS, granted=self._grants(call))

    def refusal(self, call: HeldCall, now: float) -> CallerError | None:
        """Why the call must not go on; None if it may. `now`: Unix seconds.

        A proof of a kind that is not known here proves nothing, so the call is refused.
        """
        if self._denied is not None:
            return _DENIALS.get(self._denied, caller_errors.POLICY_INVALID)
        if not call.issuers <= self._issuers or (call.ends is not None and now >= call.ends):
            return caller_errors.UNAUTHENTICATED
        grants = [self._grant(proof) for proof in call.proofs if proof.method != JWT]
        if any(grant is None or not _in_force(grant, now) for grant in grants):
            return caller_errors.UNAUTHENTICATED
        granted = self._grants(call)
        if not (granted or self._some_rule_permits(call)):
            return caller_errors.INSUFFICIENT_SCOPE
        if call.issuers and (call.judged_by != self._tokens or (call.granted and not granted)):
            return caller_errors.VERIFICATION_UNAVAILABLE
        return None

    def _grants(self, call: HeldCall) -> bool:
        """Whether every proof but tokens permits the call. What a token permits, the gate found out; it is the same as
        long as the document says the same of tokens."""
        needed = self._needs(call)
        grants = (self._grant(proof) for proof in call.proofs if proof.method != JWT)
        return needed is not None and all(grant is not None and needed in grant.permissions for grant in grants)

    def _some_rule_permits(self, call: HeldCall) -> bool:
        """Whether a rule does, as far as that can be told without the token."""
        needed, rules = self._needs(call), self._tokens.rules if call.issuers else self._rules
        return any(needed in rule.permissions and _is_about(rule, call) for rule in rules)

    def _grant(self, proof: Proof) -> KeyGrant | CertificateGrant | None:
        if proof.method == MTLS:
            revoked = proof.credential in self._revoked_certificates
            return None if revoked else self._certificates.get(proof.client)
        return self._keys.get((proof.client, proof.credential)) if proof.method == API_KEY else None

    def _needs(self, call: HeldCall) -> Permission | None:
        path = call.path.partition("?")[0].split("/")
        found = (each for each in self._operations if each.method == call.method and _fits(each, path))
        return next((each.permission for each in found), None)


def _is_about(rule: TokenRule | ClientRule, call: HeldCall) -> bool:
    """Whether the call has the proofs that the rule asks for. The claims of a token are not known."""
    if rule.claims and not call.issuers:
        return False
    if isinstance(rule, TokenRule):
        return True
    clients = {proof.client for proof in call.proofs if proof.method in (API_KEY, MTLS)}
    # A certificate of another CA is its own client.
    certificates = {proof.client for proof in call.proofs if proof.method == MTLS}
    return (not rule.clients or not clients.isdisjoint(map(str, rule.clients))) and (
        not rule.certificates or not certificates.isdisjoint(rule.certificates)
    )


def _fits(operation: Operation, path: list[str]) -> bool:
    template = operation.path.split("/")
    return len(template) == len(path) and all(
        wanted == given or (wanted.startswith("{") and _SEGMENT.fullmatch(given) is not None)
        for wanted, given in zip(template, path, strict=True)
    )


def _in_force(grant: KeyGrant | CertificateGrant, now: float) -> bool:
    """Of a certificate the document knows whose it is, and not when it ends: that is `HeldCall.ends`."""
    if isinstance(grant, CertificateGrant):
        return True
    begun = grant.not_before is None or now >= grant.not_before
    return begun and (grant.not_after is None or now < grant.not_after)
