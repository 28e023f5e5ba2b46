"""Requests that two servers in a row could read in two ways, hosts that are not one's own, and forged headers."""

from dataclasses import replace

from nightlatch.wire import caller_errors
from tests.attack.row import CLOSED, HTTP1, HTTP2, Arrival, Call, Row

KEY = ("x-api-key", "{bot}")
BAD = caller_errors.INVALID_REQUEST
MISDIRECTED = caller_errors.MISDIRECTED_REQUEST
FORBIDDEN = caller_errors.INSUFFICIENT_SCOPE

POST = "POST /v1/embeddings HTTP/1.1"
HOST = "host: {host}"
API_KEY = "x-api-key: {bot}"
LENGTH = "content-length: 3"
CHUNKED = "transfer-encoding: chunked"
BODY = ("", "abc")
CHUNKS = ("", "3\r\nabc\r\n0\r\n\r\n")
# A second request in what the first server takes for a body.
HIDDEN = ("", "0\r\n\r\nGET /v2/models/{model} HTTP/1.1\r\nhost: {host}\r\nx-api-key: {bot}\r\n\r\n")

PLAIN = Call(lines=(POST, HOST, API_KEY, LENGTH, *BODY))
IN_CHUNKS = Call(lines=(POST, HOST, API_KEY, CHUNKED, *CHUNKS))


def _more(title: str, line: str, twin: Call = PLAIN) -> Row:
    """One line too many in a good request."""
    lines = (*twin.lines[:3], line, *twin.lines[3:])
    return Row(title, Call(lines=lines), twin, BAD, over=HTTP1, decided=False)


def _other(title: str, wrong: str, right: str, twin: Call = PLAIN) -> Row:
    """One line of a good request is another one."""
    lines = tuple(wrong if line == right else line for line in twin.lines)
    return Row(title, Call(lines=lines), twin, BAD, over=HTTP1, decided=False)


def _unimplemented(title: str, wrong: str) -> Row:
    """Envoy knows no encoding but chunks."""
    row = _other(title, wrong, CHUNKED, IN_CHUNKS)
    return replace(row, error=caller_errors.REQUEST_FAILED, status=501)


AMBIGUOUS = [
    _more("a length and chunks", LENGTH, IN_CHUNKS),
    _more("chunks and a length", CHUNKED),
    Row(
        "a request hidden behind a length and chunks",
        Call(lines=(POST, HOST, API_KEY, "content-length: 91", CHUNKED, *HIDDEN)),
        Call(lines=(POST, HOST, API_KEY, CHUNKED, *HIDDEN)),
        BAD,
        over=HTTP1,
        decided=False,
        calls=2,
    ),
    _more("two lengths that differ", "content-length: 4"),
    _more("the same length twice", LENGTH),
    _other("two lengths in one header", "content-length: 3, 4", LENGTH),
    _other("a length with a sign", "content-length: +3", LENGTH),
    _other("a negative length", "content-length: -1", LENGTH),
    _other("a length in hex", "content-length: 0x3", LENGTH),
    _other("a length that no number holds", "content-length: 99999999999999999999999", LENGTH),
    _unimplemented("an encoding that is not known", "transfer-encoding: xchunked"),
    _unimplemented("chunks of chunks", "transfer-encoding: chunked, chunked"),
    _unimplemented("chunks and then something else", "transfer-encoding: chunked, identity"),
    _other("an encoding with a tab in its name", "transfer-encoding\t: chunked", CHUNKED, IN_CHUNKS),
    _more("NUL in a name", "x\0y: a"),
    _more("NUL in a value", "x: a\0b"),
    _more("a return within a name", "x\ry: a"),
    _more("a blank before the colon", "x-api-key : a"),
    _more("a line without a colon", "x"),
    _more("an empty name", ": a"),
    replace(_more("two hosts", "host: {other_host}"), error=MISDIRECTED, decided=True),
    _other("no host", "x: y", HOST),
    _other("a blank in the path", "POST /v1/embeddings /x HTTP/1.1", POST),
    _other("no path", "POST HTTP/1.1", POST),
    replace(_other("HTTP/3.0", "POST /v1/embeddings HTTP/3.0", POST), error=caller_errors.HTTP_VERSION),
    _other("a method that is no word", "PO(ST /v1/embeddings HTTP/1.1", POST),
    Row(
        "HTTP/1.0",
        Call(lines=("GET /v2 HTTP/1.0", HOST, API_KEY)),
        Call(lines=("GET /v2 HTTP/1.1", HOST, API_KEY)),
        caller_errors.HTTP_VERSION,
        over=HTTP1,
        decided=False,
    ),
    Row(
        "70 KB of headers",
        Call("GET", "/v2").with_(KEY, ("x", "a" * 70_000)),
        Call("GET", "/v2").with_(KEY, ("x", "a")),
        caller_errors.HEADERS_TOO_LARGE,
        over=HTTP1,
        decided=False,
    ),
]


def _frames(title: str, call: Call, twin: Call) -> Row:
    return Row(title, call, twin, CLOSED, over=HTTP2, decided=False)


