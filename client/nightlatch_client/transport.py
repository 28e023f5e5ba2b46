"""HTTPS to the provider: no redirects, an answer of limited size within a limited time."""

import json
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from nightlatch_client.answers import Reply
from nightlatch_client.errors import TokenError
from nightlatch_client.metadata import require_tls

_LARGEST_ANSWER = 1 << 20
_TIMEOUT_S = 10.0
# For all of one answer, however slowly it drips.
_LONGEST_ANSWER_S = 20.0


class UnreachableError(Exception):
    """There is no whole answer. The text has no secret in it."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files of a client's certificate with its chain, and of its key, both PEM. They are read for each connection."""

    chain: Path
    key: Path


class Transport:
    """ca: the file of the CA to trust instead of the system's. over: stands in for the network in tests."""

    def __init__(
        self, ca: Path | None = None, certificate: Certificate | None = None, over: httpx.BaseTransport | None = None
    ) -> None:
        self._ca = ca
        self._certificate = certificate
        self._over = over

    @contextmanager
    def session(self) -> Iterator["Session"]:
        """One connection or a few. Nothing is kept beyond, so files that changed count, and a fork shares nothing."""
        options: dict[str, Any] = {"transport": self._over} if self._over else {"verify": self._context()}
        with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, **options) as http:
            yield Session(http)

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._ca)
            if self._certificate is not None:
                context.load_cert_chain(self._certificate.chain, self._certificate.key)
        except (OSError, ssl.SSLError) as error:
            files = [self._ca, *((self._certificate.chain, self._certificate.key) if self._certificate else ())]
            names = ", ".join(str(each) for each in files if each)
            raise TokenError(f"cannot read certificates ({names}): {error.strerror or error}") from None
        return context


class Session:
    """Requests on one client."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def get(self, url: str) -> Reply:
        """Raises UnreachableError."""
        return self._send("GET", url, None, {})

    def post(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """Raises UnreachableError."""
        return self._send("POST", url, form, headers)

    def _send(self, method: str, url: str, form: Mapping[str, str] | None, headers: Mapping[str, str]) -> Reply:
        require_tls(url)
        sent = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
        try:
            with self._http.stream(method, url, data=dict(form) if form else None, headers=sent) as answer:
                body = _bounded(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Without its cause, which holds the request with the secret.
            raise UnreachableError(f"{type(error).__name__}: {error}"[:300]) from None
        return Reply(answer.status_code, {name.lower(): text for name, text in answer.headers.items()}, _json(body))


def _bounded(answer: httpx.Response) -> bytes:
    body, until = b"", time.monotonic() + _LONGEST_ANSWER_S
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > _LARGEST_ANSWER or time.monotonic() > until:
            raise UnreachableError("its answer is larger than 1 MiB, or takes longer than 20 s")
    return body


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
