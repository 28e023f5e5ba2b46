"""The openai package with tokens of a provider. Needs the extra `openai`."""

import ssl
from pathlib import Path
from typing import Any

import httpx2
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

from nightlatch_client.httpx_auth import Presenting
from nightlatch_client.tokens import Tokens
from nightlatch_client.transport import Certificate


class Httpx2Auth(Presenting, httpx2.Auth):
    """`httpx2.Client(auth=Httpx2Auth(tokens))`, also for AsyncClient."""

    not_read = httpx2.RequestNotRead


def openai_client(
    tokens: Tokens, base_url: str, *, ca: Path | None = None, certificate: Certificate | None = None, **more: Any
) -> OpenAI:
    """An OpenAI whose calls have tokens. ca: of the endpoint. certificate: shown to it. more: as for OpenAI."""
    http = DefaultHttpxClient(auth=Httpx2Auth(tokens), verify=_trust(ca, certificate))
    return OpenAI(base_url=base_url, api_key=tokens, http_client=http, **more)


def async_openai_client(
    tokens: Tokens, base_url: str, *, ca: Path | None = None, certificate: Certificate | None = None, **more: Any
) -> AsyncOpenAI:
    """The same for asyncio."""

    async def key() -> str:
        return (await tokens.token_async()).value

    http = DefaultAsyncHttpxClient(auth=Httpx2Auth(tokens), verify=_trust(ca, certificate))
    return AsyncOpenAI(base_url=base_url, api_key=key, http_client=http, **more)


def _trust(ca: Path | None, certificate: Certificate | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        context.load_cert_chain(certificate.chain, certificate.key)
    return context
