"""Tells whether a held call may still go on, by the policy that is in force now. Pure.

The gate let the call in before it was held, and by the policy of that moment. A held call must not outlive its access.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from nightlatch.api.operations import Operation
from nightlatch.api.scalars import Permission
from nightlatch.wire import caller_errors
from nightlatch.wire.error_body import CallerError
from nightlatch.wire.route_document import CertificateGrant, KeyGrant, RouteDocument, TokenRule, TrustedIssuer

API_KEY = "apiKey"
JWT = "jwt"
MTLS = "mtls"
_DENIALS = {error.code: error for error in (caller_errors.POLICY_INVALID, caller_errors.POLICY_STALE)}
_SEGMENT = re.compile(r"[-._A-Za-z0-9]+")


# Whose tokens a document accepts, and its rules about them.
TokenPolicy = tuple[tuple[TrustedIssuer, ...], tuple[TokenRule, ...]]
NO_TOKENS: TokenPolicy = ((), ())


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

    judged_by: what was said of tokens when the call was let in. A token is not kept, so it cannot be judged anew.
    """

    proofs: tuple[Proof, ...]
    method: str
    path: str
    judged_by: TokenPolicy = NO_TOKENS

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
        self.tokens: TokenPolicy = (document.issuers, document.token_rules) if JWT in accepted else NO_TOKENS
        self._issuers = frozenset(str(each.issuer) for each in self.tokens[0])
        self._keys = {(str(grant.client), grant.key_id): grant for grant in keys}
        self._certificates = {str(grant.client or grant.identity): grant for grant in certificates}
        self._revoked_certificates = frozenset(document.revoked_certificates)

    def refusal(self, call: HeldCall, now: float) -> CallerError | None:
        """Why the call must not go on; None if it may. `now`: Unix seconds.

        A proof of a kind that is not known here proves nothing, so the call is refused.
        """
        if self._denied is not None:
            return _DENIALS.get(self._denied, caller_errors.POLICY_INVALID)
        if not call.issuers <= self._issuers:
            return caller_errors.UNAUTHENTICATED
        grants = [self._grant(proof) for proof in call.proofs if proof.method != JWT]
        if any(grant is None or not _in_force(grant, now) for grant in grants):
            return caller_errors.UNAUTHENTICATED
        if call.issuers and call.judged_by != self.tokens:
            return caller_errors.VERIFICATION_UNAVAILABLE
        return None if self._permits(call) else caller_errors.INSUFFICIENT_SCOPE

    def _permits(self, call: HeldCall) -> bool:
        """What a token permits, the gate found out; it is the same as long as the document says the same of tokens."""
        needed, first = self._needs(call), call.proofs[0]
        if first.method == JWT:
            return needed is not None
        grant = self._grant(first)
        return grant is not None and needed in grant.permissions

    def _grant(self, proof: Proof) -> KeyGrant | CertificateGrant | None:
        if proof.method == MTLS:
            revoked = proof.credential in self._revoked_certificates
            return None if revoked else self._certificates.get(proof.client)
        return self._keys.get((proof.client, proof.credential)) if proof.method == API_KEY else None

    def _needs(self, call: HeldCall) -> Permission | None:
        path = call.path.partition("?")[0].split("/")
        found = (each for each in self._operations if each.method == call.method and _fits(each, path))
        return next((each.permission for each in found), None)


def _fits(operation: Operation, path: list[str]) -> bool:
    template = operation.path.split("/")
    return len(template) == len(path) and all(
        wanted == given or (wanted.startswith("{") and _SEGMENT.fullmatch(given) is not None)
        for wanted, given in zip(template, path, strict=True)
    )


def _in_force(grant: KeyGrant | CertificateGrant, now: float) -> bool:
    """A certificate's end is the gate's to judge: the document knows whose certificates count, and not which."""
    if isinstance(grant, CertificateGrant):
        return True
    begun = grant.not_before is None or now >= grant.not_before
    return begun and (grant.not_after is None or now < grant.not_after)
