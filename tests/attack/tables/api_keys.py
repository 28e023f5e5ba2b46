"""API keys that are missing, wrong, over, somebody else's, in the wrong place, or there twice."""

from nightlatch.wire import caller_errors
from tests.attack.row import CLOSED, HTTP1, HTTP2, Call, Row

FORBIDDEN = caller_errors.INSUFFICIENT_SCOPE
MALFORMED = caller_errors.INVALID_REQUEST

INFER = Call()
ABOUT = Call("GET", "/v2")
KEY = ("x-api-key", "{bot}")
BEARER = ("authorization", "Bearer {bot}")
GOOD = INFER.with_(KEY)
GOOD_BEARER = INFER.with_(BEARER)


def key(name: str) -> tuple[str, str]:
    """A header with the key of this name."""
    return ("x-api-key", f"{{{name}}}")


def authorization(value: str) -> tuple[str, str]:
    return ("authorization", value)


def _wrong_key(title: str, name: str, good: str = "bot", *, embedded: bool = False) -> Row:
    """The same call with another key."""
    return Row(title, INFER.with_(key(name)), INFER.with_(key(good)), embedded=embedded)


def _wrong_authorization(title: str, value: str, *, embedded: bool = False) -> Row:
    return Row(title, INFER.with_(authorization(value)), GOOD_BEARER, embedded=embedded)


def _beside_a_good_key(title: str, *headers: tuple[str, str]) -> Row:
    """A presented credential that fails is refused, whatever is beside it."""
    return Row(title, GOOD.with_(*headers), GOOD)


MISSING = [
    Row("no key", INFER, GOOD, embedded=True),
    Row("no key in authorization", INFER, GOOD_BEARER),
    Row("an empty key", INFER.with_(("x-api-key", "")), GOOD, embedded=True),
    Row("a blank key", INFER.with_(("x-api-key", "    ")), GOOD, embedded=True),
    _wrong_authorization("an empty authorization", ""),
    _wrong_authorization("a bearer without a token", "Bearer"),
    _wrong_authorization("a bearer with a blank for a token", "Bearer  "),
]

WRONG = [
    _wrong_key("an unknown key", "unknown", embedded=True),
    _wrong_key("a good id with a wrong secret and its right checksum", "wrong_secret", embedded=True),
    _wrong_key("a bad checksum", "bad_checksum", embedded=True),
    _wrong_key("a typo in the secret", "mistyped", embedded=True),
    _wrong_key("a key without its last character", "cut_short"),
    _wrong_key("a key with one more character", "prolonged"),
    _wrong_key("a key in upper case", "upper_case"),
    _wrong_key("the secret alone", "secret_alone"),
    _wrong_key("the digest in place of the key", "digest"),
    _wrong_key("half of a key", "half"),
    Row("a blank within the key", INFER.with_(("x-api-key", "{half} {bot}")), GOOD),
    Row("the prefix alone", INFER.with_(("x-api-key", "nl_")), GOOD),
    Row("something else", INFER.with_(("x-api-key", "x")), GOOD),
    Row("a star", INFER.with_(("x-api-key", "*")), GOOD),
    Row("a quoted key", INFER.with_(("x-api-key", '"{bot}"')), GOOD),
    _wrong_authorization("an unknown key as bearer", "Bearer {unknown}", embedded=True),
    _wrong_authorization("a key without a scheme", "{bot}"),
    _wrong_authorization("a key as Basic", "Basic {basic}", embedded=True),
    _wrong_authorization("a key of another scheme", "ApiKey {bot}"),
    _wrong_authorization("a key as DPoP", "DPoP {bot}"),
    _wrong_authorization("bearer twice", "Bearer Bearer {bot}"),
    _wrong_authorization("Basic", "Basic Zm9vOmJhcg=="),
    _wrong_authorization("a token without a signature", "Bearer eyJhbGciOiJub25lIn0.e30."),
    _wrong_authorization("an opaque token", "Bearer opaque-token"),
    _wrong_authorization("a quoted key as bearer", 'Bearer "{bot}"'),
]

