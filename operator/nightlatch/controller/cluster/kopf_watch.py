"""Events of our kinds from kopf, the only file that imports it.

Unlike kopf's other handlers, its `on.event` handlers write nothing to the cluster, and kopf calls them once for an
event even if they fail. So our handler only hands the event on. kopf promises no order between objects of one name, so
the Informer behind it checks uid, version and deletion of every event, as it does for its own watches.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import kopf

from nightlatch.api.meta import GROUP, OUR_KINDS, VERSION, Kind, RawObject
from nightlatch.informer import FIRST_PAUSE_S, Backoff, ExpiredError, Timing, WatchEvent
from nightlatch.kube.client import WATCH_SILENCE_S, ApiServer, keepalive_socket, watch_seconds

# kopf does not tell of an object that was deleted between two of its own lists, so we list again now and then.
RELIST_SECONDS = 300.0
# A watch that ends sooner gave nothing.
SHORT_WATCH_S = 10.0

_TYPES: dict[str | None, Any] = {None: "Added", "ADDED": "Added", "MODIFIED": "Modified", "DELETED": "Deleted"}


class StopAskedError(Exception):
    """Somebody asked the process to end."""


class KopfEvents:
    """Run `run()` as a task. `watch` is a `nightlatch.controller.watches.Watch`.

    identity: this replica's name. namespaces: those to watch; empty: all of them.
    """

    def __init__(self, api: ApiServer, identity: str, namespaces: tuple[str, ...] = ()) -> None:
        self._api = api
        self._identity = identity
        self._namespaces = namespaces
        self._queues: dict[str, asyncio.Queue[WatchEvent]] = {kind.kind: asyncio.Queue() for kind in OUR_KINDS}

    async def run(self) -> None:
        """Until cancelled, or until SIGTERM, which kopf takes for itself. Raises StopAskedError then."""
        await kopf.operator(
            registry=self._registry(),
            settings=_settings(),
            # Its own guess needs a user name, which a container's uid has not.
            identity=self._identity,
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
        )
        raise StopAskedError

    async def watch(self, kind: Kind) -> AsyncIterator[WatchEvent]:
        """Until it is time to list again. Raises ExpiredError then."""
        queue = self._queues[kind.kind]
        deadline = asyncio.get_running_loop().time() + RELIST_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    event = await queue.get()
            except TimeoutError:
                raise ExpiredError(f"{kind.plural}: time to list again") from None
            yield event

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        for kind in OUR_KINDS:
            kopf.on.event(GROUP, VERSION, kind.plural, registry=registry)(self._taker(kind))
        return registry

    async def _login(self, **_: Any) -> kopf.AiohttpSession:
        access = await self._api.access()
        tls = kopf.ConnectionInfo(
            server=access.server,
            ca_path=access.ca_path,
            certificate_path=access.certificate_path,
            private_key_path=access.private_key_path,
        ).as_ssl_context()
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls, socket_factory=keepalive_socket),
            headers={"Authorization": access.authorization} if access.authorization else {},
            middlewares=(WatchPace(),),
        )
        return kopf.AiohttpSession(server=access.server, aiohttp_session=session)

    def _taker(self, kind: Kind) -> Any:
        async def take(event: Mapping[str, Any], **_: Any) -> None:
            obj: RawObject = {"apiVersion": kind.api_version, "kind": kind.kind, **event["object"]}
            version = obj["metadata"]["resourceVersion"]
            self._queues[kind.kind].put_nowait(WatchEvent(_TYPES[event["type"]], obj, version))

        return take


class WatchPace:
    """Delays the next watch of a path after one that ended at once. kopf itself asks again without any pause."""

    def __init__(self, timing: Timing | None = None) -> None:
        self._timing = timing or Timing()
        self._backoffs: dict[str, Backoff] = {}
        self._started: dict[str, float] = {}

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """As aiohttp calls its middlewares."""
        if "watch" in request.url.query:
            await self.take_turn(request.url.path)
        return await handler(request)

    async def take_turn(self, path: str) -> None:
        """Returns when the path may be watched again."""
        backoff = self._backoffs.setdefault(path, Backoff(self._timing.random))
        started = self._started.get(path)
        if started is not None and self._timing.clock() - started < SHORT_WATCH_S:
            await self._timing.sleep(backoff.next())
        else:
            backoff.reset()
        self._started[path] = self._timing.clock()


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    # Events are posted by us; CRDs and namespaces are known, so no right to look for them is needed.
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.inactivity_timeout = WATCH_SILENCE_S
    settings.watching.server_timeout = watch_seconds(random.random)
    settings.watching.reconnect_backoff = FIRST_PAUSE_S
    return settings
