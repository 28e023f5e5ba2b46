"""An identity provider of one test: an HTTPS server on loopback that publishes keys, well or badly."""

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.attack.certificates import Leaf, Pki
from tests.attack.tokens import Signer

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/keys"


@dataclass
class Answer:
    """What a path answers."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Provider:
    """`answers`: by path, changed while it runs; a function is called for each request. asked: the paths, in order."""

    def __init__(self, folder: Path, *signers: Signer, pki: Pki | None = None) -> None:
        self.signers = list(signers)
        self.answers: dict[str, Answer | Callable[[], Answer]] = {DISCOVERY: self._discovery, JWKS: self._keys}
        self.asked: list[str] = []
        self.pki = pki or Pki("provider root")
        self.ca = folder / "provider-ca.crt"
        self.ca.write_text(self.pki.trust)
        shown = self.pki.present(Leaf(dns=("localhost",), usage="server"))
        chain = folder / "provider.pem"
        chain.write_text(shown.chain + shown.key)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(chain)
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    @property
    def iss(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def jwks_uri(self) -> str:
        return self.iss + JWKS

    def start(self) -> None:
        """Listen, after a stop at the same port."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._server.daemon_threads = True
        self._server.socket = self._context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def says(self, path: str, content: Any, status: int = 200, **headers: str) -> None:
        """Answer with these bytes, or with JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.answers[path] = Answer(body, status, {name.replace("_", "-"): it for name, it in headers.items()})

    def _discovery(self) -> Answer:
        return Answer(json.dumps({"issuer": self.iss, "jwks_uri": self.jwks_uri}).encode())

    def _keys(self) -> Answer:
        return Answer(json.dumps({"keys": [each.jwk for each in self.signers]}).encode())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                found = provider.answers.get(self.path, Answer(status=404))
                answer = found if isinstance(found, Answer) else found()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