OVER = [
    _wrong_key("an expired key", "expired"),
    _wrong_key("a key that is not valid yet", "early"),
    _wrong_key("the previous key after the overlap", "previous_after_overlap", "previous_in_overlap"),
    _wrong_key("a revoked key", "revoked"),
    _wrong_key("a key of a client that is suspended", "suspended"),
]

SOMEBODY_ELSES = [
    _wrong_key("the key of another endpoint", "stranger", embedded=True),
    # The younger of two endpoints that claim one host does not get its callers, nor let its own in.
    Row(
        "the key of an endpoint that claims this host, too",
        INFER.with_(key("thief")),
        Call(server_name="{thief_host}").with_(key("thief")),
    ),
    Row(
        "a key at the host of an endpoint that grants it nothing",
        Call(server_name="{other_host}").with_(KEY),
        GOOD,
    ),
]

NOT_PERMITTED = [
    Row(
        "a key for metadata alone infers",
        INFER.with_(key("reader")),
        GOOD,
        FORBIDDEN,
        client="{reader_client}",
        embedded=True,
    ),
    Row(
        "a key for inference alone reads metadata",
        ABOUT.with_(key("writer")),
        ABOUT.with_(KEY),
        FORBIDDEN,
        client="{writer_client}",
        embedded=True,
    ),
    *(
        Row(
            f"{title} says that it reads",
            INFER.with_(key("reader"), header),
            GOOD.with_(header),
            FORBIDDEN,
            client="{reader_client}",
        )
        for title, header in (
            ("a method override", ("x-http-method-override", "GET")),
            ("another method override", ("x-method-override", "GET")),
            ("an original method", ("x-original-method", "GET")),
            ("an original URL", ("x-original-url", "/v2")),
            ("a rewritten URL", ("x-rewrite-url", "/v2")),
            ("a forwarded URI", ("x-forwarded-uri", "/v2")),
            ("a forwarded prefix", ("x-forwarded-prefix", "/v2")),
        )
    ),
    *(
        Row(
            f"{name} claims more",
            INFER.with_(key("reader"), (name, value)),
            GOOD.with_((name, value)),
            FORBIDDEN,
            client="{reader_client}",
        )
        for name, value in (
            ("x-nightlatch-client", "{bot_client}"),
            ("x-nightlatch-permissions", "infer"),
            ("x-nightlatch-method", "mtls"),
        )
    ),
]

BESIDE = [
    _beside_a_good_key("a token beside a good key", authorization("Bearer a.b.c")),
    _beside_a_good_key("an opaque token beside a good key", authorization("Bearer opaque-token")),
    _beside_a_good_key("Basic beside a good key", authorization("Basic Zm9vOmJhcg==")),
    _beside_a_good_key("a proof of possession beside a good key", authorization("DPoP abc")),
]

CLAIMED = [
    Row(f"{name} claims a caller", INFER.with_((name, value)), GOOD)
    for name, value in (
        ("x-nightlatch-client", "{bot_client}"),
        ("x-nightlatch-key-sha256", "{digest}"),
        ("x-nightlatch-credential", "key"),
        ("x-forwarded-client-cert", "URI=spiffe://nightlatch.local/gateway"),
        ("x-forwarded-user", "{bot_client}"),
        ("proxy-authorization", "Bearer {bot}"),
        ("api-key", "{bot}"),
        ("openai-api-key", "{bot}"),
        ("cookie", "x-api-key={bot}"),
        ("x-api_key", "{bot}"),
        ("x_api_key", "{bot}"),
    )
]

