"""A real model server process, its certificates, and a client of it."""

import datetime as dt
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

GATEWAY = "spiffe://nightlatch.test/gateway"
_PEM = serialization.Encoding.PEM
_ADMIN = httpx.Client(timeout=10)
"""One for all: a client of its own for each probe costs more CPU (its TLS context) than the server's answer."""


class CertificateAuthority:
    """A CA of the test's own."""

    def __init__(self, name: str = "test CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, 0), True)
        self.pem = builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM)

    def issue(self, directory: Path, name: str, *uris: str) -> tuple[Path, Path]:
        """Write NAME.crt and NAME.key, good for localhost and with these URI names."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), *map(x509.UniformResourceIdentifier, uris)]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), False)
        secret = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        certificate, private = directory / f"{name}.crt", directory / f"{name}.key"
        private.write_bytes(secret)
        certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(_PEM))
        return certificate, private

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )


@dataclass
class Pki:
    """A CA, the server's files and the gateway's, in one directory."""

    directory: Path
    authority: CertificateAuthority = field(default_factory=CertificateAuthority)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ca = self.directory / "ca.crt"
        self.ca.write_bytes(self.authority.pem)
        self.server = self.authority.issue(self.directory, "server", "spiffe://nightlatch.test/model")
        self.gateway = self.authority.issue(self.directory, "gateway", GATEWAY)

    def flags(self) -> list[str]:
        """The server's TLS flags."""
        certificate, key = map(str, self.server)
        return ["--tls-cert", certificate, "--tls-key", key, "--tls-ca", str(self.ca), "--admit", GATEWAY]

    def context(self, identity: tuple[Path, Path] | None) -> ssl.SSLContext:
        """A client's context with `identity`, a certificate and its key."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if identity is not None:
            context.load_cert_chain(*identity)
        return context


@dataclass
class ModelServer:
    """A running process."""

    process: subprocess.Popen[bytes]
    port: int
    admin_port: int
    pki: Pki
    log: Path

    @property
    def url(self) -> str:
        """Of the serving port."""
        return f"https://localhost:{self.port}"

    def client(self, **options: Any) -> httpx.Client:
        """As the gateway."""
        return httpx.Client(base_url=self.url, verify=self.pki.context(self.pki.gateway), timeout=60, **options)

    def async_client(self, **options: Any) -> httpx.AsyncClient:
        """As the gateway."""
        return httpx.AsyncClient(base_url=self.url, verify=self.pki.context(self.pki.gateway), timeout=60, **options)

    def admin(self, path: str) -> httpx.Response:
        """GET from the admin port."""
        return _ADMIN.get(f"http://127.0.0.1:{self.admin_port}{path}")

    def metric(self, name: str) -> float:
        """The value of one metric line; 0 while there is none."""
        lines = self.admin("/metrics").text.splitlines()
        values = (float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"nightlatch_server_{name} "))
        return next(values, 0.0)

    def wait_ready(self) -> None:
        """Until /readyz says so."""
        wait(lambda: self.process.poll() is not None or self.admin("/readyz").status_code == 200)
        assert self.process.poll() is None, self.log.read_text()

    def logged(self) -> list[dict[str, Any]]:
        """The log's lines."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def terminate(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def wait(condition: Any, seconds: float = 120) -> None:
    """Until `condition()` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def command(model: Path, *flags: str) -> list[str]:
    """The server's command line, on free ports."""
    return [sys.executable, "-m", "nightlatch_server", "--model-dir", str(model), "--port=0", "--admin-port=0", *flags]


def environment() -> dict[str, str]:
    """The test's own import path, handed on."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@contextmanager
def model_server(model: Path, directory: Path, *flags: str, pki: Pki | None = None) -> Iterator[ModelServer]:
    """A server of `model`, listening, perhaps not ready yet; killed at the end if it is still there."""
    pki = pki or Pki(directory / "pki")
    announce, log = directory / "announce.json", directory / "log"
    arguments = command(model, "--drain-delay=0", f"--announce={announce}", *pki.flags(), *flags)
    with log.open("wb") as sink:
        process = subprocess.Popen(arguments, stderr=sink, env=environment())
    try:
        wait(lambda: announce.exists() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        ports = json.loads(announce.read_text())
        yield ModelServer(process, ports["port"], ports["admin_port"], pki, log)
    finally:
        process.kill()
        process.wait()
