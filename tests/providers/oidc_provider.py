"""npm's oidc-provider on loopback for one test file: https by a CA of its own, keys that the tests choose."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.attack.certificates import Leaf, Pki, Presented
from tests.attack.tokens import Signer, encoded

_START_S = 60.0
RESOURCE = "https://{audience}.example"


class OidcProvider:
    """`ca`: the file of the CA to trust. keys: those of the key set; `signs`: the kid of the one that signs.

    clients: more than the two that are there. lifetime: seconds of an access token. nonces: proofs need one (DPoP).
    """

    def __init__(
        self,
        program: Path,
        folder: Path,
        *keys: Signer,
        clients: Sequence[dict[str, Any]] = (),
        lifetime: int = 300,
        nonces: bool = False,
    ) -> None:
        self.pki = Pki("provider root")
        self.ca = folder / "provider-ca.crt"
        self.ca.write_text(self.pki.trust)
        shown = self.pki.present(Leaf(dns=("localhost",), usage="server"))
        for name, text in (("server.crt", shown.chain), ("server.key", shown.key)):
            (folder / name).write_text(text)
        self.folder = folder
        self.clients = list(clients)
        self._more = {"lifetime": lifetime, "nonces": nonces}
        self.keys = list(keys)
        self.signs = keys[0].kid
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            self.port = int(bound.getsockname()[1])
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def iss(self) -> str:
        return f"https://localhost:{self.port}"

    def start(self) -> None:
        """Returns once it answers."""
        self._write()
        with (self.folder / "provider.log").open("ab") as log:
            self._process = subprocess.Popen(
                [shutil.which("node") or "node", str(self._program), str(self.folder / "settings.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._until(lambda: "listening" in self._said())

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def reread(self) -> None:
        """Go on with `keys` and `signs` as they are now."""
        assert self._process is not None
        before = self._said().count("read again")
        self._write()
        os.kill(self._process.pid, signal.SIGHUP)
        self._until(lambda: self._said().count("read again") > before)

    def token(self, client: str, audience: str = "minilm", scope: str = "", shown: Presented | None = None) -> str:
        """An access token by client credentials (RFC 6749, 4.4) for an audience (RFC 8707)."""
        form = {"grant_type": "client_credentials", "resource": RESOURCE.format(audience=audience), "scope": scope}
        context = ssl.create_default_context(cafile=str(self.ca))
        if shown is not None:
            chain = self.folder / "shown.pem"
            chain.write_text(shown.chain + shown.key)
            context.load_cert_chain(chain)
        with httpx.Client(verify=context, timeout=60) as http:
            answer = http.post(f"{self.iss}/token", data=form, auth=(client, f"not-secret-{client}"))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def _write(self) -> None:
        client = {"grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []}
        clients = [
            {"client_id": name, "client_secret": f"not-secret-{name}", "scope": "ml:infer ml:read", **client, **more}
            for name, more in (("caller", {}), ("bound", {"tls_client_certificate_bound_access_tokens": True}))
        ]
        settings = {
            "issuer": self.iss,
            "host": "127.0.0.1",
            "port": self.port,
            "certificate": str(self.folder / "server.crt"),
            "key": str(self.folder / "server.key"),
            "ca": str(self.ca),
            "clients": [*clients, *self.clients],
            **self._more,
            "keys": [{**each.jwk, "use": "sig", "d": _private(each)} for each in self.keys],
            "signs": self.signs,
        }
        (self.folder / "settings.json").write_text(json.dumps(settings))

    def _said(self) -> str:
        return (self.folder / "provider.log").read_text()

    def _until(self, condition) -> None:
        deadline = time.monotonic() + _START_S
        while not condition():
            assert self._process is not None
            assert self._process.poll() is None, self._said()
            assert time.monotonic() < deadline, self._said()
            time.sleep(0.05)


def _private(signer: Signer) -> str:
    """The private member of a JWK of a curve."""
    if signer.algorithm == "EdDSA":
        return encoded(signer.key.private_bytes_raw())
    return encoded(signer.key.private_numbers().private_value.to_bytes(32, "big"))
