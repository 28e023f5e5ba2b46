"""What `explain` shows: what the gate's program told, in sentences, with what to do. Pure: the time is an argument.

No text of a caller is printed as it is: what a token says of itself is quoted as JSON, without control characters.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from nightlatch.api.client import KeyStatus
from nightlatch.api.meta import NamespacedName
from nightlatch.cli.table import age
from nightlatch.wire.caller_errors import INSUFFICIENT_SCOPE, UNAUTHENTICATED, VERIFICATION_UNAVAILABLE
from nightlatch.wire.issuer_document import IssuerDocument

Facts = dict[str, Any]

NOT_LOOKED_AT = (
    "rate limits and waiting rooms",
    "whether the endpoint wakes and answers",
    "whether every gateway has this configuration yet, which `nightlatch inspect ie/NAME` shows",
)
_NOUNS = {"apiKey": "API key", "jwt": "token", "mtls": "certificate"}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside what the gate knows.

    keys: the clients' keys by id. handshake_fault: why TLS would fail. asks_for_certificates: whether it does.
    """

    issuers: Mapping[str, IssuerDocument] = field(default_factory=dict)
    keys: Mapping[str, tuple[NamespacedName, KeyStatus]] = field(default_factory=dict)
    handshake_fault: str = ""
    certificate_given: bool = False
    asks_for_certificates: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence without a subject, and what to do."""

    why: str
    advice: str = ""


# By the names of gate/src/flaw.rs. `{…}` are the words of `_words`.
FLAWS: Mapping[str, Said] = {
    "not_accepted": Said("the endpoint takes no {noun}s", "send what it takes: {accept}; or add to spec.access"),
    "key_malformed": Said(
        "this is no API key of Nightlatch, or it was copied with a mistake: its checksum is wrong",
        "take the entry api-key of the client's Secret again",
    ),
    "key_unknown": Said("the endpoint knows no such key", "{key_advice}"),
    "key_of_revoked_client": Said(
        "the client {client} is revoked or suspended with all its credentials",
        "see `suspend` in the client's spec, and its conditions",
    ),
    "key_revoked": Said(
        "the key {key} of client {client} was revoked", "use the client's newest key, in its Secret, entry api-key"
    ),
    "key_not_yet_valid": Said("the key {key} of client {client} is good from {begins} on", "wait until then"),
    "key_expired": Said(
        "the key {key} of client {client} ended {ended}", "use the client's newest key, in its Secret, entry api-key"
    ),
    "certificate_unreadable": Said(
        "its names cannot be told apart", "issue one without line ends and commas in its names"
    ),
    "certificate_without_one_name": Said(
        "it is nobody's: only a certificate with one URI, or without a URI and with one DNS name, counts",
        "issue one with a single name; the common name never counts",
    ),
    "certificate_of_nobody": Said(
        "the endpoint knows nobody with the name {identity}",
        "name it in `certificates` of a rule, or give the InferenceClient a grant on this endpoint",
    ),
    "certificate_of_revoked_client": Said(
        "the client {client} is revoked or suspended with all its credentials",
        "see `suspend` in the client's spec, and its conditions",
    ),
    "certificate_revoked": Said(
        "this certificate of client {client} was revoked",
        "use the client's newest certificate; `nightlatch renew ic/NAME` asks for another",
    ),
    "identity_revoked": Said(
        "the name {identity} is revoked, with all certificates that have it", "take it off the list of revoked names"
    ),
    "certificate_expired": Said("it ended {ended}", "renew it"),
    "token_malformed": Said(
        "this is no signed JSON Web Token of at most 16 KiB that the gate could accept: its form, its algorithm or a "
        "member of its header is refused",
        "ask the provider for a JWT signed with RS, PS, ES or EdDSA, without crit, zip, jwk, jku, x5u or x5c",
    ),
    "token_claims_malformed": Said("its claims are not JSON, or one of them is there twice", "ask the provider why"),
    "token_without_issuer": Said("it does not say who issued it (`iss`)", "ask the provider for a token with `iss`"),
    "token_of_stranger": Said(
        "the endpoint does not name a TokenIssuer whose `issuer` is {iss}",
        "add such an issuer to spec.access.jwt.issuers; case and a slash at the end count",
    ),
    "issuer_missing": Said(
        "issuer {issuer}: no gateway has keys of it", "see the conditions of this TokenIssuer: `nightlatch get ti -A`"
    ),
    "token_times_missing": Said(
        "issuer {issuer}: `exp` or `iat` is missing, or a time in it is no number",
        "configure the provider to write both",
    ),
    "token_algorithm": Said(
        "issuer {issuer}: it is signed with {algorithm}, and the issuer uses {algorithms}",
        "change `algorithms` of the TokenIssuer, or how the provider signs",
    ),
    "token_audience": Said(
        "issuer {issuer}: its audience {aud} is not accepted; the issuer's tokens must be for {audiences}",
        "ask the provider for a token for that audience, or add to `audiences` of the TokenIssuer",
    ),
    "token_expired": Said("issuer {issuer}: it expired {expired}", "get a new token"),
    "token_issued_in_future": Said(
        "issuer {issuer}: it was issued {issued}, more ahead than a clock may be off ({skew})",
        "set the clocks of the provider and the gateways",
    ),
    "token_not_yet_valid": Said("issuer {issuer}: it is good from {begins} on (`nbf`)", "wait until then"),
    "token_lives_too_long": Said(
        "issuer {issuer}: it lives for {lifetime}, and at most {max_lifetime} are allowed",
        "have the provider issue shorter ones, or raise `maxLifetime` of the TokenIssuer",
    ),
    "token_type": Said(
        "issuer {issuer}: its type is {typ}, and the issuer's tokens must be {token_type}",
        "send the access token, not an ID token; or change `tokenType` of the TokenIssuer",
    ),
    "token_required_claim": Said(
        "issuer {issuer}: a claim of `requiredClaims` is missing or has another value: {required_claims}",
        "ask the provider to write it, or change `requiredClaims` of the TokenIssuer",
    ),
    "token_not_bound": Said(
        "issuer {issuer}: it counts only together with the client certificate that it is bound to, which was not "
        "shown; or it is bound in another way, or not at all (`senderConstrained: {sender_constrained}`)",
        "show the certificate with which the token was asked for; the endpoint must take certificates",
    ),
    "token_ids_malformed": Said("issuer {issuer}: `jti`, `sub` or `sid` is no text", "ask the provider why"),
    "token_denied_by_jti": Said(
        "issuer {issuer}: it is denied by its `jti`", "get a new token, or change `denied.jti` of the TokenIssuer"
    ),
    "token_denied_by_sub": Said(
        "issuer {issuer}: the subject {sub} is denied", "change `denied.sub` of the TokenIssuer to let it in again"
    ),
    "token_denied_by_sid": Said(
        "issuer {issuer}: its session is denied (`sid`)", "sign in again, or change `denied.sid` of the TokenIssuer"
    ),
    "token_issued_too_early": Said(
        "issuer {issuer}: it was issued {issued}, before the time in `denied.issuedBefore`", "get a new token"
    ),
    "token_identity": Said(
        "issuer {issuer}: the claim {identity_claim}, which says who calls, is missing, too long or no text",
        "change `identityFrom` of the TokenIssuer, or ask the provider to write the claim",
    ),
    "issuer_keys_too_old": Said(
        "issuer {issuer}: its keys could not be fetched for so long that nobody may believe them",
        "see the condition KeysReady of this TokenIssuer",
    ),
    "token_of_new_key": Said(
        "issuer {issuer}: no key has the kid {kid} yet, and the token is so new that the key may be on its way",
        "try again in a few seconds",
    ),
    "token_of_unknown_key": Said(
        "issuer {issuer}: no key has the kid {kid}; known are {kids}",
        "get a new token; if that does not help, see the condition KeysReady of this TokenIssuer",
    ),
    "token_signature": Said(
        "issuer {issuer}: no key of the issuer made its signature",
        "get a new token, and check that it was copied whole",
    ),
}
_OTHER_KINDS: Mapping[str, Said] = {
    "key_in_path": Said("an API key stands in the path", "send it as a header, and rotate it: paths are logged"),
    "opaque_token": Said(
        "the bearer token is no JSON Web Token and no API key, and opaque tokens are not taken", "send a JWT or a key"
    ),
    "dpop_token": Said("tokens with a proof of possession (DPoP) are not taken", "send a bearer token"),
    "not_a_bearer_token": Said("what was sent as a token is no token: it has blanks, or is empty", "check the file"),
}
_MALFORMED: Mapping[str, Said] = {
    "repeated_credential": Said("a header would carry two credentials, because there is a comma in it", "send one"),
    "unreadable_credential": Said(
        "a credential is too long or has characters that a header cannot have", "check the file"
    ),
    "conflicting_credentials": Said("two API keys that differ were given", "give one"),
}
_DENIED = Said(
    "the endpoint refuses every call, because its configuration is not valid", "see the conditions of the endpoint"
)


def facts(told: Facts, request: str, known: Known, now: float) -> Facts:
    """The decision and its reasons, for JSON and for text."""
    credentials = [
        _credential(each, told, known, now) for each in told.get("credentials", ()) if each["result"] != "absent"
    ]
    shown = {name: told.get(name) for name in ("endpoint", "decision", "status", "code")}
    if known.handshake_fault:
        shown |= {"decision": "deny", "status": None, "code": None}
    return {
        **shown,
        "request": request,
        "needs": told.get("permission"),
        "client": told.get("client"),
        "method": told.get("method"),
        "permissions": [each for each in (told.get("permissions") or "").split(",") if each],
        "rule": told.get("rule"),
        "accept": told["accept"],
        "reasons": [{"reason": each.why, "advice": each.advice} for each in _reasons(told, credentials, known)],
        "credentials": credentials,
        "notLookedAt": list(NOT_LOOKED_AT),
    }


def text(shown: Facts, where: str, now: float) -> str:
    """The same for people."""
    needs = f"needs the permission {shown['needs']}" if shown["needs"] else "is no operation of the endpoint"
    lines = [f"InferenceEndpoint {shown['endpoint']} in {where}", f"{shown['request']} {needs}", "", _decision(shown)]
    if shown["client"]:
        may = ", ".join(shown["permissions"]) or "nothing"
        lines.append(f"the caller is {shown['client']}, by {_NOUNS[shown['method']]}, and may do here: {may}")
    for each in shown["credentials"]:
        lines += ["", f"{_subject(each)}: {each['reason']}", *_indented(_about(each, now))]
        lines += _indented([f"what to do: {each['advice']}"] if each["advice"] else [])
    for each in shown["reasons"]:
        lines += ["", each["reason"], *_indented([f"what to do: {each['advice']}"] if each["advice"] else [])]
    return "\n".join([*lines, "", f"not looked at: {'; '.join(shown['notLookedAt'])}"])


def _decision(shown: Facts) -> str:
    if shown["decision"] == "allow":
        return f"ALLOWED by {shown['rule']}"
    if shown["status"] is None:
        return "DENIED: the connection ends in the TLS handshake, without an answer"
    return f"DENIED: the caller gets {shown['status']} {shown['code']}"


def _subject(credential: Facts) -> str:
    return (
        f"{_NOUNS[credential['mechanism']]} {credential['keyId']}"
        if credential.get("keyId")
        else _NOUNS[credential["mechanism"]]
    )


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {each}" for each in lines]


def _about(credential: Facts, now: float) -> list[str]:
    """What a token or a certificate says of itself."""
    lines = []
    if credential["mechanism"] == "mtls":
        lines.append(
            f"its name is {_quoted(credential.get('identity'))}; it ends {_when(credential.get('notAfter'), now)}"
        )
    if credential.get("iss") is not None:
        lines.append(
            f"it says: iss {_quoted(credential['iss'])}, sub {_quoted(credential.get('sub'))}, "
            f"aud {_all_quoted(credential['aud'])}, kid {_quoted(credential.get('kid'))}"
        )
    if credential.get("issued") is not None:
        lines.append(f"issued {_when(credential['issued'], now)}, expires {_when(credential['expires'], now)}")
    for issuer in credential.get("issuers", ()):
        if issuer.get("permissionsWords") is not None and issuer["result"] == "good":
            words = _all_quoted(issuer["permissionsWords"])
            lines.append(f"its permissions come from the claim {_quoted(issuer['permissionsClaim'])}: {words}")
    return lines


# Reasons


def _credential(told: Facts, all_told: Facts, known: Known, now: float) -> Facts:
    """The facts of one credential, with sentence and advice; for a token, of each issuer that has its `iss`."""
    judged = [each for each in told.get("issuers", ()) if each["flaw"]] if told["flaw"] else []
    said = [_said(each["flaw"], told, all_told, known, now, each["name"]) for each in judged]
    if not said and told["flaw"]:
        said = [_said(told["flaw"], told, all_told, known, now)]
    if told["result"] == "good":
        client = f", of {told['client']}" if told.get("client") else ""
        said = [Said(f"good{client}")]
    why, advice = "; ".join(each.why for each in said), "; ".join(dict.fromkeys(each.advice for each in said))
    return {**told, "reason": why, "advice": advice}


def _said(flaw: str, told: Facts, all_told: Facts, known: Known, now: float, issuer: str = "") -> Said:
    said = FLAWS.get(flaw, Said(f"refused by a check that this version of nightlatch does not know: {flaw}"))
    words = _words(told, all_told, known, now, issuer)
    if flaw == "key_unknown":
        said = _unknown_key(told, all_told, known)
    return Said(said.why.format_map(words), said.advice.format_map(words))


def _unknown_key(told: Facts, all_told: Facts, known: Known) -> Said:
    """The gate knows only keys that are good for the endpoint; the clients' statuses know more of them, by id."""
    key = told.get("keyId") or ""
    found = known.keys.get(key)
    if found is None:
        if told.get("idIsRevoked"):
            return Said(f"the key {key} was revoked", "use the client's newest key")
        return Said(
            "the endpoint knows no such key, and no client that you may see has one with this id",
            "check that it is a key of this installation; a key that ended long ago is forgotten",
        )
    client, status = found
    if status.state == "Revoked":
        return Said(
            f"the key with this id, of client {client}, was revoked or has ended",
            "use the client's newest key, in its Secret, entry api-key",
        )
    return Said(
        f"the key with this id is client {client}'s and is {status.state}, but is not good for this endpoint, or its "
        "secret part is wrong",
        f"name {all_told['endpoint']} in spec.endpoints of the client, and see `nightlatch inspect ic/{client.name} "
        f"-n {client.namespace}`",
    )


