"""A small HTTPS client for endpoints on this machine. It connects to loopback, with the endpoint's name as SNI.

It does not resolve the name, because not every system resolves names under localhost.
"""

import http.client
import json
import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nightlatch.embedded.errors import UserError
from nightlatch.embedded.ports import HOST


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, or None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def wake_ms(self) -> float | None:
        """How long the call was held while the endpoint woke, from Server-Timing; None if it was not held."""
        found = re.search(r"\bwake;dur=([0-9.]+)", self.headers.get("server-timing", ""))
        return float(found[1]) if found else None

    @property
    def message(self) -> str:
        """The error message, in the form of the Open Inference Protocol or of OpenAI; empty if there is none."""
        error = (self.json() or {}).get("error", "") if isinstance(self.json(), dict) else ""
        return str(error.get("message", "")) if isinstance(error, dict) else str(error)


class Connection(http.client.HTTPSConnection):
    """A persistent connection to `url` (`https://NAME.NAMESPACE.localhost:PORT`) that trusts only `ca`.

    shows: the files of the caller's certificate and its key.
    """

    def __init__(self, url: str, ca: Path, *, timeout_s: float = 120.0, shows: tuple[Path, Path] | None = None) -> None:
        parts = urlsplit(url)
        self._name = parts.hostname or ""
        self._context = ssl.create_default_context(cafile=str(ca))
        if shows is not None:
            self._context.load_cert_chain(*shows)
        super().__init__(self._name, parts.port, timeout=timeout_s, context=self._context)

    def connect(self) -> None:
        try:
            plain = socket.create_connection((HOST, self.port), self.timeout)
        except ConnectionRefusedError:
            raise UserError(f"nothing is listening on port {self.port}", "is `nightlatch up` running?") from None
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._context.wrap_socket(plain, server_hostname=self._name)

    def ask(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Answer:
        """Make one call, with `body` as JSON and `key` as a bearer token."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self.request(method, path, None if body is None else json.dumps(body).encode(), headers)
        response = self.getresponse()
        content = response.read()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)


def embed(connection: Connection, model: str, texts: list[str], key: str | None) -> Answer:
    """POST /v1/embeddings."""
    return connection.ask("POST", "/v1/embeddings", {"model": model, "input": texts}, key=key)


def vectors(answer: Answer) -> list[list[float]]:
    """The embeddings in an answer to `embed`, in the order of its texts."""
    return [item["embedding"] for item in sorted(answer.json()["data"], key=lambda item: item["index"])]


def cosine(a: list[float], b: list[float]) -> float:
    """Cosine similarity of two vectors of equal length."""
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    norms = sum(x * x for x in a) * sum(y * y for y in b)
    return float(dot / norms**0.5) if norms else 0.0