GOOD = Call().with_(KEY)
LONG = GOOD.with_(("x", "a" * 70_000))
# What HTTP/2 can say and HTTP/1.1, in which the model server is called, could not, or would take for something else.
HTTP2_ONLY = [
    _frames(title, GOOD.with_(header), GOOD)
    for title, header in (
        ("chunks in HTTP/2", ("transfer-encoding", "chunked")),
        ("a connection header in HTTP/2", ("connection", "close")),
        ("a line break in a value", ("x", "a\r\nx-nightlatch-client: search/root")),
        ("a line feed in a value", ("x", "a\nb")),
        ("NUL in a value", ("x", "a\0b")),
        ("a name in upper case", ("X-Upper", "a")),
        ("a colon in a name", ("x:y", "a")),
        ("a line break in a name", ("x\r\ny", "a")),
        ("TE that is not trailers", ("te", "gzip")),
    )
] + [
    replace(
        _frames("a length that is not the body's", GOOD.with_(("content-length", "4")), GOOD),
        admitted=True,
    ),
    _frames("70 KB of headers", LONG, GOOD.with_(("x", "a"))),
    *(
        _frames(title, Call(pseudo=(header,)).with_(KEY), GOOD)
        for title, header in (
            ("two paths", (":path", "/v2")),
            ("two methods", (":method", "GET")),
            ("two authorities", (":authority", "{other_host}")),
            ("an unknown pseudo-header", (":x", "a")),
            ("a protocol", (":protocol", "websocket")),
        )
    ),
]

HOSTS = [
    Row("another endpoint's host", Call(host="{other_host}").with_(KEY), GOOD, MISDIRECTED, embedded=True),
    Row("nobody's host", Call(host="{nobody_host}").with_(KEY), GOOD, MISDIRECTED, embedded=True),
    Row("a host with an endpoint's name at its end", Call(host="x.{host}").with_(KEY), GOOD, MISDIRECTED),
    Row(
        "a host with an endpoint's name at its beginning",
        Call(host="{host}.evil.example").with_(KEY),
        GOOD,
        MISDIRECTED,
    ),
    Row("a host with two dots at its end", Call(host="{host}..").with_(KEY), GOOD, MISDIRECTED),
    Row(
        "a URL of another host",
        Call(path="/v2", lines=("GET https://{other_host}/v2 HTTP/1.1", HOST, API_KEY)),
        Call(path="/v2", lines=("GET https://{host}/v2 HTTP/1.1", HOST, API_KEY)),
        MISDIRECTED,
        over=HTTP1,
    ),
    Row(
        "a host that no endpoint has",
        Call(server_name="{nobody_host}").with_(KEY),
        GOOD,
        caller_errors.NOT_FOUND,
        decided=False,
    ),
]

TUNNELS = [
    Row(
        title,
        Call(path="", lines=(wrong, HOST, API_KEY)),
        Call(path="", lines=(right, HOST, API_KEY)),
        FORBIDDEN,
        over=HTTP1,
        client="{bot_client}",
    )
    for title, wrong, right in (("CONNECT to the endpoint", "CONNECT {host}:443 HTTP/1.1", "GET /v2 HTTP/1.1"),)
]

UPGRADE = ("connection: upgrade", "upgrade: websocket")
H2C = ("connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AA")
WITHOUT_KEY = [
    Row(
        title,
        Call(path=line.split()[1], lines=(line, HOST, *more)),
        Call(path=line.split()[1], lines=(line, HOST, API_KEY, *more)),
        over=HTTP1,
    )
    for title, line, more in (
        ("an upgrade", "GET /v2 HTTP/1.1", UPGRADE),
        ("an upgrade to HTTP/2", "GET /v2 HTTP/1.1", H2C),
        ("a body that is announced", POST, ("content-length: 3", *BODY)),
    )
]

ROWS = [*AMBIGUOUS, *HTTP2_ONLY, *HOSTS, *TUNNELS, *WITHOUT_KEY]

# By which something in front of a server, or a library in it, is told who calls, from where, and for what.
FORGED = [
    "x-nightlatch-client",
    "X-Nightlatch-Permissions",
    "x-nightlatch-method",
    "x-nightlatch-anything",
    "x-nightlatch-key-sha256",
    "x_nightlatch_client",
    "cookie",
    "proxy-authorization",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-forwarded-client-cert",
    "x-envoy-upstream-rq-timeout-ms",
    "client-cert",
    "x-ssl-client-cert",
    "remote-user",
    "x-remote-user",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-access-token",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-forwarded-port",
    "x-forwarded-path",
    "x-forwarded-uri",
    "x-forwarded-for",
    "x-forwarded-proto",
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "x-original-uri",
    "x-original-method",
    "x-spiffe-id",
    "x-envoy-peer-metadata",
    "x-envoy-attempt-count",
    "x-request-id",
    "dpop",
    "api-key",
    "openai-api-key",
    "x-goog-api-key",
    "x-amz-security-token",
    "x-auth-token",
    "x-access-token",
]
ARRIVALS = (
    [
        # Envoy reads them as one line, and the gate and the model server see what Envoy read.
        Arrival(
            title,
            Call(lines=(POST, HOST, API_KEY, line, LENGTH, *BODY)),
            Call(lines=(POST, HOST, API_KEY, plain, LENGTH, *BODY)),
            over=HTTP1,
        )
        for title, line, plain in (
            ("a header on two lines", "x: a\r\n b", "x: a b"),
            (
                "a forged header on a second line",
                "x: a\r\n x-nightlatch-client: search/root",
                "x: a x-nightlatch-client: search/root",
            ),
            ("a return within a value", "x: a\rb", "x: ab"),
        )
    ]
    + [
        Arrival(
            f"a forged {name}",
            Call("GET", "/v2").with_(KEY, (name.lower(), "search/root")),
            Call("GET", "/v2").with_(KEY),
        )
        for name in FORGED
    ]
    + [
        Arrival(
            "the key in authorization",
            Call("GET", "/v2").with_(("authorization", "Bearer {bot}")),
            Call("GET", "/v2").with_(KEY),
        ),
        Arrival(
            "the key in both headers",
            Call("GET", "/v2").with_(("authorization", "Bearer {bot}"), KEY),
            Call("GET", "/v2").with_(KEY),
        ),
    ]
)