def _words(told: Facts, all_told: Facts, known: Known, now: float, name: str) -> Mapping[str, str]:
    issuer = known.issuers.get(name)
    words = {
        "noun": _NOUNS[told["mechanism"]],
        "accept": _accepted(all_told["accept"]),
        "key": told.get("keyId") or "",
        "client": told.get("client") or "",
        "identity": _quoted(told.get("identity")),
        "begins": _when(told.get("notBefore"), now),
        "ended": _when(told.get("notAfter"), now),
        "issuer": name,
        "expired": _when(told.get("expires"), now),
        "issued": _when(told.get("issued"), now),
        "lifetime": age((told.get("expires") or 0) - (told.get("issued") or 0)),
        "aud": _all_quoted(told.get("aud") or ()),
        **{each: _quoted(told.get(each)) for each in ("iss", "sub", "kid", "typ")},
        "algorithm": told.get("algorithm") or "",
    }
    if issuer is not None:
        kids = [each.kid for each in issuer.keys if each.kid]
        required = (f"{'.'.join(claim)} = {_quoted(value)}" for claim, value in issuer.required_claims)
        words |= {
            "algorithms": ", ".join(issuer.algorithms),
            "audiences": " or ".join(map(_quoted, issuer.audiences)),
            "max_lifetime": age(issuer.max_lifetime),
            "skew": age(issuer.clock_skew),
            "token_type": _quoted(issuer.token_type),
            "required_claims": ", ".join(required),
            "identity_claim": ".".join(issuer.identity_claim),
            "sender_constrained": issuer.sender_constrained,
            "kids": _all_quoted(kids),
        }
    return defaultdict(lambda: "unknown", words)


