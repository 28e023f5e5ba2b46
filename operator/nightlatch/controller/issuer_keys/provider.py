"""Asks a provider for its key set: HTTPS alone, no redirects, bounded in time and size, to allowed addresses only.

The address is checked when the connection is opened, so that no name can lead to another one than was checked.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp

from nightlatch.api.conditions import Reason
from nightlatch.controller.issuer_keys.addresses import AllowedAddresses
from nightlatch.pki import Finding
from nightlatch.pki.key_set import KeySetError, read_json
from nightlatch.planning.issuer.key_source import KeySource, Published

LARGEST = 256 * 1024
TIMEOUT_S = 10.0
# What comes compressed could be of any size, so nothing may.
_HEADERS: Mapping[str, str] = {"Accept": "application/json", "Accept-Encoding": "identity"}


class ProviderError(Exception):
    """No key set came. `finding` is fit for a condition: it repeats nothing that the provider said."""

    def __init__(self, why: Reason, message: str) -> None:
        self.finding = Finding(why, message)
        super().__init__(message)


class Provider:
    """`allowed`: the addresses that providers may have."""

    def __init__(self, allowed: AllowedAddresses) -> None:
        self._allowed = allowed

    async def fetch(self, source: KeySource) -> Published:
        """The key set. Raises ProviderError."""
        content = await self._get(source.url, source.ca, source.url)
        if source.issuer is not None:
            content = await self._get(_jwks_uri(content, source), source.ca, f"the jwks_uri at {source.url}")
        return Published(content)

    async def _get(self, url: str, ca: str, called: str) -> bytes:
        """called: how messages name the URL, of which the provider may have chosen the text."""
        refused: list[str] = []

        def opened(address: Any) -> socket.socket:
            family, kind, protocol, _, sockaddr = address
            if not self._allowed.admit(str(sockaddr[0])):
                refused.append(str(sockaddr[0]))
                raise OSError("the address is not allowed")
            return socket.socket(family, kind, protocol)

        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await _answer(url, ca, called, opened)
        except TimeoutError:
            raise ProviderError(
                Reason.PROVIDER_UNREACHABLE, f"{called} did not answer within {TIMEOUT_S:g} seconds: check the provider"
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if refused:
                raise ProviderError(
                    Reason.ADDRESS_NOT_ALLOWED,
                    f"{called} leads to {refused[0]}, which is not a public address: ask the administrator to allow it",
                ) from None
            raise ProviderError(
                Reason.PROVIDER_UNREACHABLE, f"{called} cannot be reached ({_kind(error)}): check the URL and the CA"
            ) from None


async def _answer(url: str, ca: str, called: str, opened: Any) -> bytes:
    trust = ssl.create_default_context(cadata=ca or None)
    trust.minimum_version = ssl.TLSVersion.TLSv1_2
    connector = aiohttp.TCPConnector(ssl=trust, socket_factory=opened, use_dns_cache=False, force_close=True)
    # trust_env stays False, so that no proxy connects on our behalf.
    async with (
        aiohttp.ClientSession(
            connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session,
        session.get(url, headers=_HEADERS, allow_redirects=False) as answer,
    ):
        if 300 <= answer.status < 400:
            message = f"{called} answered with a redirect, which is not followed: write the URL that it leads to"
            raise ProviderError(Reason.ANSWER_REFUSED, message)
        if answer.status != 200:
            message = f"{called} answered {answer.status}: check the URL"
            raise ProviderError(Reason.PROVIDER_UNREACHABLE, message)
        content = bytearray()
        async for part in answer.content.iter_any():
            content += part
            if len(content) > LARGEST:
                message = f"the answer of {called} is larger than {LARGEST // 1024} KiB: check the URL"
                raise ProviderError(Reason.ANSWER_REFUSED, message)
        return bytes(content)


def _jwks_uri(document: bytes, source: KeySource) -> str:
    try:
        members = read_json(document, f"the discovery document at {source.url}")
    except KeySetError as error:
        raise ProviderError(error.reason, str(error)) from None
    if members.get("issuer") != source.issuer:
        message = f"the discovery document at {source.url} is of another issuer: write exactly what it calls itself"
        raise ProviderError(Reason.ISSUER_MISMATCH, message)
    url = members.get("jwks_uri")
    if not isinstance(url, str) or not url.startswith("https://") or len(url) > 2048 or not url.isprintable():
        message = (
            f"the discovery document at {source.url} has no jwks_uri that starts with https://: write keys.jwksUri"
        )
        raise ProviderError(Reason.ANSWER_REFUSED, message)
    return url


def _kind(error: Exception) -> str:
    """What went wrong, without the texts of libraries, which quote what the provider sent."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError | ssl.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known"
    return "no connection" if isinstance(error, aiohttp.ClientConnectorError) else type(error).__name__