REPEATED = [
    Row(
        "two keys that differ",
        GOOD.with_(authorization("Bearer {reader}")),
        GOOD,
        MALFORMED,
        "conflicting_credentials",
        embedded=True,
    ),
    Row(
        "two keys, of which one is unknown",
        GOOD.with_(authorization("Bearer {unknown}")),
        GOOD,
        MALFORMED,
        "conflicting_credentials",
    ),
    *(
        Row(title, call, twin, MALFORMED, "repeated_credential")
        for title, call, twin in (
            ("x-api-key twice", GOOD.with_(KEY), GOOD),
            ("x-api-key twice, of which one is unknown", GOOD.with_(key("unknown")), GOOD),
            ("authorization twice", GOOD_BEARER.with_(BEARER), GOOD_BEARER),
            ("authorization twice, of which one is Basic", GOOD_BEARER.with_(authorization("Basic YTpi")), GOOD_BEARER),
            ("two bearers in one header", INFER.with_(authorization("Bearer {bot},Bearer {bot}")), GOOD_BEARER),
            (
                "two bearers in one header, with a blank",
                INFER.with_(authorization("Bearer {bot}, Bearer {bot}")),
                GOOD_BEARER,
            ),
        )
    ),
]

UNREADABLE = [
    *(
        Row(title, INFER.with_(header), GOOD, MALFORMED, "unreadable_credential")
        for title, header in (
            ("a key that is not ASCII", ("x-api-key", "schlüssel")),
            ("a good key with a letter that is not ASCII", ("x-api-key", "{bot}ü")),
            ("a key in other digits", ("x-api-key", "nl_\xd9\xa1")),
            ("a tab within the key", ("x-api-key", "{half}\t{bot}")),
            ("a key of 17 KB", ("x-api-key", "a" * 17_000)),
        )
    ),
    Row(
        "a token of 17 KB",
        INFER.with_(authorization("Bearer " + "a" * 17_000)),
        GOOD_BEARER,
        MALFORMED,
        "unreadable_credential",
    ),
    # What Envoy does not read.
    Row("NUL within the key", INFER.with_(("x-api-key", "{half}\0{bot}")), GOOD, MALFORMED, over=HTTP1, decided=False),
    Row("NUL within the key", INFER.with_(("x-api-key", "{half}\0{bot}")), GOOD, CLOSED, over=HTTP2, decided=False),
    Row(
        "a key of 64 KiB",
        INFER.with_(("x-api-key", "a" * 65_536)),
        GOOD,
        caller_errors.HEADERS_TOO_LARGE,
        over=HTTP1,
        decided=False,
    ),
    Row("a key of 64 KiB", INFER.with_(("x-api-key", "a" * 65_536)), GOOD, CLOSED, over=HTTP2, decided=False),
]

# A URL is in too many logs: whoever shows a key there is refused, whatever else it brings.
_SHOWN = ("bot", "escaped_underscores", "escaped_in_lower_case", "escaped_prefix", "escaped", "escaped_twice")
IN_THE_URL = [
    *(
        Row(
            f"a key in the query: {name}",
            Call("GET", f"/v2?key={{{name}}}"),
            ABOUT.with_(KEY),
            differs=2,
            embedded=name == "bot",
        )
        for name in _SHOWN
    ),
    *(
        Row(
            f"a key in the query beside a good one: {name}",
            Call("GET", f"/v2?key={{{name}}}").with_(KEY),
            ABOUT.with_(KEY),
        )
        for name in _SHOWN
    ),
    *(
        Row(
            f"a key in the path beside a good one: {name}",
            Call("GET", f"/v2/models/{{{name}}}").with_(KEY),
            Call("GET", "/v2/models/{model}").with_(KEY),
        )
        for name in _SHOWN
    ),
    Row("somebody else's key in the query", Call("GET", "/v2?key={stranger}").with_(KEY), ABOUT.with_(KEY)),
]

ROWS = [
    *MISSING,
    *WRONG,
    *OVER,
    *SOMEBODY_ELSES,
    *NOT_PERMITTED,
    *BESIDE,
    *CLAIMED,
    *REPEATED,
    *UNREADABLE,
    *IN_THE_URL,
]