def _reasons(told: Facts, credentials: list[Facts], known: Known) -> Iterable[Said]:
    """What is wrong beside what a credential itself is refused for."""
    if known.handshake_fault:
        yield Said(f"certificate: {known.handshake_fault}", "show a certificate of a CA that the endpoint trusts")
    if known.certificate_given and not known.asks_for_certificates:
        yield Said("the endpoint asks for no certificate, so the one given counts for nothing")
    if told["decision"] == "allow":
        return
    if malformed := told.get("malformed"):
        yield _MALFORMED.get(malformed, Said(malformed))
    yield from (_OTHER_KINDS.get(each, Said(each)) for each in told.get("otherKinds", ()))
    if told["error"] in (UNAUTHENTICATED.code, VERIFICATION_UNAVAILABLE.code):
        yield from _not_enough(told, credentials)
    elif told["error"] == INSUFFICIENT_SCOPE.code:
        yield _not_permitted(told)
    elif not malformed:
        yield _DENIED


def _not_enough(told: Facts, credentials: list[Facts]) -> Iterable[Said]:
    failed = [each for each in credentials if each["result"] == "failed"]
    if failed and len(credentials) > len(failed):
        yield Said("a credential that is refused refuses the call, whatever else is sent with it", "leave it out")
    if not failed and not told.get("otherKinds"):
        given = " and ".join(_NOUNS[each["mechanism"]] for each in credentials if each["result"] == "good")
        yield Said(
            f"{given} alone is not enough" if given else "no credential that counts was sent",
            f"send what the endpoint takes: {_accepted(told['accept'])}",
        )


