"""Mutual TLS: the server's context, the one identity it admits, and new files taken while it runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

log = logging.getLogger(__name__)


Fingerprint = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the server's certificate chain and key, and the CA that its callers' certificates come from."""

    certificate: Path
    key: Path
    ca: Path

    def fingerprint(self) -> Fingerprint:
        """Changes when any file does, also when a Secret volume swaps the directory behind its link. Raises OSError."""
        stats = [path.stat() for path in (self.certificate, self.key, self.ca)]
        return tuple((s.st_ino, s.st_mtime_ns, s.st_size) for s in stats)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 and later, a client certificate required, no session resumption (each connection shows its certificate).

    Raises OSError or ssl.SSLError when a file is missing, not PEM, or the key is not the certificate's.
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
    """The URI subject alternative names of a certificate as `SSLSocket.getpeercert()` gives it."""
    names = cast("tuple[tuple[str, str], ...]", (peer or {}).get("subjectAltName", ()))
    return [value for kind, value in names if kind == "URI"]


def admission(identity: str, refused: Callable[[], None]) -> Callable[[asyncio.Transport], bool]:
    """Admit a peer whose only URI name is `identity` (a SPIFFE id); `refused` is called for each one that isn't."""

    def admits(transport: asyncio.Transport) -> bool:
        names = uri_names(transport.get_extra_info("peercert"))
        if names == [identity]:
            return True
        refused()
        log.warning("connection refused: the client certificate is not the admitted identity", extra={"names": names})
        return False

    return admits


async def follow(
    files: TlsFiles,
    known: Fingerprint,
    apply: Callable[[ssl.SSLContext], Awaitable[None]],
    report: Callable[[str], None],
    every: float = 1.0,
) -> None:
    """Apply a new context whenever the files differ from `known`, the ones now in force; runs until cancelled.

    Files that don't fit together (a rotation half done, a broken file) leave the old context in force and are tried
    again at their next change. `report` gets "taken" for each context applied and "refused" for each one that was not.
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
            log.warning("new TLS files refused, the old ones stay in force", extra={"reason": str(error)})
        else:
            report("taken")
            log.info("TLS files reloaded")
