"""JSON Web Tokens that are forged, malformed, over, somebody else's or denied. A twin has a good token."""

from dataclasses import replace

from nightlatch.wire import caller_errors
from tests.attack.row import Call, Row

INFER = Call()
FORBIDDEN = caller_errors.INSUFFICIENT_SCOPE
MALFORMED = caller_errors.INVALID_REQUEST
# Tried on a whole `nightlatch up` as well.
EMBEDDED = {
    *("none", "empty_signature", "hs256_pem", "changed_payload", "by_key_of_other_issuer", "jwk", "kid_path"),
    *("kid_unknown", "jwe", "crit", "exp_missing", "exp_over", "lifetime_too_long", "aud_longer", "iss_slash"),
    *("iss_unknown", "bound_to_a_certificate", "member_twice", "padding", "four_segments", "scope_longer"),
    *("denied_jti", "denied_sub", "denied_sid", "issued_before", "token_of_reader"),
}


def bearer(name: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {{{name}}}")


def _wrong(title: str, name: str, good: str = "token") -> Row:
    """The same call with another token."""
    return Row(title, INFER.with_(bearer(name)), INFER.with_(bearer(good)), embedded=name in EMBEDDED)


SIGNATURE = [
    _wrong("alg none", "none"),
    _wrong("alg nOnE", "none_in_other_case"),
    _wrong("alg none with a signature", "none_with_signature"),
    _wrong("an empty signature", "empty_signature"),
    _wrong("HS256 with the public key as PEM", "hs256_pem"),
    _wrong("HS256 with the public key as JWK", "hs256_jwk"),
    _wrong("alg in lower case", "alg_lower_case"),
    _wrong("alg of a key of another type", "alg_of_another_kind"),
    _wrong("alg that the key is not for", "alg_pss"),
    _wrong("without alg", "alg_missing"),
    _wrong("another payload under the signature", "changed_payload"),
    _wrong("another signature under the text of a token that was verified", "changed_signature"),
    _wrong("issuer A with B's key", "by_key_of_other_issuer"),
    _wrong("issuer B with A's key", "other_issuer_by_our_key"),
]
HEADER = [
    _wrong("jku", "jku"),
    _wrong("x5u", "x5u"),
    _wrong("jwk, and signed with it", "jwk"),
    _wrong("x5c", "x5c"),
    _wrong("kid is a path", "kid_path"),
    _wrong("kid is SQL", "kid_sql"),
    _wrong("kid is a URL", "kid_url"),
    _wrong("kid is an array", "kid_array"),
    _wrong("kid is unknown", "kid_unknown"),
    _wrong("JWE", "jwe"),
    _wrong("nested", "nested"),
    _wrong("zip", "zip"),
    _wrong("an unknown crit", "crit"),
    _wrong("an empty crit", "crit_empty"),
    _wrong("b64 false", "b64"),
]
TIMES = [
    _wrong("without exp", "exp_missing"),
    _wrong("exp is a text", "exp_text"),
    _wrong("exp is NaN", "exp_nan"),
    _wrong("exp is 1e400", "exp_1e400"),
    _wrong("exp is past the skew", "exp_over", "token_within_skew"),
    _wrong("without iat", "iat_missing"),
    _wrong("iat is in the future", "iat_future"),
    _wrong("nbf is in the future", "nbf_future"),
    _wrong("nbf is a text", "nbf_text"),
    _wrong("valid for too long", "lifetime_too_long"),
]
CLAIMS = [
    _wrong("without aud", "aud_missing"),
    _wrong("aud is a prefix of ours", "aud_prefix"),
    _wrong("ours is a prefix of aud", "aud_longer"),
    _wrong("ours is a word of aud", "aud_within"),
    _wrong("ours is not in the list of aud", "aud_list_of_others", "token_aud_list"),
    _wrong("iss with a slash more", "iss_slash"),
    _wrong("iss in another case", "iss_other_case"),
    _wrong("iss of nobody", "iss_unknown"),
    _wrong("iss is a list", "iss_list"),
    _wrong("without sub", "sub_missing"),
    _wrong("sub is a number", "sub_number"),
    _wrong("bound to a DPoP key", "bound_to_a_key"),
    _wrong("bound to a certificate that is not shown", "bound_to_a_certificate"),
]
FORM = [
    _wrong("a member twice", "member_twice"),
    _wrong("a member of the header twice", "header_member_twice"),
    _wrong("padding", "padding"),
    _wrong("another alphabet", "alphabet"),
    _wrong("four segments", "four_segments"),
    _wrong("claims are no JSON", "not_json"),
    _wrong("claims are a list", "json_list"),
    _wrong("claims after a byte order mark", "byte_order_mark"),
    Row(
        "more than 16 KiB",
        INFER.with_(bearer("too_large")),
        INFER.with_(bearer("token_long")),
        MALFORMED,
        detail="unreadable_credential",
    ),
]
DENIED = [
    _wrong("denied by jti", "denied_jti"),
    _wrong("denied by sub", "denied_sub"),
    _wrong("denied by sid", "denied_sid"),
    _wrong("issued before a time", "issued_before"),
]
PERMISSIONS = [
    replace(_wrong(title, name, good), error=FORBIDDEN, client="{issuer}:alice")
    for title, name, good in (
        ("infer2 in scope", "scope_longer", "token"),
        ("scope in another case", "scope_other_case", "token"),
        ("without scope", "scope_missing", "token_scope_list"),
        ("a token for metadata", "token_of_reader", "token"),
    )
]
BESIDE = [
    Row(
        "a bad token beside a good key",
        INFER.with_(("x-api-key", "{bot}"), bearer("aud_longer")),
        INFER.with_(("x-api-key", "{bot}"), bearer("token")),
    ),
    Row(
        "a good token beside a bad key",
        INFER.with_(("x-api-key", "{unknown}"), bearer("token")),
        INFER.with_(("x-api-key", "{bot}"), bearer("token")),
    ),
]
ROWS = [*SIGNATURE, *HEADER, *TIMES, *CLAIMS, *FORM, *DENIED, *BESIDE, *PERMISSIONS]