def _not_permitted(told: Facts) -> Said:
    needed = told.get("permission")
    if needed is None:
        return Said(
            "the endpoint has no such operation, and refuses what is not in its table",
            "check method, path and the model's name in it",
        )
    return Said(
        f"the caller does not have the permission {needed} on this endpoint",
        f"grant {needed}: in spec.endpoints of the InferenceClient, in permissionsFrom of the TokenIssuer, or in a "
        "rule of spec.access.rules",
    )


def _accepted(lists: Iterable[str]) -> str:
    """`apiKey+mtls` is both; any list suffices."""
    return (
        ", or ".join(
            " with ".join(f"an {_NOUNS[it]}" if it == "apiKey" else f"a {_NOUNS[it]}" for it in each.split("+"))
            for each in lists
        )
        or "nothing"
    )


# Words


def _when(unix: int | None, now: float) -> str:
    if unix is None:
        return "at an unknown time"
    try:
        exact = f"{datetime.fromtimestamp(unix, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        exact = f"{unix} seconds after 1970"
    return f"in {age(unix - now)} ({exact})" if unix > now else f"{age(now - unix)} ago ({exact})"


def _quoted(value: str | None) -> str:
    """As JSON: a control character of a token must not reach the terminal."""
    return "none" if value is None else json.dumps(value)


def _all_quoted(values: Iterable[str]) -> str:
    return ", ".join(map(_quoted, values)) or "none"
