"""One connection to an API server: authenticated JSON requests and watches."""

import json
import random
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTClientObject

from nightlatch.kube.errors import TOO_LARGE, ApiServerError

JSON = "application/json"
APPLY = "application/apply-patch+yaml"

_REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=15, sock_connect=5)
# The server ends a watch after a time that is asked for: 5 to 10 minutes at random, so that not all end at once.
SHORTEST_WATCH_S = 300
# A server sends a bookmark about every minute, so longer silence means that the connection is dead.
WATCH_SILENCE_S = 80.0
# A peer that acknowledges nothing is given up after 30 + 3 * 10 seconds.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}

Query = Mapping[str, str]


async def connect(kubeconfig: str | None = None, context: str | None = None) -> "ApiServer":
    """An ApiServer from a kubeconfig file, or from the pod's ServiceAccount when `kubeconfig` is None.

    Raises ApiServerError, saying what is missing, when the configuration cannot be read.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=configuration)
        else:
            await config.load_kube_config(
                config_file=kubeconfig,
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
    except (config.ConfigException, OSError) as error:
        raise ApiServerError(0, "Configuration", f"cannot load Kubernetes credentials: {error}") from error
    configuration.connection_pool_maxsize = 64
    return ApiServer(ApiClient(configuration))


def keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket (for aiohttp's `socket_factory`) on which the kernel notices a peer that went away without a word."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        # Not every platform lets a program choose.
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made


def watch_seconds(random: Callable[[], float]) -> int:
    """How long the next watch is asked to last."""
    return SHORTEST_WATCH_S + int(SHORTEST_WATCH_S * random())


class _RestClient(RESTClientObject):  # type: ignore[misc]
    """Overrides what its base class offers for this purpose."""

    def _create_connector(self) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(limit=self.maxsize, ssl=self.ssl_context, socket_factory=keepalive_socket)


@dataclass(frozen=True, slots=True)
class Access:
    """How a server is reached, for another client of it (kopf). Paths of PEM files; `token` as a header's value."""

    server: str
    ca_path: str | None
    certificate_path: str | None
    private_key_path: str | None
    authorization: str | None = field(default=None, repr=False)


class ApiServer:
    """One API server, made by `connect`. Every method raises ApiServerError.

    Nothing is retried here: only callers know what may be repeated. watch_silence: seconds after which a watch on which
    nothing comes, not even a bookmark, is given up.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        watch_silence: float = WATCH_SILENCE_S,
        random: Callable[[], float] = random.random,
    ) -> None:
        client.rest_client = _RestClient(client.configuration)
        self._client = client
        self._random = random
        self._watch_timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=watch_silence)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def access(self) -> Access:
        """The newest credentials: a ServiceAccount's token is renewed by the kubelet."""
        configuration = self._client.configuration
        return Access(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            authorization=await configuration.get_api_key_with_prefix("BearerToken"),
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = None,
        content_type: str = JSON,
    ) -> dict[str, Any]:
        """Send one request and return the object answered."""
        response = await self._send(method, path, query, body, content_type, _REQUEST_TIMEOUT)
        async with response:
            return await _object(response)

    async def read(self, path: str, *, accept: str, largest: int) -> bytes:
        """What a path answers that has no object of the API. At most so many bytes."""
        response = await self._send("GET", path, None, None, JSON, _REQUEST_TIMEOUT, accept)
        async with response:
            if response.status >= 400:
                await _object(response)
            return await _bounded(response, largest)

    async def watch(self, path: str, *, query: Query) -> AsyncIterator[dict[str, Any]]:
        """Events `{type, object}` of one watch request, until the server ends it. Bookmarks are among them."""
        full = {
            **query,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(watch_seconds(self._random)),
        }
        response = await self._send("GET", path, full, None, JSON, self._watch_timeout)
        async with response:
            if response.status >= 400:
                await _object(response)
            async for event in _lines(response):
                if event["type"] == "ERROR":
                    raise ApiServerError.from_status(500, event["object"])
                yield event

    async def _send(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: Any,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
        accept: str = JSON,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": accept, "Content-Type": content_type}
        try:
            verb, url, signed, data, _ = await self._client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await self._client.call_api(verb, url, header_params=signed, body=data, _request_timeout=timeout)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiServerError(0, "Unavailable", f"the Kubernetes API did not answer: {error}") from error
        response: aiohttp.ClientResponse = answer.response
        return response


async def _bounded(response: aiohttp.ClientResponse, largest: int) -> bytes:
    content = bytearray()
    try:
        async for part in response.content.iter_any():
            content += part
            if len(content) > largest:
                raise ApiServerError(response.status, TOO_LARGE, f"the answer has more than {largest} bytes")
    except (TimeoutError, aiohttp.ClientError) as error:
        raise ApiServerError(0, "Unavailable", f"the Kubernetes API broke off its answer: {error}") from error
    return bytes(content)


async def _object(response: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        content = await response.read()
    except (TimeoutError, aiohttp.ClientError) as error:
        raise ApiServerError(0, "Unavailable", f"the Kubernetes API broke off its answer: {error}") from error
    try:
        parsed = orjson.loads(content)
    except json.JSONDecodeError:
        parsed = {"message": content.decode(errors="replace")[:200]}
    if response.status >= 400:
        raise ApiServerError.from_status(response.status, parsed)
    return dict(parsed)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    try:
        while line := await response.content.readline():
            yield orjson.loads(line)
    except (TimeoutError, aiohttp.ClientError) as error:
        raise ApiServerError(0, "Unavailable", f"the watch broke off: {error}") from error
