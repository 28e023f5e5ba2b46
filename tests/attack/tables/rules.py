"""Who is not the caller that a rule of the endpoint names. A twin is.

One rule gives `infer` to the client `ruled`, whose key permits `metadata`, and another to the client `paired` beside a
token of the group `ml`.
"""

from nightlatch.wire import caller_errors
from tests.attack.row import Call, Row
from tests.attack.tables.tokens import bearer

INFER = Call()
FORBIDDEN = caller_errors.INSUFFICIENT_SCOPE


def _key(name: str) -> tuple[str, str]:
    return ("x-api-key", f"{{{name}}}")


GIVEN = INFER.with_(_key("ruled"))
PAIR = INFER.with_(_key("paired"), bearer("token_of_ml"))
ROWS = [
    Row(
        "a client that no rule names",
        INFER.with_(_key("reader")),
        GIVEN,
        FORBIDDEN,
        client="{reader_client}",
        embedded=True,
    ),
    Row(
        "a client of another namespace with the name of one that a rule names",
        INFER.with_(_key("namesake")),
        GIVEN,
        FORBIDDEN,
        client="ml/ruled",
    ),
    Row("a revoked key of a client that a rule names", INFER.with_(_key("ruled_before")), GIVEN),
    Row(
        "a token whose subject is called like the client of a rule",
        INFER.with_(bearer("token_of_namesake")),
        INFER.with_(("authorization", "Bearer {ruled}")),
        FORBIDDEN,
        client="{issuer}:search/ruled",
    ),
    Row(
        "the client of a rule without the token that it asks for",
        INFER.with_(_key("paired")),
        PAIR,
        FORBIDDEN,
        client="{paired_client}",
        embedded=True,
    ),
    Row(
        "the client of a rule beside a token of another group",
        INFER.with_(_key("paired"), bearer("token_of_others")),
        PAIR,
        FORBIDDEN,
        client="{paired_client}",
        embedded=True,
    ),
    Row(
        "a token of the rule's group beside the key of another client",
        INFER.with_(_key("reader"), bearer("token_of_ml")),
        PAIR,
        FORBIDDEN,
        client="{reader_client}",
        embedded=True,
    ),
    Row(
        "a token of the rule's group alone",
        INFER.with_(bearer("token_of_ml")),
        PAIR,
        FORBIDDEN,
        client="{issuer}:alice",
        embedded=True,
    ),
    Row(
        "a bad token of the rule's group beside its client's key",
        INFER.with_(_key("paired"), bearer("unsigned_of_ml")),
        PAIR,
        embedded=True,
    ),
]
