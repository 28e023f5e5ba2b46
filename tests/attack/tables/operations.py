"""Operations that no permission has, and paths that mean to be something else than they look like."""

from nightlatch.wire import caller_errors
from tests.attack.row import EVERY, HTTP, HTTP1, Arrival, Call, Row

EMBEDDED = {("GET", "/metrics"), ("POST", "/v2/repository/index"), ("DELETE", "/v1/embeddings")}
KEY = ("x-api-key", "{bot}")
FORBIDDEN = caller_errors.INSUFFICIENT_SCOPE

# Method and path, and what of the two has to be another for the call to be let through.
UNLISTED = [
    ("GET", "/", {"path": "/v2"}),
    ("GET", "/admin", {"path": "/v2"}),
    ("GET", "/v2/", {"path": "/v2"}),
    ("GET", "/v22", {"path": "/v2"}),
    ("GET", "/V2", {"path": "/v2"}),
    ("GET", "/v2/repository/index", {"path": "/v2"}),
    ("GET", "/metrics", {"path": "/v2"}),
    ("GET", "/v2/models/other", {"path": "/v2/models/{model}"}),
    ("GET", "/v2/models/{model}/versions/1/extra", {"path": "/v2/models/{model}"}),
    ("POST", "/v2/models/other/infer", {"path": "/v2/models/{model}/infer"}),
    ("POST", "/v2/repository/index", {"path": "/v1/embeddings"}),
    ("POST", "/V1/embeddings", {"path": "/v1/embeddings"}),
    ("POST", "/v1/embeddings/", {"path": "/v1/embeddings"}),
    ("GET", "/v1/embeddings", {"method": "POST"}),
    ("GET", "/v2/models/{model}/infer", {"method": "POST"}),
    ("DELETE", "/v1/embeddings", {"method": "POST"}),
    ("DELETE", "/v2/models/{model}", {"method": "GET"}),
    ("HEAD", "/v2", {"method": "GET"}),
    ("OPTIONS", "/v2", {"method": "GET"}),
    ("PUT", "/v2", {"method": "GET"}),
    ("TRACE", "/v2", {"method": "GET"}),
]

ABOUT = Call("GET", "/v2").with_(KEY)
MODEL = Call("GET", "/v2/models/{model}").with_(KEY)
BAD = caller_errors.INVALID_REQUEST


def _forbidden(title: str, path: str, *, embedded: bool = False) -> Row:
    return Row(title, Call("GET", path).with_(KEY), MODEL, FORBIDDEN, client="{bot_client}", embedded=embedded)


def _unreadable(title: str, path: str, twin: Call = ABOUT) -> Row:
    """Envoy refuses it before the gate."""
    return Row(title, Call("GET", path).with_(KEY), twin, BAD, decided=False)


ROWS = [
    *(
        Row(
            f"{method} {path}",
            Call(method, path).with_(KEY),
            Call(**{"method": method, "path": path, **other}).with_(KEY),  # type: ignore[arg-type]
            FORBIDDEN,
            over=HTTP if method == "HEAD" else EVERY,
            client="{bot_client}",
            embedded=(method, path) in EMBEDDED,
        )
        for method, path, other in UNLISTED
    ),
    Row("a method in lower case", Call("get", "/v2").with_(KEY), ABOUT, BAD, over=HTTP1, decided=False),
    Row(
        "a method in lower case",
        Call("get", "/v2").with_(KEY),
        ABOUT,
        FORBIDDEN,
        over=("http2", "grpc"),
        client="{bot_client}",
    ),
    _forbidden("one directory up", "/v2/models/{model}/../other"),
    _forbidden("out of the model", "/v2/models/{model}/../../secret", embedded=True),
    _forbidden("dots in escapes", "/v2/models/{model}/versions/%2e%2e/ready"),
    _forbidden("a parameter of Tomcat that goes up", "/v2/models/..;/{model}"),
    _forbidden("a parameter of Tomcat", "/v2/models/{model};x=1"),
    _forbidden("a slash escaped twice", "/v2%252fmodels/{model}"),
    _forbidden("a dot escaped twice", "/v2/models/{model}/%252e%252e/x"),
    _unreadable("an escaped slash", "/v2%2fmodels"),
    _unreadable("an escaped slash in upper case", "/v2%2Fmodels"),
    _unreadable("an escaped backslash", "/v2%5cmodels"),
    _unreadable("an escaped NUL", "/v2/models/{model}%00", MODEL),
    _unreadable("a fragment", "/v2#/models"),
]

# Paths that Envoy makes plain before the gate decides: the model server gets the plain one.
ARRIVALS = [
    Arrival(title, Call("GET", path).with_(KEY), plain)
    for title, path, plain in (
        ("two slashes", "//v2", ABOUT),
        ("a slash and a dot", "/./v2", ABOUT),
        ("up from nowhere", "/nothing/../v2", ABOUT),
        ("dots in escapes", "/nothing/%2e%2e/v2", ABOUT),
        ("backslashes", "/v2\\models\\{model}", MODEL),
        ("a letter escaped", "/%762/models/{model}", MODEL),
    )
]
