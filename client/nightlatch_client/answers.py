"""What an answer of a token endpoint means (RFC 6749, 5; RFC 9449, 5). Pure."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from nightlatch_client.instant import Instant
from nightlatch_client.state import Failure, Mismatch, Refused, Token, Unavailable

_KINDS = {"bearer": "Bearer", "dpop": "DPoP"}
# The provider has not decided, although it uses an error code.
_PASSING = frozenset({"temporarily_unavailable", "server_error"})
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_LONGEST_DESCRIPTION = 300


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer. headers: names in lower case. document: the JSON in it, None if there is none."""

    status: int
    headers: dict[str, str]
    document: Any = field(repr=False)

    @property
    def error(self) -> str:
        """The error code of RFC 6749; empty if there is none."""
        error = self.document.get("error") if isinstance(self.document, dict) else None
        return error if isinstance(error, str) else ""


@dataclass(frozen=True, slots=True)
class Granted:
    """A token, and what the provider gave with it."""

    token: Token
    refresh_token: str | None = field(default=None, repr=False)


def read(reply: Reply, asked_at: Instant, *, dpop: bool, secrets: Iterable[str] = ()) -> Granted | Failure:
    """dpop: a token was asked for that is bound to a key. secrets: taken out of what the provider says."""
    if reply.status == 200:
        return _granted(reply.document, asked_at, dpop=dpop)
    if reply.status == 429 or reply.status >= 500 or reply.error in _PASSING:
        return Unavailable(f"it answers {reply.status} {clean(reply.error)}".rstrip(), _retry_after(reply))
    if not reply.error:
        return Unavailable(f"it answers {reply.status} without an error of OAuth 2.0")
    said = str(reply.document.get("error_description") or "")
    return Refused(without(clean(reply.error), secrets), without(clean(said), secrets))


def clean(text: str) -> str:
    """Text of a provider that can be shown on a terminal."""
    return _UNPRINTABLE.sub("?", text)[:_LONGEST_DESCRIPTION]


def without(text: str, secrets: Iterable[str]) -> str:
    """Some providers repeat what they were sent."""
    for secret in secrets:
        text = text.replace(secret, "…") if secret else text
    return text


def seconds(value: Any) -> float | None:
    """A number of seconds, some providers write it as a string; None for everything else."""
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and found >= 0 else None


def _granted(document: Any, asked_at: Instant, *, dpop: bool) -> Granted | Failure:
    if not isinstance(document, dict):
        return Unavailable("it answers 200 without JSON")
    value, kind = document.get("access_token"), _KINDS.get(str(document.get("token_type")).lower())
    if not isinstance(value, str) or not _VISIBLE.fullmatch(value):
        return Unavailable("it answers 200 without an access token")
    if kind is None:
        return Mismatch("its tokens are neither of the type Bearer nor of the type DPoP")
    if dpop and kind != "DPoP":
        return Mismatch("it does not bind tokens to a key (DPoP): turn this on for the client, or do not ask for it")
    if kind == "DPoP" and not dpop:
        return Mismatch("it binds tokens to a key (DPoP), and none was shown: ask for it")
    again = document.get("refresh_token")
    token = Token(value, kind, asked_at, seconds(document.get("expires_in")))
    return Granted(token, again if isinstance(again, str) and again else None)


def _retry_after(reply: Reply) -> float | None:
    return seconds(reply.headers.get("retry-after"))
