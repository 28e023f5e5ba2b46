"""Mutual TLS: the server's context, the one admitted identity, and reloading changed files."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

_log = logging.getLogger(__name__)

Fingerprint = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the server's certificate chain, its key, and the CA that issued the clients' certificates."""

    certificate: Path
    key: Path
    ca: Path

    def fingerprint(self) -> Fingerprint:
        """Changes with any file, also when a Secret volume swaps the directory behind a link. Raises OSError."""
        stats = [path.stat() for path in (self.certificate, self.key, self.ca)]
        return tuple((s.st_ino, s.st_mtime_ns, s.st_size) for s in stats)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """A context for TLS 1.2 and later that requires a client certificate.

    Session resumption is off, so that every connection presents its certificate. Raises OSError or ssl.SSLError if a
    file is missing or not PEM, or if the key does not match the certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(files.ca)
    return context


def uri_names(peer: dict[str, object] | None) -> list[str]:
    """The URI subject alternative names of a certificate in the form of `SSLSocket.getpeercert()`."""
    names = cast("tuple[tuple[str, str], ...]", (peer or {}).get("subjectAltName", ()))
    return [value for kind, value in names if kind == "URI"]


def admission(identity: str, refused: Callable[[], None]) -> Callable[[asyncio.Transport], bool]:
    """Admit a peer whose only URI name is `identity`, a SPIFFE id. `refused` is called for every other peer."""

    def admits(transport: asyncio.Transport) -> bool:
        names = uri_names(transport.get_extra_info("peercert"))
        if names == [identity]:
            return True
        refused()
        _log.warning("connection refused: wrong client identity", extra={"names": names, "admitted": identity})
        return False

    return admits


async def follow(
    files: TlsFiles,
    known: Fingerprint,
    apply: Callable[[ssl.SSLContext], Awaitable[None]],
    report: Callable[[str], None],
    every: float = 1.0,
) -> None:
    """Apply a new context whenever the files differ from `known`, the ones in use. Runs until cancelled.

    If the files do not fit together (half-written rotation, broken file), the old context stays in use until the files
    change again. `report` receives "taken" for each applied context and "refused" for each one that failed.
    """
    while True:
        await asyncio.sleep(every)
        try:
            seen = files.fingerprint()
            if seen == known:
                continue
            known = seen
            await apply(server_context(files))
        except (OSError, ssl.SSLError) as error:
            report("refused")
            _log.warning("new TLS files refused; the old ones stay in use", extra={"error": str(error)})
        else:
            report("taken")
            _log.info("TLS files reloaded")
