"""Asks a model server whether it is ready, over mTLS as a call would reach it: both sides prove their identity.

This finds out about a started server earlier than the platform's own probe. `answer` asks it anything else.
"""

import asyncio
import re
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from nightlatch.gatekeeper.hold.hold_state import Address
from nightlatch.pki.material import TlsMaterial

T = TypeVar("T")

READY_PATH = "/v2/health/ready"
TIMEOUT = 2.0
# Bytes of an answer that are read at most.
LONGEST_ANSWER = 64 * 1024
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.05


class IdentityError(Exception):
    """The server at that address is not the endpoint's model server."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The gateway's client certificate, the trusted CA (PEM), and the SPIFFE ID that the server must have."""

    client: TlsMaterial
    trust: str = field(repr=False)
    expected: str


async def until_ready(address: Address, identity: Identity) -> None:
    """Probe until the server is ready. A server that does not answer is asked again, until this is cancelled.

    Raises IdentityError if the server has another identity, ssl.SSLError or ValueError if a certificate is unusable.
    """
    pause = FIRST_PAUSE
    while not await ready(address, identity):
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


async def ready(address: Address, identity: Identity) -> bool:
    """Probe once: True for HTTP 200, False for any other answer or none. Raises IdentityError."""
    return await _ask(address, identity, READY_PATH, _is_good) or False


async def answer(address: Address, identity: Identity, path: str) -> bytes | None:
    """The body of the answer to a GET; None if it is not 200, too long or has no length. Raises IdentityError."""
    return await _ask(address, identity, path, _body)


async def _ask(
    address: Address, identity: Identity, path: str, read: Callable[[asyncio.StreamReader], Awaitable[T]]
) -> T | None:
    context = _context(identity.client, identity.trust)
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(*address, ssl=context, server_hostname="")
            try:
                _check_identity(writer.get_extra_info("peercert"), identity.expected)
                head = f"GET {path} HTTP/1.1\r\nhost: {identity.expected}\r\nconnection: close\r\n\r\n"
                writer.write(head.encode())
                return await read(reader)
            finally:
                writer.transport.abort()
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
        # ssl.SSLError is an OSError: a server that closes during the handshake is starting or stopping.
        return None


async def _is_good(reader: asyncio.StreamReader) -> bool:
    return (await reader.readline()).split(b" ")[1:2] == [b"200"]


async def _body(reader: asyncio.StreamReader) -> bytes | None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *([0-9]{1,9}) *\r\n", head, re.IGNORECASE)
    if head.split(b" ")[1:2] != [b"200"] or length is None or int(length[1]) > LONGEST_ANSWER:
        return None
    return await reader.readexactly(int(length[1]))


def _check_identity(certificate: dict[str, object] | None, expected: str) -> None:
    names = (certificate or {}).get("subjectAltName", ())
    uris = [value for kind, value in names if kind == "URI"] if isinstance(names, tuple) else []
    if uris != [expected]:
        raise IdentityError(f"the server at the replica's address is {uris or 'without a name'}, not {expected}")


@lru_cache(maxsize=64)
def _context(client: TlsMaterial, trust: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The identity is the URI, checked after the handshake; there is no host name.
    context.check_hostname = False
    context.load_verify_locations(cadata=trust)
    # The standard library loads keys from files only. This file has mode 0600 and is deleted right away.
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        Path(file.name).write_bytes(client.certificate + b"\n" + client.private_key)
        context.load_cert_chain(file.name)
    return context
